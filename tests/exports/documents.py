"""The document of an audit as it lies in the ledger, from the records of the example workspace; calm or hostile."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np

from tasks.audit.records import AuditReport, Entry, Git, Recompute, Subject, Tool
from tasks.contracts.records import Attribute, Cell, PatternMap, Section, Statistic, to_json
from tests.report.conftest import Recipe, bias_report, checked_table, evaluation_report, gate_report, quality_report

RECIPE = Recipe(classes=("astronaut", "brick", "cat"), images=240, quarantined=9)
DECLARED = {
    "purpose": "Telling photographs apart.",
    "population": "Fourteen well-known photographs.",
    "out_of_scope": "People.",
    "sources": "scikit-image",
    "licence": "CC-BY-4.0",
    "consent": "",
    "period": "2001-02-03 to 2004-05-06",
    "personal_data": "One face.",
    "legal_basis": "Public domain",
    "annotation": "By file name, by one person.",
    "assumptions": "A crop shows what its photograph shows.",
    "owner": "R. Curator",
}
# What no stranger writes: our own words, and hashes.
_OURS = {"report", "severity", "status", "split", "created_at", "root_sha256", "kind", "artifacts", "splits", "passed"}


def records(recipe: Recipe = RECIPE) -> dict[str, Any]:
    """The reports by name, as records that use every field."""
    checked = checked_table(recipe, np.random.default_rng(7))
    bias = replace(
        bias_report(checked, recipe),
        attributes=(
            Attribute("site", 2, 12, values=("north", "south")),
            Attribute("id", 240, 0, "nearly every image has its own value"),
        ),
        cells=(
            Cell("cat", "site", "north", "train", 40),
            Cell("brick", "site", "north", "train", 20),
            Cell("cat", "site", "south", "train", None),  # held back
            Cell("brick", "site", "south", "train", 30),
        ),
        sections=(
            Section(
                "coverage",
                "Is each subgroup there?",
                (
                    Statistic("cat x north", 40.0, 240, estimator="count"),
                    Statistic("cat x west", None, 0, status="not_measurable", estimator="no image"),
                ),
            ),
        ),
        maps=(PatternMap("cat", "AUC of a tile's colour", ((0.5, 0.6), (0.7, 0.8))),),
    )
    return {
        "quality": quality_report(checked, recipe),
        "bias": bias,
        "gate": gate_report(recipe),
        "evaluation": evaluation_report(checked, recipe, np.random.default_rng(8)),
    }


def document(declared: dict[str, str] = DECLARED) -> dict[str, Any]:
    """As it lies in the ledger."""
    reports = {name: json.loads(to_json(record)) for name, record in records().items()}
    quality, evaluation = reports["quality"], reports["evaluation"]
    del evaluation["mistakes"]
    root = "0123456789abcdef" * 4
    subject = Subject(
        root_sha256=root,
        samples=quality["kept"],
        bytes=123_456,
        **{key: quality[key] for key in ("found", "kept", "quarantined", "reasons", "split_sizes")},
        splits={"train": "78" * 32},
        files=241,
        dvc="ab" * 16 + ".dir",
        git=Git("cd" * 20, dirty=False),
        artifacts={"data/checked.parquet": "9a" * 32},
    )
    report = AuditReport(
        entry=Entry(
            root_sha256=root,
            lists={"samples-0123456789ab.gz": "12" * 32},
            dvc=subject.dvc,
            git_commit=subject.git.commit,
            params_sha256="34" * 32,
            graft="0.1.0",
            number=3,
            created_at="2026-11-25T21:00:00+00:00",
            previous="56" * 32,
        ),
        subject=subject,
        seed=0,
        tool=Tool("0.1.0", "3.11.2", {"bias": 2}, "34" * 32, ""),
        params={},
        declared=dict(declared),
        not_said=tuple(key for key, text in declared.items() if not text),
        bias=reports["bias"],
        gate=reports["gate"],
        evaluation=evaluation,
        recompute=Recompute("graft audit verify --recompute", {"reports/bias.json": "9b" * 32}),
    )
    return json.loads(to_json(report))


def made_hostile(data: Any, texts: Sequence[str], shift: int = 0) -> Any:
    """`data` with a hostile text in every place where a stranger's may stand, the keys of tables among them."""
    return _replaced(data, texts, count(shift))


def _replaced(data: Any, texts: Sequence[str], place: Iterator[int]) -> Any:
    if isinstance(data, str):
        return texts[next(place) % len(texts)] if data else data
    if isinstance(data, list):
        return [_replaced(one, texts, place) for one in data]
    if not isinstance(data, dict):
        return data
    out = {}
    for key, value in data.items():
        if key in _OURS:
            out[key] = value
        elif key in ("composition", "split_sizes", "reasons"):
            out[key] = {
                f"{texts[(at := next(place)) % len(texts)]}{at}": _renamed(inner, texts, place, key)
                for inner in value.values()
            }
        else:
            out[key] = _replaced(value, texts, place)
    return out


def _renamed(inner: Any, texts: Sequence[str], place: Iterator[int], table: str) -> Any:
    """The group values of a class are a stranger's words too."""
    if table != "composition":
        return inner
    return {f"{texts[(at := next(place)) % len(texts)]}{at}": images for images in inner.values()}
