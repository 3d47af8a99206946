"""The report page: one self-contained HTML file, drawn from whatever records a workspace holds.

It holds no script and asks no address; every value is escaped by the template engine.
"""

import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.contracts.files import write_text
from tasks.contracts.text import visible
from tasks.contracts.workspace import Workspace
from tasks.report import answers, data, numbers, overview, results
from tasks.report.changes import changes, label_rows
from tasks.report.charts import SHARE, STRENGTH, mark
from tasks.report.sources import Sources, read_sources
from tasks.report.sturdiness import sturdiness
from tasks.report.tuned import tuned

Links = tuple[tuple[str, str], ...]  # words and relative address of each

_TEMPLATES = Path(__file__).parent / "templates"


def write_page(ws: Workspace, registered: str = "", others: Links | None = None) -> Path:
    """Draw `reports/index.html` and return its path; equal records give equal bytes.

    `registered` names the version that the bundle became, such as `model@3`: tags are written after the records.
    `others` are the pages to go to from this one; None: those of all runs and audits, where they were drawn.
    Raises BrokenArtifact where a record is there but cannot be read.
    """
    beside = links_of(ws, ws.page) if others is None else others
    write_text(ws.page, render(read_sources(ws), registered, beside))
    return ws.page


def render(sources: Sources, registered: str = "", others: Links = ()) -> str:
    """The page as HTML."""
    return environment().get_template("page.html").render(registered=registered, others=others, **_views(sources))


def links_of(ws: Workspace, page: Path) -> Links:
    """What leads from `page` to the other pages of a workspace that are there."""
    known = {"report": ws.page, "all runs": ws.runs_page, "all audits": ws.audit_pages / "index.html"}
    there = {words: other for words, other in known.items() if other != page and other.is_file()}
    return tuple((words, Path(os.path.relpath(other, page.parent)).as_posix()) for words, other in there.items())


def printable(value: object) -> object:
    """Text without what HTML cannot hold and what hides or turns letters; other values as they are."""
    if type(value) is not str:
        return "not given" if value is None else value
    return visible(value)


def environment() -> Environment:
    """The templates, with every value escaped."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "compact": numbers.compact,
        "count": numbers.count,
        "decimal": numbers.decimal,
        "measured": numbers.value_with_interval,
        "p_value": numbers.p_value,
        "percent": numbers.percent,
        "plain": numbers.plain,
        "plural": numbers.plural,
        "words": numbers.words,
    }
    environment.globals |= {
        "mark": mark,
        "share_axis": SHARE,
        "strength_axis": STRENGTH,
        "severity_words": overview.SEVERITY_WORDS,
    }
    return environment


def _views(sources: Sources) -> dict[str, Any]:
    views: dict[str, Any] = {
        "sources": sources,
        "findings": overview.findings(sources),
        "missing": overview.missing(sources),
        "accuracy_marks": overview.accuracy_marks(sources),
    }
    if sources.quality is not None:
        views |= {"classes": data.class_table(sources.quality), "reasons": data.reason_rows(sources.quality)}
    if sources.checked is not None:
        views["quarantined"] = data.quarantined(sources.checked, sources.thumbnails)
    if sources.duplicates is not None:
        views["duplicates"] = data.duplicate_pairs(sources.duplicates, sources.checked, sources.thumbnails)
    if sources.label_errors is not None:
        views["suspects"] = data.suspects(sources.label_errors)
    if sources.bias is not None:
        views |= {"composition": data.composition(sources.bias), **answers.bias_views(sources.bias)}
    if sources.augmentation is not None:
        views |= {"changes": changes(sources.augmentation), "label_rows": label_rows(sources.augmentation)}
    if sources.tuning is not None:
        views["tuned"] = tuned(sources.tuning)
    if sources.training is not None:
        views["training_charts"] = results.training_charts(sources.training)
    if sources.evaluation is not None:
        views |= _evaluation_views(sources, sources.evaluation)
    return views


def _evaluation_views(sources: Sources, evaluation: dict[str, Any]) -> dict[str, Any]:
    return {
        "verdict": overview.verdict(evaluation),
        "other_scores": overview.other_scores(evaluation),
        "outcome_answers": answers.answers(evaluation),
        "class_results": results.class_results(evaluation),
        "heat": results.heat_table(evaluation),
        "confused": results.most_confused(evaluation),
        "reliability": results.reliability(evaluation),
        "sturdiness": sturdiness(evaluation),
        "errors": results.worst_errors(evaluation, sources.thumbnails),
    }
