"""The tables about the data: classes and splits, files taken out and why, duplicates, composition."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import pandas as pd

from tasks.contracts.reasons import REASONS
from tasks.contracts.records import SPLITS
from tasks.report.sources import Report
from tasks.report.thumbnails import Thumbnails

MOST_QUARANTINED = 200
MOST_CLASSES = 200
MOST_PAIRS = 50
MOST_SUSPECTS = 100
MOST_GROUPS = 12
_THUMBNAIL_PX = 64


@dataclass(frozen=True)
class ClassRow:
    """Kept images of a class by split, and the (start, width) of their bars in per cent of the largest class."""

    label: str
    counts: tuple[int, ...]
    total: int
    parts: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class ClassTable:
    """Every class (at most MOST_CLASSES, the largest) and the totals; `rest` classes are not shown."""

    splits: tuple[str, ...]
    rows: tuple[ClassRow, ...]
    totals: tuple[int, ...]
    rest: int


@dataclass(frozen=True)
class OutFile:
    """A file that was taken out: where, under which label, why in words, and a preview where there is one."""

    path: str
    label: str | None
    reasons: tuple[str, ...]
    thumbnail: str | None


@dataclass(frozen=True)
class Pair:
    """Two images that are alike: their paths, previews where there are any, how alike and in which way."""

    a: str
    b: str
    previews: tuple[str | None, str | None]
    kind: str
    similarity: float
    cross_split: bool


@dataclass(frozen=True)
class Duplicates:
    """Pairs of equal or nearly equal images, those across splits first; `rest` are not shown."""

    rows: tuple[Pair, ...]
    kinds: dict[str, int]
    across_splits: int
    rest: int


@dataclass(frozen=True)
class Composition:
    """Images by class and the most frequent groups, the others added up; None where a number is held back."""

    groups: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int | None, ...], int | None], ...]
    rest: int


def class_table(quality: Report) -> ClassTable:
    """Kept images by class and split."""
    sizes = quality["split_sizes"]
    splits = tuple(s for s in SPLITS if any(s in counts for counts in sizes.values()))
    every = [(label, tuple(counts.get(split, 0) for split in splits)) for label, counts in sizes.items()]
    largest = max((sum(counts) for _, counts in every), default=0)
    shown = _largest(every, MOST_CLASSES)
    rows = (ClassRow(label, counts, sum(counts), _parts(counts, largest)) for label, counts in shown)
    totals = tuple(sum(column) for column in zip(*(c for _, c in every), strict=True))
    return ClassTable(splits, tuple(rows), totals, len(every) - len(shown))


def reason_rows(quality: Report) -> list[tuple[str, str, int]]:
    """(id, words, files) of each reason, the most frequent first."""
    counts = sorted(quality["reasons"].items(), key=lambda item: (-item[1], item[0]))
    return [(reason, REASONS.get(reason, reason), files) for reason, files in counts]


def quarantined(checked: pd.DataFrame, thumbnails: Thumbnails) -> tuple[tuple[OutFile, ...], int]:
    """The first MOST_QUARANTINED quarantined files by path, and how many more there are."""
    out = checked[checked["verdict"] == "quarantine"].sort_values("path", kind="stable")
    columns = out.head(MOST_QUARANTINED)[["path", "label", "reasons", "sha256"]].itertuples(index=False, name=None)
    rows = tuple(
        OutFile(
            path=path,
            label=label if isinstance(label, str) and label else None,
            reasons=tuple(REASONS.get(reason, reason) for reason in _ids(reasons)),
            thumbnail=thumbnails.of(sha256, _THUMBNAIL_PX),
        )
        for path, label, reasons, sha256 in columns
    )
    return rows, max(0, len(out) - MOST_QUARANTINED)


@dataclass(frozen=True)
class Suspect:
    """An image whose label is probably wrong; `digits` is enough of its hash for `decisions.csv`."""

    path: str
    digits: str
    label: str
    suggested: str
    score: float


def suspects(table: pd.DataFrame) -> tuple[tuple[Suspect, ...], int]:
    """The first MOST_SUSPECTS, the most suspect first, and how many more there are."""
    shown = table.head(MOST_SUSPECTS)[["path", "sha256", "label", "suggested", "score"]]
    rows = tuple(Suspect(row[0], row[1][:12], *row[2:]) for row in shown.itertuples(index=False, name=None))
    return rows, len(table) - len(rows)


def duplicate_pairs(table: pd.DataFrame, checked: pd.DataFrame | None, thumbnails: Thumbnails) -> Duplicates:
    """Pairs across splits first, then in the table's order."""
    ranked = table.sort_values("cross_split", ascending=False, kind="stable").head(MOST_PAIRS)
    hashes = {} if checked is None else dict(zip(checked["path"], checked["sha256"], strict=True))
    columns = ranked[["a", "b", "kind", "similarity", "cross_split"]].itertuples(index=False, name=None)
    kinds = {str(kind): int(n) for kind, n in table["kind"].value_counts().sort_index().items()}
    rows = (
        Pair(a, b, (_preview(a, hashes, thumbnails), _preview(b, hashes, thumbnails)), kind, similarity, crosses)
        for a, b, kind, similarity, crosses in columns
    )
    return Duplicates(
        tuple(rows),
        kinds,
        int(table["cross_split"].sum()),
        max(0, len(table) - MOST_PAIRS),
    )


def composition(bias: Report) -> Composition | None:
    """Class by group; None where no group was declared."""
    table = bias["composition"]
    totals: dict[str, int] = {}
    for counts in table.values():
        for group, images in counts.items():
            totals[group] = totals.get(group, 0) + (images or 0)
    if set(totals) <= {"all"}:
        return None
    named = [group for group, _ in _largest([(g, (n,)) for g, n in sorted(totals.items())], MOST_GROUPS)]
    order = sorted(table, key=lambda label: -sum(images or 0 for images in table[label].values()))[:MOST_CLASSES]
    rest = [group for group in totals if group not in named]
    groups = (*named, f"{len(rest)} others") if rest else tuple(named)
    rows = []
    for label, counts in table.items():
        if label in order:
            cells = [counts.get(group, 0) for group in named]
            others = [_added([counts[group] for group in rest if group in counts])] if rest else []
            rows.append((label, (*cells, *others), _added(list(counts.values()))))
    return Composition(groups, tuple(rows), len(table) - len(rows))


def _added(counts: Sequence[int | None]) -> int | None:
    """The sum, where all are told."""
    told = [n for n in counts if n is not None]
    return sum(told) if len(told) == len(counts) else None


def _preview(path: str, hashes: dict[str, str], thumbnails: Thumbnails) -> str | None:
    return thumbnails.of(hashes.get(path, ""), _THUMBNAIL_PX)


def _parts(counts: tuple[int, ...], largest: int) -> tuple[tuple[float, float], ...]:
    if not largest:
        return ()
    edges = [round(100 * edge / largest, 2) for edge in accumulate(counts, initial=0)]
    return tuple((a, round(b - a, 2)) for a, b in pairwise(edges))


def _largest(rows: Sequence[tuple[str, tuple[int, ...]]], most: int) -> list[tuple[str, tuple[int, ...]]]:
    """At most `most` rows, the largest ones, in the order given."""
    order = sorted(range(len(rows)), key=lambda i: (-sum(rows[i][1]), i))
    return [rows[i] for i in sorted(order[:most])]


def _ids(reasons: Iterable[str] | None) -> tuple[str, ...]:
    return () if reasons is None else tuple(reasons)
