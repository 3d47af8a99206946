"""One read and one decode of every file: hash, header, measures and the prepared pixels come from the same pass.

Nothing stops the scan: a file that cannot be used gets a reason. Memory stays flat: few images are under way at a
time, and pixels go straight into a file.
"""

import hashlib
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts.images import Undecodable, decode, decoder_warnings_off, stored_size
from tasks.contracts.prepared import create_prepared
from tasks.contracts.progress import progress
from tasks.ingest.folders import file_problem
from tasks.quality.measures import Measures, measure

MEASURES = tuple(field.name for field in fields(Measures))
_SIZES_READ, _SIDE_STEP_PX = 200, 32
_UNDER_WAY = 4  # images per worker that are read ahead of the one that is written


@dataclass(frozen=True)
class Caps:
    """What is read at all, and how large the prepared pixels are."""

    side_px: int
    max_megapixels: float
    max_megabytes: float


@dataclass(frozen=True)
class Header:
    """What a file is, as stored but for `width` and `height`, which are upright."""

    bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    format: str | None = None


@dataclass(frozen=True)
class Scanned:
    """One file after its pass; without pixels there is a reason."""

    header: Header | None = None
    measures: Measures | None = None
    pixels: NDArray[np.uint8] | None = None
    reason: str | None = None


def prepared_side(root: Path, paths: Iterable[str], most_px: int) -> int:
    """The side of the prepared squares: `most_px`, or less where the typical image is smaller.

    Enlarging adds no information, only memory and time. The typical short side is a median over files drawn by the
    hash of their path, rounded up to whole steps, so that it seldom changes as images are added.
    """
    drawn = sorted(paths, key=lambda path: hashlib.sha256(path.encode()).digest())[:_SIZES_READ]
    sizes = [size for path in drawn if (root / path).is_file() and (size := stored_size(root / path))]
    if not sizes:
        return most_px
    typical = float(np.median([min(size) for size in sizes]))
    return min(most_px, max(_SIDE_STEP_PX, math.ceil(typical / _SIDE_STEP_PX) * _SIDE_STEP_PX))


def scan(root: Path, manifest: pd.DataFrame, caps: Caps, prepared: Path) -> pd.DataFrame:
    """Read every file of the manifest that has no reason against it yet; write the array in the folder `prepared`.

    The manifest comes back with `sha256`, `bytes`, `width`, `height`, `mode`, `format`, `pixels` (row of the array,
    -1 for none) and the measures as columns, and with what was found added to `reasons`.
    """
    prepared.mkdir(parents=True, exist_ok=True)
    store = _Store(prepared, len(manifest), caps.side_px)
    rows = []
    with decoder_warnings_off():
        for scanned in progress(_in_order(root, manifest, caps), len(manifest), "reading images"):
            store.add(scanned)
            rows.append(_row(scanned))
    table = pd.DataFrame(rows, index=manifest.index, columns=[*_DTYPES, "scan_reasons"]).astype(_DTYPES)
    places = store.finish()
    reasons = [[*old, *new] for old, new in zip(manifest["reasons"], table.pop("scan_reasons"), strict=True)]
    table.insert(0, "pixels", table["sha256"].map(places).fillna(-1).astype("int64"))
    return pd.concat([manifest.assign(reasons=pd.Series(reasons, index=manifest.index)), table], axis="columns")


def scan_file(root: Path, path: str, caps: Caps) -> Scanned:
    """One file's pass. Never raises for what is wrong with a file."""
    problem = file_problem(root, path)
    if problem:
        return Scanned(reason=problem)
    try:
        data = read_whole(root / path, int(caps.max_megabytes * 1e6))
    except Unreadable as error:
        return Scanned(reason=error.reason)
    header = Header(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    try:
        image = decode(data, caps.side_px, caps.max_megapixels)
    except Undecodable as error:
        return Scanned(header, reason=error.reason)
    header = Header(header.bytes, header.sha256, image.width, image.height, image.mode, image.format)
    return Scanned(header, measure(image.picture), image.pixels)


class Unreadable(Exception):
    """A file's bytes cannot be had; `reason` is an id of contracts/reasons.py."""

    def __init__(self, reason: str) -> None:
        """`reason` is `unreadable`, `too_many_bytes` or `changed_while_read`."""
        super().__init__(reason)
        self.reason = reason


def read_whole(path: Path, max_bytes: int) -> bytes:
    """The file's bytes, all from one moment; a file that changes while it is read is tried twice. Raises Unreadable."""
    for _ in range(2):
        try:
            with path.open("rb") as file:
                before = os.fstat(file.fileno())
                if before.st_size > max_bytes:
                    raise Unreadable("too_many_bytes")
                data = file.read(max_bytes + 1)
                after = os.fstat(file.fileno())
        except OSError as error:
            raise Unreadable("unreadable") from error
        if (before.st_mtime_ns, before.st_size, len(data)) == (after.st_mtime_ns, after.st_size, after.st_size):
            return data
    raise Unreadable("changed_while_read")


def _in_order(root: Path, manifest: pd.DataFrame, caps: Caps) -> Iterator[Scanned]:
    """The results in the manifest's order; a window of them is under way on all cores."""
    workers = len(os.sched_getaffinity(0))
    window: deque[Future[Scanned]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for path, reasons in zip(manifest["path"], manifest["reasons"], strict=True):
                usable = all(reason == "no_label" for reason in reasons)
                window.append(pool.submit(scan_file, root, path, caps) if usable else pool.submit(Scanned))
                if len(window) > workers * _UNDER_WAY:
                    yield window.popleft().result()
            while window:
                yield window.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)  # after an interruption nothing more is read


_DTYPES = {
    "sha256": "str",
    "bytes": "Int64",
    "width": "Int64",
    "height": "Int64",
    "mode": "str",
    "format": "str",
} | dict.fromkeys(MEASURES, "float64")


def _row(scanned: Scanned) -> dict[str, object]:
    header = asdict(scanned.header) if scanned.header else dict.fromkeys(field.name for field in fields(Header))
    measures = asdict(scanned.measures) if scanned.measures else dict.fromkeys(MEASURES)
    return {**header, **measures, "scan_reasons": [scanned.reason] if scanned.reason else []}


class _Store:
    """Pixels in the order of arrival, each content once; `finish` puts them in the order of their hashes."""

    def __init__(self, folder: Path, most: int, side_px: int) -> None:
        self._folder, self._side_px = folder, side_px
        self._path = folder / "arrival.part"
        self._arrival = np.memmap(self._path, np.uint8, "w+", shape=(max(1, most), side_px, side_px, 3))  # sparse
        self._place: dict[str, int] = {}

    def add(self, scanned: Scanned) -> None:
        if scanned.pixels is not None and scanned.header and scanned.header.sha256 not in self._place:
            self._arrival[len(self._place)] = scanned.pixels
            self._place[scanned.header.sha256] = len(self._place)

    def finish(self) -> dict[str, int]:
        """Write the array; content hash -> its row."""
        prepared = create_prepared(self._folder, len(self._place), self._side_px)
        rows = {sha256: row for row, sha256 in enumerate(sorted(self._place))}
        for sha256, row in rows.items():
            prepared[row] = self._arrival[self._place[sha256]]
        del self._arrival
        self._path.unlink()
        return rows
