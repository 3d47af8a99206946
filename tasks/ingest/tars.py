"""The headers of a tar file, read strictly in one pass: ustar, GNU and pax.

Python's own reader takes a broken header for the end, repairs and follows; here every oddity is an error, for a file
that is passed over without a word is lost. Format: POSIX.1-2017, `pax`, "ustar Interchange Format" and "pax Header
Block"; GNU tar manual, "Basic Tar Format".
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.errors import BadData
from tasks.ingest.members import Member, broken, fair_name, refused

_BLOCK = 512
_MAX_EXTENSION = 1 << 20  # bytes of a long name or of a pax header
_PIECE = 1 << 20
_FILES, _FOLDER = b"0\x007", b"5"
_LONG_NAME, _LONG_LINK, _PAX, _PAX_OF_ALL = b"L", b"K", b"x", b"g"
_EXTENSIONS = (_LONG_NAME, _LONG_LINK, _PAX, _PAX_OF_ALL)
_REFUSED = {
    b"1": "is a hard link",
    b"2": "is a symbolic link",
    b"3": "is a device",
    b"4": "is a device",
    b"6": "is a pipe",
    b"S": "is a sparse file",
    b"M": "is continued from another volume",
}
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK": "zip"}


@dataclass(frozen=True)
class _Tar:
    path: Path
    handle: int
    end: int

    def read(self, size: int, offset: int) -> bytes:
        data = os.pread(self.handle, size, offset)
        if len(data) < size:
            raise broken(self.path, f"it ends after {self.end:,} bytes, in the middle of a member")
        return data


@dataclass(frozen=True)
class _Header:
    name: bytes
    kind: bytes
    size: int


def tar_members(path: Path) -> Iterator[Member]:
    """Every file and folder, in the order of the archive.

    Raises BadData at the first member that is not fair or where the archive is not whole, OSError if it cannot be read.
    """
    with path.open("rb") as file:
        tar = _Tar(path, file.fileno(), os.fstat(file.fileno()).st_size)
        position, extra = 0, dict[str, bytes]()
        while (header := _header(tar, position)) is not None:
            if header.kind in _EXTENSIONS:
                extra |= _extension(tar, header, position + _BLOCK)
                position += _BLOCK + _padded(header.size)
                continue
            member = _member(tar, header, position + _BLOCK, extra)
            position, extra = member.offset + _padded(member.stored_bytes), {}
            if member.name:
                yield member
        if extra:
            raise broken(path, "it ends after a long name without its member")
        _require_silence(tar, position)


def _header(tar: _Tar, position: int) -> _Header | None:
    """None at the mark of the end."""
    block = os.pread(tar.handle, _BLOCK, position)
    if len(block) < _BLOCK:
        raise broken(tar.path, f"it ends after {tar.end:,} bytes without the mark of its end")
    if not block[0] and block == bytes(_BLOCK):
        return None
    if _number(block[148:156]) not in _sums(block):
        raise broken(tar.path, _no_header(block, position))
    size = _number(block[124:136])
    if size is None:
        raise broken(tar.path, f"the header at byte {position:,} gives no size")
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    return _Header(name, block[156:157], size)


def _sums(block: bytes) -> tuple[int, ...]:
    """The checksum of a header, with its own field as spaces; some old programs added signed bytes."""
    rest = block[:148] + block[156:]
    total = sum(rest) + 8 * 32
    return (total,) if rest.isascii() else (total, total - 256 * sum(byte > 127 for byte in rest))


def _no_header(block: bytes, position: int) -> str:
    if position:
        return f"no member starts at byte {position:,}, where the next should"
    compression = next((name for start, name in _COMPRESSIONS.items() if block.startswith(start)), None)
    return f"it is {compression} data, not tar; name it so" if compression else "it is no tar file"


def _number(field: bytes) -> int | None:
    """Octal digits, or GNU's big-endian bytes after 0x80; None for what is neither or negative."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip(b" ")
    if digits.strip(b"01234567"):
        return None
    return int(digits or b"0", 8)


def _extension(tar: _Tar, header: _Header, offset: int) -> dict[str, bytes]:
    """What an extension header says of the next member, under pax's keys."""
    if header.size > _MAX_EXTENSION:
        raise broken(tar.path, f"a header of {header.size:,} bytes")
    data = tar.read(header.size, offset)
    if header.kind == _LONG_NAME:
        return {"path": data.partition(b"\0")[0]}
    if header.kind == _LONG_LINK:
        return {"linkpath": data}
    said = _pax(tar, data)
    if header.kind == _PAX_OF_ALL:
        if said.keys() & {"path", "size", "linkpath"} or any(key.startswith("GNU.sparse") for key in said):
            raise broken(tar.path, "one header gives all members their name or size")
        return {}
    return said


def _pax(tar: _Tar, data: bytes) -> dict[str, bytes]:
    """The records: a length that counts itself, a space, KEY=VALUE and a line end."""
    said: dict[str, bytes] = {}
    start = 0
    while start < len(data):
        space = data.find(b" ", start, start + 9)
        digits = data[start:space] if space > start else b""
        end = start + int(digits) if digits.isdigit() else 0
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if end <= space or data[end - 1 : end] != b"\n" or not equals:
            raise broken(tar.path, "a pax header that cannot be read")
        said[key.decode(errors="replace")] = value
        start = end
    return said


def _member(tar: _Tar, header: _Header, offset: int, extra: dict[str, bytes]) -> Member:
    name = fair_name(tar.path, extra.get("path", header.name))
    if problem := _problem(header, extra):
        raise refused(tar.path, name, problem)
    is_folder = header.kind == _FOLDER or extra.get("path", header.name).endswith(b"/")
    size = int(extra["size"]) if "size" in extra else header.size
    if is_folder and size:
        raise refused(tar.path, name, "is a folder with bytes")
    if not name and not is_folder:
        raise refused(tar.path, name, "has no name")
    if offset + size > tar.end:
        raise broken(tar.path, f"it ends after {tar.end:,} bytes, within member {name!r}")
    return Member(name, offset, size, size, deflated=False, is_folder=is_folder)


def _problem(header: _Header, extra: dict[str, bytes]) -> str | None:
    if any(key.startswith("GNU.sparse") for key in extra):
        return _REFUSED[b"S"]
    if "linkpath" in extra and header.kind not in b"12":
        return "is a file with the target of a link"
    if not extra.get("size", b"0").isdigit() or len(extra.get("size", b"")) > 19:
        return "has a size that is no number"
    if header.kind in _REFUSED:
        return _REFUSED[header.kind]
    return None if header.kind in _FILES or header.kind == _FOLDER else f"is of the unknown kind {header.kind!r}"


def _require_silence(tar: _Tar, position: int) -> None:
    """After the end there may be padding only: a second archive that was appended would be lost."""
    while data := os.pread(tar.handle, _PIECE, position):
        if data.count(0) != len(data):
            raise BadData(f"{tar.path} holds more after its end (joined with `cat`?); make one archive of it")
        position += len(data)


def _padded(size: int) -> int:
    return (size + _BLOCK - 1) // _BLOCK * _BLOCK
