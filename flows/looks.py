"""What DVC finds in what a stage reads, asked again only where a file there changed; DVC's own methods are wrapped."""

import os
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from itertools import chain
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_LAST: dict[str, tuple[str, Any]] = {}  # folder -> what its files were like, and what DVC found then
_MOST = 16  # folders; a worker meets a new one with every run


def look_once(dep: Any) -> None:
    """Let a dependency of DVC's answer from memory; DVC goes through its files four times for a stage that runs."""
    dep._build = _once(_only_where_changed(dep.fs_path, dep._build))
    if hasattr(dep, "read_params"):
        dep.read_params = cache(dep.read_params)


def _once(ask: Callable[..., Any]) -> Callable[..., Any]:
    found: list[Any] = []

    def answer(*args: Any, **kwargs: Any) -> Any:
        if not found:
            found.append(ask(*args, **kwargs))
        return found[0]

    return answer


def _only_where_changed(path: str, ask: Callable[..., Any]) -> Callable[..., Any]:
    """By the signs by which DVC itself takes a file for unchanged, and one more: when its inode last changed."""

    def answer(*args: Any, **kwargs: Any) -> Any:
        now = signs(Path(path))
        if not now:
            return ask(*args, **kwargs)
        last, found = _LAST.pop(path, ("", None))
        if now != last:
            _, meta, tree = ask(*args, **kwargs)
            found = None, meta, SimpleNamespace(hash_info=tree.hash_info)  # not the list of a million files
        _LAST[path] = now, found
        if len(_LAST) > _MOST:
            del _LAST[next(iter(_LAST))]
        return found

    return answer


def signs(folder: Path) -> str:
    """A hash of what tells that a file in the folder is another than it was, without its content.

    Empty where it is no folder, or a file cannot be asked, or goes while it is.
    """
    digest = sha256()
    try:
        for path, known in chain(_ignoring(folder), _files(folder)):
            digest.update(path.encode("utf-8", "surrogateescape"))
            digest.update(repr((known.st_ino, known.st_size, known.st_mtime_ns, known.st_ctime_ns)).encode())
    except OSError:
        return ""
    return digest.hexdigest()


def _files(folder: str | Path) -> Iterator[tuple[str, os.stat_result]]:
    """Links to folders are not followed, as DVC does not."""
    for one in sorted(os.scandir(folder), key=lambda one: one.name):
        if one.is_dir(follow_symlinks=False):
            yield from _files(one.path)
        else:
            yield one.path, one.stat()


def _ignoring(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """The lists above the folder of what DVC is to overlook; those within are files of it."""
    for parent in folder.parents:
        path = parent / ".dvcignore"
        if path.is_file():
            yield str(path), path.stat()
