"""What changed between two versions: settings, samples, figures, findings, and what they answer for the same images."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.contracts.files import read_table
from tasks.contracts.raw import Unreadable, places, read_raw
from tasks.contracts.records import Statistic, leaves, read_json
from tasks.contracts.samples import usable
from tasks.contracts.workspace import Workspace
from tasks.predict.predict import predict_samples
from tasks.register.bundle import REPORTS, Bundle, load_bundle
from tasks.register.history import Version
from tasks.register.saved import bundle_of, data_of

FIGURES = ("accuracy", "macro_f1", "log_loss", "calibration_error")


@dataclass(frozen=True)
class Change:
    """One thing that is otherwise: what, and how it was and is. A setting that one version has not is None there."""

    what: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Data:
    """Samples in use, known by their bytes: which came, which went, and whose label or split is another.

    The lists hold SHA-256s.
    """

    before: int
    after: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    relabelled: tuple[Change, ...]
    moved: tuple[Change, ...]


@dataclass(frozen=True)
class Figure:
    """One measurement on the test split of each version: its own, which may hold other images."""

    name: str
    before: Statistic
    after: Statistic


@dataclass(frozen=True)
class Answers:
    """What both say of the images in `split` of the later version that both data have.

    `compared` images were read; `absent` are no longer in `data/raw` with those bytes. A Change names the file.
    """

    split: str
    compared: int
    absent: int
    changed: tuple[Change, ...]


@dataclass(frozen=True)
class Differences:
    """All that changed from the version `before` to the version `after`."""

    before: str
    after: str
    params: tuple[Change, ...]
    data: Data
    figures: tuple[Figure, ...]
    new_findings: tuple[str, ...]
    gone_findings: tuple[str, ...]
    answers: Answers


def differences(ws: Workspace, before: Version, after: Version, split: str) -> Differences:
    """Compare two versions by what was saved of them; their answers by the images in `data/raw`.

    Raises BrokenArtifact where one of them does not hold.
    """
    bundles = [bundle_of(ws, version) for version in (before, after)]
    loaded = [load_bundle(folder) for folder in bundles]
    tables = [usable(read_table(data_of(ws, version))) for version in (before, after)]
    found = [_findings(folder) for folder in bundles]
    return Differences(
        before=before.name,
        after=after.name,
        params=_changes(leaves(before.note["params"]), leaves(after.note["params"])),
        data=_data(*tables),
        figures=tuple(_figures(*bundles)),
        new_findings=tuple(text for key, text in found[1].items() if key not in found[0]),
        gone_findings=tuple(text for key, text in found[0].items() if key not in found[1]),
        answers=_answers(ws, (loaded[0], loaded[1]), tables, split),
    )


def _changes(before: dict[str, Any], after: dict[str, Any]) -> tuple[Change, ...]:
    keys = sorted({**before, **after})
    return tuple(Change(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key))


def _data(before: pd.DataFrame, after: pd.DataFrame) -> Data:
    old, new = (table.drop_duplicates("sha256").set_index("sha256") for table in (before, after))
    both = old.index.intersection(new.index)
    labels, splits = (
        _changes(old.loc[both, column].to_dict(), new.loc[both, column].to_dict()) for column in ("label", "split")
    )
    return Data(
        before=len(before),
        after=len(after),
        added=tuple(sorted(new.index.difference(old.index))),
        removed=tuple(sorted(old.index.difference(new.index))),
        relabelled=labels,
        moved=splits,
    )


def _figures(before: Path, after: Path) -> Iterator[Figure]:
    old, new = (read_json(folder / REPORTS / "evaluation.json")["candidate"] for folder in (before, after))
    for name in FIGURES:
        yield Figure(name, Statistic(**old[name]), Statistic(**new[name]))


def _findings(bundle: Path) -> dict[tuple[str, str], str]:
    """Those of every report; one is the same as another where check and subject are."""
    reports = [read_json(path) for path in sorted((bundle / REPORTS).glob("*.json"))]
    found = (finding for report in reports for finding in report["findings"])
    return {(one["check"], one["subject"]): f"{one['severity']}: {one['message']}" for one in found}


def _answers(ws: Workspace, bundles: tuple[Bundle, Bundle], tables: list[pd.DataFrame], split: str) -> Answers:
    before, after = tables
    rows = after[(after["split"] == split) & after["sha256"].isin(set(before["sha256"]))]
    here = rows[_unchanged(ws, rows)]
    said = [predict_samples(bundle, ws.raw, here) for bundle in bundles]
    changed = tuple(
        Change(old.path, old.label, new.label) for old, new in zip(*said, strict=True) if old.label != new.label
    )
    return Answers(split, len(here), len(rows) - len(here), changed)


def _unchanged(ws: Workspace, rows: pd.DataFrame) -> list[bool]:
    """Whether each sample is in `data/raw` with the bytes that it had."""
    found = []
    for place, size, sha256 in zip(places(rows), rows["bytes"], rows["sha256"], strict=True):
        try:
            found.append(hashlib.sha256(read_raw(ws.raw, place, int(size))).hexdigest() == sha256)
        except Unreadable:
            found.append(False)
    return found
