"""The three files of a cache of prepared pixels (prepared.py), written record by record at any place, in any order.

Apart from the cache itself, so that a process that only writes pixels holds no table and imports no pandas.
"""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tasks.contracts.images import RGB, Decoded

HASH_BYTES = 32
NAMES = ("pixels", "thumbnails", "hashes")


class RecordFiles:
    """Files of equally many records; writing works inside `opened()`. Raises OSError where the disk is full."""

    def __init__(self, folder: Path) -> None:
        """Nothing is created before the files are opened."""
        self.folder = folder
        self._handles: tuple[int, ...] = ()

    @contextmanager
    def opened(self) -> Iterator["RecordFiles"]:
        """Hold the files open, made where there are none."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._handles = tuple(os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o644) for name in NAMES)
        try:
            yield self
        finally:
            for handle in self._handles:
                os.close(handle)
            self._handles = ()

    def write(self, row: int, decoded: Decoded) -> None:
        """An image's pixels and thumbnail; the record does not exist yet."""
        for handle, record in zip(self._handles[:2], (decoded.pixels, decoded.thumbnail), strict=True):
            _write(handle, np.ascontiguousarray(record).data.cast("B"), row)

    def name(self, row: int, sha256: str) -> None:
        """Say whose the record is: now it exists."""
        _write(self._handles[2], memoryview(bytes.fromhex(sha256)), row)


def checksum_of(pixels: RGB) -> int:
    """The CRC-32 of one image's prepared pixels."""
    return zlib.crc32(np.ascontiguousarray(pixels).data)


def _write(handle: int, record: memoryview, row: int) -> None:
    """One record at its place; a short write is a full disk."""
    if os.pwrite(handle, record, row * len(record)) != len(record):
        raise OSError(28, "no space left on device")
