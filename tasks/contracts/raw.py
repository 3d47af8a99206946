"""The bytes of a sample: a whole file of the data folder, or a member of an archive there, all from one moment."""

import os
import stat
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the processes that only read do without
    import pandas as pd

COLUMNS = ("path", "archive", "offset", "stored_bytes", "deflated")


class Unreadable(Exception):
    """A sample's bytes cannot be had; `reason` is an id of contracts/reasons.py."""

    def __init__(self, reason: str) -> None:
        """`reason`: missing_file, not_a_file, unreadable, changed_while_read, too_many_bytes or damaged."""
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Place:
    """Where the bytes are: `file` below the data folder, for a member `stored_bytes` of it from `offset` on."""

    file: str
    offset: int = 0
    stored_bytes: int | None = None  # None: the whole file
    deflated: bool = False


def places(rows: "pd.DataFrame") -> list[Place]:
    """The places of manifest rows (COLUMNS)."""
    return [_place(*row) for row in rows[list(COLUMNS)].itertuples(index=False, name=None)]


def read_raw(root: Path, place: Place, max_bytes: int) -> bytes:
    """The sample's bytes; a file that changes while it is read is tried twice. Raises Unreadable."""
    for _ in range(2):
        data = _read_once(root / place.file, place, max_bytes)
        if data is not None:
            return _inflated(data, max_bytes) if place.deflated else data
    raise Unreadable("changed_while_read")


def _place(path: str, archive: Any, offset: Any, stored_bytes: Any, deflated: Any) -> Place:
    return Place(archive, int(offset), int(stored_bytes), bool(deflated)) if isinstance(archive, str) else Place(path)


def _read_once(file: Path, place: Place, max_bytes: int) -> bytes | None:
    """None where the file changed meanwhile."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK)  # a pipe without a writer must not hang
    except OSError as error:
        raise Unreadable("missing_file" if isinstance(error, FileNotFoundError) else "unreadable") from error
    try:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise Unreadable("not_a_file")
        size = before.st_size if place.stored_bytes is None else place.stored_bytes
        if size > max_bytes + (_deflate_overhead(max_bytes) if place.deflated else 0):
            raise Unreadable("too_many_bytes")
        data = _all_of(handle, size, place.offset)
        after = os.fstat(handle)
    except OSError as error:
        raise Unreadable("unreadable") from error
    finally:
        os.close(handle)
    unchanged = (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
    return data if unchanged and len(data) == size else None


def _deflate_overhead(size: int) -> int:
    """What deflating may add to bytes that it cannot shrink, such as a JPEG's (zlib's bound)."""
    return (size >> 12) + (size >> 14) + (size >> 25) + 13


def _all_of(handle: int, size: int, offset: int) -> bytes:
    """`size` bytes, or fewer where the file ends; one call of the system mostly gives all."""
    data = os.pread(handle, size, offset)
    while len(data) < size and (more := os.pread(handle, size - len(data), offset + len(data))):
        data += more
    return data


def _inflated(data: bytes, max_bytes: int) -> bytes:
    """Never more than `max_bytes`, whatever the archive promised."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        out = stream.decompress(data, max_bytes + 1)
    except zlib.error as error:
        raise Unreadable("damaged") from error
    if len(out) > max_bytes:
        raise Unreadable("too_many_bytes")
    if not stream.eof:
        raise Unreadable("damaged")
    return out
