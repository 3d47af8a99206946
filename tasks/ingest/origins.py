"""Where the first data of a workspace come from; brought whole or not at all, archives as they are."""

import bz2
import gzip
import lzma
import shutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from tasks.contracts.errors import BadData
from tasks.contracts.files import replacing
from tasks.contracts.progress import doing, progress, say
from tasks.ingest.archives import list_archive, plain_name
from tasks.ingest.members import broken
from tasks.ingest.names import ARCHIVE_ENDINGS, COMPRESSED_ENDINGS, is_archive, is_compressed_tar, is_visible
from tasks.ingest.remote import Remote, copy_remote, find_remote, is_address

_OPENERS: dict[bytes, Callable[[Path], object]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_BROKEN = (OSError, EOFError, zlib.error, lzma.LZMAError)
_PIECE = 1 << 20
_ALWAYS_ALLOWED, _MAX_GROWTH = 10**9, 100  # bytes, and times: pictures hardly shrink, so a tar of them hardly grows


@dataclass(frozen=True)
class LocalFolder:
    """A folder whose files are copied, links as links."""

    path: Path


@dataclass(frozen=True)
class LocalArchive:
    """A tar or zip file, perhaps a compressed tar."""

    path: Path


Origin = LocalFolder | LocalArchive | Remote


def find_origin(source: str) -> Origin:
    """What `--data` names: a folder, an archive or an address of either. Nothing is written.

    Raises BadData where nothing usable is there, and what `find_remote` raises.
    """
    if is_address(source) and not source.startswith(("file://", "local://")):
        return find_remote(source)
    path = Path(source.removeprefix("file://").removeprefix("local://"))
    if path.is_dir():
        if not any(file.is_file() for file in path.rglob("*")):
            raise BadData(f"--data {source} holds no file")
        return LocalFolder(path)
    if not path.exists():
        raise BadData(f"--data {source} is not there")
    if not is_visible(path.name):
        raise BadData(f"--data {source} is a hidden file, which is never read; rename it")
    if not path.is_file() or not (is_archive(path.name) or is_compressed_tar(path.name)):
        endings = ", ".join((*ARCHIVE_ENDINGS, *COMPRESSED_ENDINGS[:6]))
        raise BadData(f"--data {source} is a file, not a folder or an archive ({endings})")
    if not is_compressed_tar(path.name):
        list_archive(path)
    return LocalArchive(path)


def bring(origin: Origin, raw: Path) -> None:
    """Make `raw` with all files of the origin in it, or nothing.

    An archive is checked and stays one; a compressed tar becomes a plain one, whose members can be read where they
    lie. Raises BadData for an archive that is refused, BadEnvironment where a remote place fails.
    """
    with replacing(raw) as part:
        part.mkdir()
        match origin:
            case LocalFolder(path):
                _copy_folder(path, part)
            case LocalArchive(path):
                _copy_archive(path, part)
            case Remote(files=(only,)) as remote if is_archive(only.name) or is_compressed_tar(only.name):
                copy_remote(remote, part)
                _settle(part / only.name, remote.shown)
            case Remote() as remote:
                copy_remote(remote, part)


def _copy_folder(path: Path, folder: Path) -> None:
    """Empty folders too: one may be a class that was forgotten."""
    entries = sorted(path.rglob("*"))
    for entry in progress(entries, len(entries), f"copying {path}", "files"):
        target = folder / entry.relative_to(path)
        if entry.is_symlink() or entry.is_file():
            shutil.copy2(entry, target, follow_symlinks=False)
        elif entry.is_dir():
            target.mkdir()
        else:
            say(f"{entry} is a pipe, socket or device, and is not copied")


def _copy_archive(path: Path, folder: Path) -> None:
    with doing(f"copying {path}"):
        shutil.copyfile(path, folder / path.name)
    _settle(folder / path.name, str(path))


def _settle(archive: Path, shown: str) -> None:
    """Leave a checked, plain archive where one was put; messages name the place that it came from."""
    try:
        if is_compressed_tar(archive.name):
            plain = archive.with_name(plain_name(archive.name))
            decompress(archive, plain)
            archive.unlink()
            archive = plain
        list_archive(archive)
    except BadData as error:
        raise BadData(str(error).replace(str(archive), shown)) from None


def decompress(source: Path, target: Path) -> None:
    """Write what a gzip, bzip2 or xz file holds.

    Raises BadData where it is broken, of another kind, or grows beyond 1 GB and 100 times its size.
    """
    with source.open("rb") as file:
        start = file.read(6)
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
    if opener is None:
        raise BadData(f"{source} is not compressed by gzip, bzip2 or xz; decompress it yourself")
    most, written = max(_ALWAYS_ALLOWED, _MAX_GROWTH * source.stat().st_size), 0
    with cast(BinaryIO, opener(source)) as packed, target.open("wb") as out:
        while piece := _piece(packed, source):
            written += len(piece)
            if written > most:
                raise BadData(f"{source} grows to more than {most:,} bytes; decompress it yourself if that is right")
            out.write(piece)


def _piece(packed: BinaryIO, source: Path) -> bytes:
    try:
        return packed.read(_PIECE)
    except _BROKEN as error:
        raise broken(source, str(error)) from None
