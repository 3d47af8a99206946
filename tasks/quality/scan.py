"""One read and one decode of every file: hash, header, measures and the prepared pixels come from the same pass.

Nothing stops the scan: a file that cannot be used gets a reason. Memory stays flat: few images are under way at a
time, and pixels go straight into a file. A file that has not changed since the last scan is not read again.
"""

import hashlib
import math
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.contracts.images import stored_size
from tasks.contracts.prepared import Store
from tasks.contracts.progress import progress
from tasks.contracts.raw import Place, Unreadable, places, read_raw
from tasks.quality.known import Known, stamps
from tasks.quality.measures import Measures
from tasks.quality.reading import Caps, Found, Job, Reader, Row
from tasks.quality.workers import Submit, cores, workers

CODE = 6  # raised when what is found of a file changes: what is known of files from before is then read anew
MEASURES = tuple(field.name for field in fields(Measures))
_TYPES = {
    "sha256": "str",
    "bytes": "Int64",
    "width": "Int64",
    "height": "Int64",
    "mode": "str",
    "format": "str",
    "has_location": "boolean",
    "camera": "str",
    "prepared_px": "Int64",
    "pixels_crc32": "Int64",
    "aspect": "float64",
    "jpeg_quality": "float64",
}
_SIZES_READ, _SIDE_STEP_PX, _HEADER_BYTES = 200, 32, 1 << 25
_TABLED_ROWS = 2048
_AT_ONCE, _AHEAD = 16, 3  # files in a piece of work, and pieces per worker that are under way


@dataclass(frozen=True)
class Scan:
    """The manifest with what was found of each file, and how many files were read for it."""

    table: pd.DataFrame
    read: int


def prepared_side(root: Path, rows: Iterable[Place], most_px: int) -> int:
    """The side of the prepared squares: `most_px`, or less where the typical image is smaller.

    Enlarging adds no information, only memory and time. The typical short side is a median over files drawn by the
    hash of their place, rounded up to whole steps, so that it seldom changes as images are added.
    """
    drawn = sorted(rows, key=lambda place: hashlib.sha256(f"{place.file}:{place.offset}".encode()).digest())
    sizes = [size for place in drawn[:_SIZES_READ] if (size := _stored_size(root, place))]
    if not sizes:
        return most_px
    typical = float(np.median([min(size) for size in sizes]))
    return min(most_px, max(_SIDE_STEP_PX, math.ceil(typical / _SIDE_STEP_PX) * _SIDE_STEP_PX))


def scan(root: Path, manifest: pd.DataFrame, caps: Caps, store: Store, index: Path) -> Scan:
    """Read every file of the manifest that has no reason against it yet and is not known from the last scan.

    The manifest comes back with `sha256`, `bytes`, `width`, `height`, `mode`, `format`, `camera`, `aspect` (long side
    by short side), `jpeg_quality`, the measures, and `prepared_px` and `pixels_crc32` where the image's pixels are in
    `store`; what was found is added to `reasons`. `index` is where what is known is kept for the next scan.
    Raises OSError where the disk is full, BadEnvironment where the system ends a worker.
    """
    readable = np.array([all(reason == "no_label" for reason in ids) for ids in manifest["reasons"]], dtype=bool)
    stamped = stamps(root, manifest[readable])
    known = Known.read(index, root, caps.max_megapixels, caps.max_megabytes)
    found = known.rows_of(stamped, store)
    unknown = manifest[readable][found["path"].isna().to_numpy()]
    new = _tabled(_read_all(root, unknown, caps, store, known)).set_axis(unknown.index)
    rows = pd.concat([_typed(found.drop(index=unknown.index)), new])
    known.write(index, stamped, rows)
    store.compact(set(rows["sha256"].dropna()))
    rows = _typed(rows.reindex(manifest.index))
    reasons = [
        [*old, *([new] if isinstance(new, str) else [])]
        for old, new in zip(manifest["reasons"], rows.pop("reason"), strict=True)
    ]
    table = manifest.assign(reasons=pd.Series(reasons, index=manifest.index, dtype="object"))
    return Scan(pd.concat([table, rows], axis="columns"), len(unknown))


def _stored_size(root: Path, place: Place) -> tuple[int, int] | None:
    try:
        return stored_size(root / place.file if place.stored_bytes is None else read_raw(root, place, _HEADER_BYTES))
    except Unreadable:
        return None


def _tabled(rows: Iterator[Row]) -> pd.DataFrame:
    """The rows as a table, in pieces: a row as a dict takes ten times the memory."""
    pieces = [_typed(pd.DataFrame())]
    while piece := list(islice(rows, _TABLED_ROWS)):
        pieces.append(_typed(pd.DataFrame(piece)))
    return pd.concat(pieces, ignore_index=True)


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    types = _TYPES | dict.fromkeys(MEASURES, "float64") | {"reason": "str"}
    return rows.reindex(columns=list(types)).astype(types)


def _read_all(root: Path, rows: pd.DataFrame, caps: Caps, store: Store, known: Known) -> Iterator[Row]:
    """The rows in order; a window of them is under way on all cores."""
    todo = places(rows)
    reader = Reader(root, caps, store.files, known.contents(store))
    with store.writing(), workers(reader, len(todo)) as submit:
        found = _in_order(todo, store, submit)
        yield from progress((_kept(*one, store, known) for one in found), len(todo), "reading images")


def _in_order(todo: list[Place], store: Store, submit: Submit) -> Iterator[tuple[int, Found]]:
    """What was found of each file, with the record that was reserved for its pixels."""
    window: deque[tuple[list[Job], Future[list[Found]]]] = deque()
    for start in range(0, len(todo), _AT_ONCE):
        piece = [(place, store.reserve()) for place in todo[start : start + _AT_ONCE]]
        window.append((piece, submit(piece)))
        if len(window) > cores() * _AHEAD:
            yield from _done(*window.popleft())
    while window:
        yield from _done(*window.popleft())


def _done(piece: list[Job], found: "Future[list[Found]]") -> Iterator[tuple[int, Found]]:
    return zip((record for _, record in piece), found.result(), strict=True)


def _kept(record: int, found: Found, store: Store, known: Known) -> Row:
    """The row; its pixels now exist in the cache. Of equal contents the first in order keeps its record."""
    if isinstance(found, dict) and "pixels_crc32" in found:
        store.claim(str(found["sha256"]), record)
    else:
        store.release(record)
    return known.row_of_content(found) if isinstance(found, str) else found
