"""Everything visible below a folder, and of what kind, without a system call for each file."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tasks.ingest.names import is_visible

Kind = Literal["file", "link", "closed", "odd", "empty"]
"""A regular file; a link that leads to no folder; a folder that is not entered, because it is a link or may not be
read; a pipe, socket or device; a folder with nothing visible in it."""


def visible(root: Path) -> Iterator[tuple[str, Kind]]:
    """(POSIX path below `root`, kind) of all but the folders that are entered. Links are not followed, so it ends."""
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(root / folder) as entries:
                there = [entry for entry in entries if is_visible(entry.name)]
        except OSError:
            yield folder or ".", "closed"
            continue
        if folder and not there:
            yield folder, "empty"
        for entry in there:
            path = f"{folder}/{entry.name}" if folder else entry.name
            kind = _kind(entry)
            if kind == "folder":
                folders.append(path)
            else:
                yield path, kind


def _kind(entry: os.DirEntry[str]) -> Kind | Literal["folder"]:
    try:
        if entry.is_symlink():
            return "closed" if entry.is_dir() else "link"
        if entry.is_dir(follow_symlinks=False):
            return "folder"
        return "file" if entry.is_file(follow_symlinks=False) else "odd"
    except OSError:  # a loop of links, or no permission to look
        return "link"
