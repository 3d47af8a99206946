"""The first screen: what was found, what was chosen, how good it is, and what to worry about."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tasks.report.charts import Axis, Mark, axis_for, mark
from tasks.report.numbers import points, words
from tasks.report.sources import Report, Sources

SEVERITIES = ("error", "warn", "info")
SEVERITY_WORDS = {"error": "error", "warn": "warning", "info": "note"}
_MOST_FINDINGS = 100


@dataclass(frozen=True)
class Missing:
    """A part that this report does not have, and the command that makes it."""

    part: str
    command: str


@dataclass(frozen=True)
class Findings:
    """All findings, the worst first; `rest` are counted but not shown."""

    shown: tuple[Report, ...]
    rest: int
    counts: dict[str, int]


def findings(sources: Sources) -> Findings:
    """The findings of every report."""
    return findings_of(
        (
            sources.quality,
            sources.bias,
            sources.gate,
            sources.augmentation,
            sources.selection,
            sources.training,
            sources.evaluation,
        )
    )


def findings_of(reports: Iterable[Report | None]) -> Findings:
    """The findings of the reports that are there, each with the report that it comes from."""
    found: list[dict[str, Any]] = []
    for report in reports:
        if report is not None and "findings" in report:  # augmentation.json has them since its results version 2
            found += [{**finding, "report": report["report"]} for finding in report["findings"]]
    found.sort(key=lambda finding: SEVERITIES.index(finding["severity"]))
    counts = {severity: sum(f["severity"] == severity for f in found) for severity in SEVERITIES}
    return Findings(tuple(found[:_MOST_FINDINGS]), max(0, len(found) - _MOST_FINDINGS), counts)


def missing(sources: Sources) -> list[Missing]:
    """The parts that do not exist yet."""
    parts = (
        ("Data quality and splits", sources.quality, "graft audit"),
        ("The list of files", sources.checked, "graft audit"),
        ("Bias checks", sources.bias, "graft audit"),
        ("The gate", sources.gate, "graft audit"),
        ("Augmentation", sources.contact_sheet, "graft run"),
        ("Backbone selection", sources.selection, "graft run"),
        ("Training", sources.training, "graft run"),
        ("Evaluation on the test split", sources.evaluation, "graft run"),
        ("The registered model", sources.bundle, "graft run"),
    )
    return [Missing(name, command) for name, part, command in parts if part is None]


def verdict(evaluation: Report) -> str:
    """What the comparison with scratch comes to, in one sentence."""
    difference = evaluation["difference"]
    if difference["value"] is None or difference["low"] is None:
        return "Whether the transfer helped was not measured."
    if difference["low"] > 0:
        return f"The transfer helped: {points(difference['value'])} over the same network from scratch, beyond chance."
    if difference["high"] < 0:
        return f"The transfer did harm: {points(difference['value'])} against the same network from scratch."
    return f"The transfer made no clear difference: {points(difference['value'])}, within what chance explains."


def accuracy_marks(sources: Sources) -> list[Mark]:
    """The accuracies worth comparing on one axis: on the test split, then of the controls of the selection."""
    marks: list[Mark] = []
    if sources.evaluation is not None:
        evaluation = sources.evaluation
        marks += [
            mark("This model", evaluation["candidate"]["accuracy"], tone="accent", note="test split"),
            *_scratch_mark(evaluation),
            mark("Always the most frequent class", evaluation["majority"], note="test split"),
        ]
        if trivial := evaluation.get("trivial"):  # since results version 3 of evaluate
            sees = trivial["name"].removeprefix("accuracy from ")
            marks.append(mark("Best trivial model", trivial, note=f"test split; sees {sees}"))
    if sources.selection is not None:
        note = "cross-validated on train"
        best = sources.selection["candidates"][:1]
        marks += [mark(f"Probe on {c['backbone']['name']}, frozen", c["accuracy"], note=note) for c in best]
        marks += [mark(_control(c["name"]), c, note=note) for c in sources.selection["controls"]]
    return marks


def _scratch_mark(evaluation: Report) -> list[Mark]:
    scratch = evaluation["scratch"]  # null where no control was trained
    return [mark("Same network from scratch", scratch["accuracy"], note="test split")] if scratch else []


def other_scores(evaluation: Report) -> list[tuple[str, str, tuple[Mark, ...]]]:
    """(title, what it means, marks of this model and of scratch) for the scores beside accuracy."""
    told = (
        ("balanced_accuracy", "percent", "Balanced accuracy", "The mean over the classes of how many are recognised."),
        (
            "auroc",
            "decimal",
            "AUROC",
            "How often an image of a class gets a higher probability of it than another image: chance 0.5, best 1.",
        ),
        (
            "macro_f1",
            "percent",
            "Macro F1",
            "Every class counts the same, however many images it has. Higher is better.",
        ),
        ("calibration_error", "percent", "Calibration error", "How far stated confidence is off. Lower is better."),
        ("log_loss", "decimal", "Log loss (nats)", "Punishes confident mistakes. Lower is better."),
    )
    there = (one for one in told if evaluation["candidate"].get(one[0]))  # the first two since results version 3
    return [(title, meaning, _pair(evaluation, key, unit)) for key, unit, title, meaning in there]


def _pair(evaluation: Report, key: str, unit: str) -> tuple[Mark, ...]:
    told = [("This model", evaluation["candidate"][key], "accent")]
    if evaluation["scratch"]:  # null where no control was trained
        told.append(("From scratch", evaluation["scratch"][key], "plain"))
    axis = Axis(0.0, 1.0, unit)
    if key in ("calibration_error", "log_loss"):
        axis = axis_for([statistic for _, statistic, _ in told], unit)
    return tuple(mark(name, statistic, axis, tone=tone) for name, statistic, tone in told)


def _control(name: str) -> str:
    text = words(name)
    return text[:1].upper() + text[1:]
