"""Archives for tests: written by Python's own modules, or byte by byte where those would refuse."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from hypothesis import strategies as st

from tasks.ingest.names import folded


def write_tar(path: Path, files: Mapping[str, bytes], format: int = tarfile.PAX_FORMAT, mode: str = "w") -> Path:
    """A tar with these files, in this order; a name that ends in `/` is a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode, format=format) as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name.removesuffix("/"))
            member.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def write_zip(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip with these files, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", method) as zipped:
        for name, data in files.items():
            zipped.writestr(name, data)
    return path


def tar_with(path: Path, member: tarfile.TarInfo, data: bytes = b"") -> Path:
    """A tar with a fair file and then `member`."""
    with tarfile.open(path, "w") as tar:
        fair = tarfile.TarInfo("cat/1.jpg")
        fair.size = 1
        tar.addfile(fair, io.BytesIO(b"x"))
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return path


def header(name: bytes, size: int, kind: bytes = b"0") -> bytes:
    """One ustar header with a true checksum, whatever it says."""
    block = bytearray(512)
    block[: len(name)] = name
    block[124:136] = b"%011o\0" % size
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


END = bytes(1024)

NAME = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="\\/:."), min_size=1)
PATH = st.lists(NAME, min_size=1, max_size=6).map("/".join).filter(lambda path: len(path.encode()) < 900)
FILES = st.dictionaries(PATH, st.binary(max_size=1500), max_size=8)


def distinct(files: dict[str, bytes]) -> dict[str, bytes]:
    """Without names that would be refused for each other."""
    return {name: files[name] for name in {folded(name): name for name in files}.values()}
