"""One pass over one file: hash, header, measures and prepared pixels, in the scan's own process or in a worker.

A worker imports this module and what it needs, so neither pandas nor torch belongs here.
"""

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.images import Undecodable, decode
from tasks.contracts.raw import Place, Unreadable, read_raw
from tasks.contracts.record_files import RecordFiles, checksum_of
from tasks.quality.measures import measure

Row = dict[str, object]
Job = tuple[Place, int]  # a file, and the record that is reserved for its pixels
Found = Row | str  # a row of the table, or the hash alone where the content is known


@dataclass(frozen=True)
class Caps:
    """What is read at all, and how large the prepared pixels are."""

    side_px: int
    max_megapixels: float
    max_megabytes: float


@dataclass(frozen=True)
class Reader:
    """What all files of one scan share; `known` are the hashes of contents that need not be decoded."""

    root: Path
    caps: Caps
    files: RecordFiles
    known: frozenset[str]


def read_piece(reader: Reader, piece: list[Job], one_large: AbstractContextManager[object]) -> list[Found]:
    """What is found of each file. Raises OSError where the disk is full."""
    return [_read(reader, place, record, one_large) for place, record in piece]


def _read(reader: Reader, place: Place, record: int, one_large: AbstractContextManager[object]) -> Found:
    """Never raises for what is wrong with a file."""
    caps = reader.caps
    try:
        data = read_raw(reader.root, place, int(caps.max_megabytes * 1e6))
    except Unreadable as error:
        return {"reason": error.reason}
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 in reader.known:
        return sha256
    header: Row = {"sha256": sha256, "bytes": len(data)}
    try:
        image = decode(data, caps.side_px, caps.max_megapixels, one_large)
    except Undecodable as error:
        return header | {"reason": error.reason}
    reader.files.write(record, image)
    return header | {
        "width": image.width,
        "height": image.height,
        "mode": image.mode,
        "format": image.format,
        "has_location": image.has_location,
        "camera": image.camera,
        "prepared_px": caps.side_px,
        "pixels_crc32": checksum_of(image.pixels),
        "aspect": max(image.width, image.height) / min(image.width, image.height),
        "jpeg_quality": image.jpeg_quality,
        **vars(measure(image)),
    }
