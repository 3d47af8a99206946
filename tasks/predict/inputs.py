"""Which files are meant: by name, by folder, by pattern, or by a list that comes in."""

import glob
import os
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from tasks.contracts.errors import BadUsage
from tasks.contracts.progress import say
from tasks.contracts.raw import Place, Unreadable, read_raw
from tasks.ingest.names import may_be_sample
from tasks.ingest.walk import visible
from tasks.predict.engine import Read

LISTED = "-"  # a list of paths on stdin, one a line
_MAX_BYTES = 2_000_000_000
_HERE = Path()


def find_files(wanted: Iterable[str], listed: Iterable[str]) -> list[str]:
    """The path of every file that `wanted` names, each once, in the order of `wanted` and by name within a folder.

    A folder stands for all files below it but hidden ones, links to folders and those whose ending says that they are
    no image; what is left out is counted and said. A pattern is one where no file has that name. `-` stands for
    the paths in `listed`. A path that leads nowhere stays: its row will say so. Raises BadUsage where nothing is meant.
    """
    found: dict[str, None] = {}
    for one in wanted:
        found |= dict.fromkeys((line.rstrip("\r\n") for line in listed) if one == LISTED else _meant(one))
    found.pop("", None)
    if not found:
        raise BadUsage("there is no image to predict: the folders, patterns and lists given hold no file")
    return list(found)


def reading(paths: Iterable[str]) -> Iterator[tuple[str, Read]]:
    """Each path with what reads its bytes; a pipe without a writer does not hang it."""
    return ((path, partial(_read, path)) for path in paths)


def _read(path: str) -> bytes:
    if "\0" in path:  # no system has such a file
        raise Unreadable("missing_file")
    return read_raw(_HERE, Place(path), _MAX_BYTES)


def _meant(one: str) -> list[str]:
    if _is_folder(one):
        return _below(Path(one))
    if os.path.lexists(one) or not glob.has_magic(one):
        return [one]
    matches = sorted(glob.glob(one, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
    if not matches:
        raise BadUsage(f"the pattern {one} matches no file")
    return [path for match in matches for path in (_below(Path(match)) if _is_folder(match) else [match])]


def _is_folder(path: str) -> bool:
    """False also for what can be no path: too long a name, a NUL."""
    return os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises then


def _below(folder: Path) -> list[str]:
    files = [name for name, kind in visible(folder) if kind in ("file", "link")]
    images = sorted(name for name in files if may_be_sample(f"./{name}"))
    if others := len(files) - len(images):
        say(f"{folder}: {others:,} files are left out, their endings say that they are no images")
    return [str(folder / name) for name in images]
