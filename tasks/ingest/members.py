"""One member of an archive, and what is asked of each before any is used. Nothing is ever unpacked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.contracts.errors import BadData
from tasks.ingest.names import problem_of, twins

MAX_MEMBERS = 5_000_000
MAX_RATIO = 1000  # deflate's own limit is 1032 to 1: https://zlib.net/zlib_tech.html
RATIO_COUNTS_FROM = 10_000_000  # bytes: a small file may well be one flat colour
MAX_TOTAL_BYTES = 10**12  # of one archive, inflated


@dataclass(frozen=True, slots=True)
class Member:
    """A file or folder in an archive: its POSIX name, where its stored data lies, and how large it is inflated."""

    name: str
    offset: int = 0
    stored_bytes: int = 0
    bytes: int = 0
    deflated: bool = False
    is_folder: bool = False


def refused(archive: Path, member: str, problem: str) -> BadData:
    """The error of an archive that is not used because of one member."""
    return BadData(f"{archive}: member {member!r} {problem}; nothing of the archive is used, make it anew without that")


def broken(archive: Path, problem: str) -> BadData:
    """The error of an archive that is not whole."""
    return BadData(f"{archive} is broken: {problem}; get or make it anew")


def fair_name(archive: Path, raw: bytes) -> str:
    """A member's name without `./`, doubled slashes and the slash of a folder; empty for the folder itself.

    Raises BadData where it is no UTF-8 text or would lead out of the archive.
    """
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise refused(archive, raw.decode(errors="backslashreplace"), "has a name that is not UTF-8 text") from None
    if name in (".", "./"):
        return ""
    if problem := problem_of(name):
        raise refused(archive, name, problem)
    if name.startswith("./") or "//" in name or "/." in name or name.endswith("/"):
        return "/".join(part for part in name.split("/") if part not in ("", "."))
    return name


def refuse_bad_company(archive: Path, members: Sequence[Member]) -> None:
    """Raise BadData for what only all members together show: too many, two of one name, too much when inflated."""
    if len(members) > MAX_MEMBERS:
        raise BadData(f"{archive} has more than {MAX_MEMBERS:,} members; make several archives of it")
    if pair := twins(member.name for member in members if not member.is_folder):
        raise refused(archive, pair[1], f"has the name of member {pair[0]!r}, or one that differs only in case or form")
    for member in members:
        if member.bytes > max(RATIO_COUNTS_FROM, MAX_RATIO * member.stored_bytes):
            raise refused(archive, member.name, f"would grow from {member.stored_bytes:,} to {member.bytes:,} bytes")
    if sum(member.bytes for member in members) > MAX_TOTAL_BYTES:
        raise BadData(f"{archive} would grow to more than {MAX_TOTAL_BYTES:,} bytes; make several archives of it")
