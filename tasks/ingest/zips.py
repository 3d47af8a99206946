"""The members of a zip file, from its directory at the end and the header before each member's data.

Format: PKWARE, APPNOTE.TXT 6.3.10.
"""

import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from tasks.contracts.errors import one_line
from tasks.ingest.members import Member, broken, fair_name, refused

_LOCAL = struct.Struct("<4s5H3I2H")  # signature, version, flags, method, time, date, crc, sizes, lengths
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8 = 0x800
_UNIX = 3
_BROKEN = (BadZipFile, NotImplementedError, ValueError, struct.error, EOFError, LookupError)


@dataclass(frozen=True)
class _Zip:
    path: Path
    handle: int
    end: int  # where the directory starts


def zip_members(path: Path) -> Iterator[Member]:
    """Every file and folder, in the order of their data.

    Raises BadData at the first member that is not fair or where the archive is not whole, OSError if it cannot be read.
    """
    with path.open("rb") as file:
        infos, end = _directory(path, file)
        zipped = _Zip(path, file.fileno(), end)
        last_name, last_end = "", 0
        for info in sorted(infos, key=lambda info: info.header_offset):
            member = _member(zipped, info)
            if info.header_offset < last_end:
                raise refused(path, member.name, f"shares bytes with {last_name!r}")
            last_name, last_end = member.name, member.offset + member.stored_bytes
            if member.name:
                yield member


def _directory(path: Path, file: BinaryIO) -> tuple[list[ZipInfo], int]:
    try:
        with ZipFile(file) as zipped:
            return zipped.infolist(), zipped.start_dir
    except _BROKEN as error:
        raise broken(path, one_line(str(error)) or "it is no zip file") from None
    except OSError as error:  # it seeks to where a broken directory says
        raise broken(path, f"its directory cannot be read ({error.strerror or error})") from None


def _member(zipped: _Zip, info: ZipInfo) -> Member:
    raw = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
    name = fair_name(zipped.path, raw)
    is_folder = raw.endswith(b"/")
    if problem := _problem(info, is_folder=is_folder) or (None if name or is_folder else "has no name"):
        raise refused(zipped.path, name, problem)
    offset = _data_offset(zipped, info, raw, name)
    return Member(name, offset, info.compress_size, info.file_size, info.compress_type == ZIP_DEFLATED, is_folder)


def _problem(info: ZipInfo, *, is_folder: bool) -> str | None:
    mode = info.external_attr >> 16 if info.create_system == _UNIX else 0
    if stat.S_IFMT(mode) not in (0, stat.S_IFDIR if is_folder else stat.S_IFREG):
        return "is a link or a device" if not is_folder else "is no folder, although it is named as one"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return f"is packed by method {info.compress_type}, and graft reads only stored and deflated ones"
    if is_folder and info.file_size:
        return "is a folder with bytes"
    return "has two sizes" if info.compress_type == ZIP_STORED and info.compress_size != info.file_size else None


def _data_offset(zipped: _Zip, info: ZipInfo, raw: bytes, name: str) -> int:
    """Where the data lies: after the member's own header, which must say what the directory says."""
    header = os.pread(zipped.handle, _LOCAL.size + len(raw), info.header_offset) if info.header_offset >= 0 else b""
    if len(header) < _LOCAL.size:
        raise broken(zipped.path, f"member {name!r} is not where the directory says")
    signature, _, flags, method, *_, name_bytes, extra_bytes = _LOCAL.unpack_from(header)
    if signature != b"PK\3\4" or method != info.compress_type or header[_LOCAL.size :][:name_bytes] != raw:
        raise broken(zipped.path, f"member {name!r} is not where the directory says")
    if flags & _ENCRYPTED:
        raise refused(zipped.path, name, "is encrypted")
    offset = info.header_offset + _LOCAL.size + int(name_bytes) + int(extra_bytes)
    if offset + info.compress_size > zipped.end:
        raise broken(zipped.path, f"member {name!r} runs into the directory")
    return offset
