"""The prepared pixels: every usable image decoded once, square, uint8, in a cache that is keyed by content.

Not an artifact of DVC's: they can be made again from `data/raw`, and would be hashed and copied at every run. What DVC
versions is `checked.parquet`, whose columns `prepared_px` and `pixels_crc32` pin them: `open_checked` gives pixels
with those checksums or says what is wrong.

The cache only grows by appending. In its folder lie three files of equally many records: pixels, thumbnails, and the
hashes that say whose they are. A record without a hash does not exist, so an interrupted writer leaves nothing wrong.
"""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts.errors import BadData
from tasks.contracts.files import read_table
from tasks.contracts.images import PIXELS_VERSION, THUMBNAIL_PX, Decoded, Undecodable, decode, decoder_warnings_off
from tasks.contracts.progress import progress
from tasks.contracts.raw import Unreadable, places, read_raw
from tasks.contracts.record_files import HASH_BYTES, NAMES, RecordFiles, checksum_of
from tasks.contracts.workspace import Workspace

Pixels = NDArray[np.uint8]

Stamp = tuple[int, ...]  # of a file: other bytes, another stamp; the time of its last change comes last

# The file that was last looked at, its records and checksums. Of the process, since the stages of one know nothing of
# each other: each opens the table anew, and reading gigabytes six times a run would cost more than the change.
_HELD: list[tuple[Stamp, set[tuple[int, int]]]] = []
_SAME_MOMENT_NS = 50_000_000  # longer than the ticks of a file system's clock
_NOBODY = bytes(HASH_BYTES)
_SPARE = 1000  # records of images that are gone, which are kept whatever their share


@dataclass(frozen=True)
class Records:
    """Chosen records of a file, read by `records[positions]` without mapping it, so that memory stays flat."""

    path: Path
    one: tuple[int, ...]  # shape of one record, uint8
    rows: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """(records, ...)."""
        return (len(self.rows), *self.one)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, positions: NDArray[np.int64] | list[int] | slice) -> Pixels:
        rows = self.rows[positions]
        out = np.empty((len(rows), *self.one), np.uint8)
        size = int(np.prod(self.one))
        with self.path.open("rb", buffering=0) as file:
            for place, row in zip(out, rows, strict=True):
                if os.preadv(file.fileno(), [place], int(row) * size) != size:
                    raise OSError(f"{self.path} ends before record {row}")
        return out


class Store:
    """The cache of one side length. One process has it; others may write pixels into the rows that it reserves."""

    def __init__(self, folder: Path, side_px: int) -> None:
        """Nothing is created before the first image is added."""
        self.folder = folder / f"{side_px}px-{PIXELS_VERSION}"
        self.side_px = side_px
        self.files = RecordFiles(self.folder)
        self._shapes = ((side_px, side_px, 3), (THUMBNAIL_PX, THUMBNAIL_PX, 3))
        hashes = self._file("hashes").read_bytes() if self._file("hashes").exists() else b""
        found = (hashes[at : at + HASH_BYTES] for at in range(0, len(hashes) - HASH_BYTES + 1, HASH_BYTES))
        self._rows = {key.hex(): row for row, key in enumerate(found) if key != _NOBODY}
        self._next = len(hashes) // HASH_BYTES
        self._free: list[int] = []  # rows below `_next` that were reserved and not needed

    @contextmanager
    def writing(self) -> Iterator["Store"]:
        """`add` and `claim` work inside. Raises OSError where the disk is full; what was added before stays."""
        with self.files.opened():
            yield self

    def add(self, sha256: str, decoded: Decoded) -> None:
        """Keep an image's pixels and thumbnail; nothing happens where they are there already."""
        if sha256 not in self._rows:
            row = self.reserve()
            self.files.write(row, decoded)
            self.claim(sha256, row)

    def reserve(self) -> int:
        """A row that nobody has, for pixels whose content is not known yet."""
        if self._free:
            return self._free.pop()
        self._next += 1
        return self._next - 1

    def claim(self, sha256: str, row: int) -> None:
        """The pixels in the reserved `row` are this content's; where it has a record already, the row is free again."""
        if sha256 in self._rows:
            self.release(row)
            return
        self.files.name(row, sha256)  # after the pixels: now the record exists
        self._rows[sha256] = row

    def release(self, row: int) -> None:
        """The reserved row is not needed."""
        self._free.append(row)

    def forget(self, sha256: str) -> None:
        """Drop a record, so that it can be added anew."""
        row = self._rows.pop(sha256, None)
        if row is not None:
            with self._file("hashes").open("r+b") as file:
                file.seek(row * HASH_BYTES)
                file.write(_NOBODY)

    def has(self, sha256: str) -> bool:
        """Whether the pixels of this content are there."""
        return sha256 in self._rows

    def rows(self, sha256: pd.Series) -> pd.Series:
        """The record of each content hash, -1 where there is none."""
        return sha256.map(self._rows).fillna(-1).astype("int64")

    def pixels(self) -> Pixels:
        """All records' pixels, read-only, mapped: shape (records, side_px, side_px, 3), RGB."""
        if not self._rows:
            return np.empty((0, *self._shapes[0]), np.uint8)
        records = self._file("pixels").stat().st_size // int(np.prod(self._shapes[0]))
        return np.memmap(self._file("pixels"), np.uint8, "r", shape=(records, *self._shapes[0]))

    def stamp(self) -> Stamp:
        """What changes with the file of the pixels; empty where there is none."""
        try:
            found = self._file("pixels").stat()
        except FileNotFoundError:
            return ()
        return found.st_dev, found.st_ino, found.st_size, max(found.st_mtime_ns, found.st_ctime_ns)

    def pixels_of(self, sha256: pd.Series) -> Records:
        """The pixels of these contents, all of which must be there: (side_px, side_px, 3) each, RGB."""
        return Records(self._file("pixels"), self._shapes[0], self.rows(sha256).to_numpy(np.int64))

    def thumbnails(self, sha256: pd.Series) -> Records:
        """The thumbnails of these contents, all of which must be there: (THUMBNAIL_PX, THUMBNAIL_PX, 3) each, RGB."""
        return Records(self._file("thumbnails"), self._shapes[1], self.rows(sha256).to_numpy(np.int64))

    def compact(self, wanted: set[str]) -> None:
        """Rewrite the cache without the images that are no longer `wanted`, once these are most of it."""
        if self._next <= 2 * len(wanted) + _SPARE:
            return
        part = self.folder.with_name(f".{self.folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        kept = [(sha256, row) for sha256, row in self._rows.items() if sha256 in wanted]
        sizes = (*(int(np.prod(shape)) for shape in self._shapes), HASH_BYTES)
        for name, size in zip(NAMES, sizes, strict=True):
            with self._file(name).open("rb") as old, (part / name).open("wb") as new:
                for _, row in kept:
                    old.seek(row * size)
                    new.write(old.read(size))
        shutil.rmtree(self.folder)
        part.replace(self.folder)
        self._rows = {sha256: row for row, (sha256, _) in enumerate(kept)}
        self._next, self._free = len(kept), []

    def _file(self, name: str) -> Path:
        return self.folder / name


def open_checked(ws: Workspace) -> tuple[pd.DataFrame, Pixels]:
    """`checked.parquet` with a column `pixels`, the row of an image in the array beside it, -1 for none.

    Every record is held against its checksum, once in a process while nobody writes to the cache; what is missing or
    wrong there is decoded anew.
    Raises BrokenArtifact where the table is missing, BadData where `data/raw` no longer holds what was checked.
    """
    checked = read_table(ws.checked)
    usable = checked["pixels_crc32"].notna()
    if not usable.any():
        return checked.assign(pixels=-1), np.empty((0, 1, 1, 3), np.uint8)
    side_px = int(checked["prepared_px"].max())
    store = Store(ws.prepared, side_px)
    rows = store.rows(checked["sha256"]).where(usable, -1)
    if wrong := _wrong(store, rows[usable], checked["pixels_crc32"][usable]):
        _restore(ws, store, checked.loc[wrong].drop_duplicates("sha256"), side_px)
        rows = store.rows(checked["sha256"]).where(usable, -1)
    return checked.assign(pixels=rows), store.pixels()


def _wrong(store: Store, rows: pd.Series, checksums: pd.Series) -> list[int]:
    """Index labels of the rows whose record is missing or does not have its checksum."""
    pixels, stamp, began = store.pixels(), store.stamp(), time.time_ns()
    asked = set(zip(rows, checksums, strict=True))
    wrong = {(row, checksum) for row, checksum in sorted(asked - _held(stamp)) if not _holds(pixels, row, checksum)}
    if stamp and stamp[-1] < began - _SAME_MOMENT_NS:
        _HELD[:] = [(stamp, _held(stamp) | (asked - wrong))]
    return rows.index[rows.isin({row for row, _ in wrong})].tolist()


def _held(stamp: Stamp) -> set[tuple[int, int]]:
    return next((held for of, held in _HELD if of == stamp), set())


def _holds(pixels: Pixels, row: int, checksum: int) -> bool:
    return 0 <= row < len(pixels) and checksum_of(pixels[row]) == checksum


def _restore(ws: Workspace, store: Store, rows: pd.DataFrame, side_px: int) -> None:
    named = zip(places(rows), rows["sha256"], rows["pixels_crc32"], rows["path"], rows["bytes"], strict=True)
    with store.writing(), decoder_warnings_off():
        for place, sha256, checksum, path, size in progress(named, len(rows), "preparing pixels again"):
            store.forget(sha256)
            try:
                decoded = decode(read_raw(ws.raw, place, int(size)), side_px, max_megapixels=np.inf)
            except (Unreadable, Undecodable):
                decoded = None
            if decoded is None or checksum_of(decoded.pixels) != checksum:
                raise BadData(f"data/raw/{path} is not what was checked; run `graft run`, which checks it anew")
            store.add(sha256, decoded)
