"""The files of a bundle: which there may be, their hashes, and whether those in a folder are just these."""

import os
import re
from pathlib import Path

from tasks.contracts.errors import BrokenArtifact, one_line
from tasks.contracts.files import sha256_of

RECORD = "bundle.json"  # holds the list, so it is not on it
CARD = "README.md"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,3}")
# data of these kinds cannot run when it is read; a pickle, in whatever clothes, has no place here
KINDS = frozenset({".csv", ".json", ".md", ".parquet", ".png", ".safetensors"})


def list_files(folder: Path) -> dict[str, str]:
    """Path -> SHA-256 of every file below `folder` but the record that holds this list.

    Raises BrokenArtifact where something is no regular file, or of a kind that a bundle has not.
    """
    found = {}
    for above, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(above, name)
            place = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise BrokenArtifact(f"{folder}: {one_line(place)} is a link or a device, which a bundle never has")
            if path.is_file() and place != RECORD:
                require_place(folder, place)
                found[place] = sha256_of(path)
    return dict(sorted(found.items()))


def check_files(folder: Path, wanted: dict[str, str]) -> None:
    """Hold the files in `folder` against the list in its record.

    Raises BrokenArtifact that names the first that is missing, extra or altered.
    """
    for place in wanted:
        require_place(folder, place)
    found = list_files(folder)
    for what, places in (
        ("is missing", sorted(set(wanted) - set(found))),
        ("is not on the list of its files", sorted(set(found) - set(wanted))),
        ("has other bytes than it was made with", [place for place in wanted if found.get(place) != wanted[place]]),
    ):
        if places:
            more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
            raise BrokenArtifact(
                f"{folder / places[0]} {what}{more}; get the bundle anew (a copy in .graft/cache may be deleted)"
            )


def require_place(folder: Path, place: str) -> None:
    """Raise BrokenArtifact where `place` is none that a file of a bundle may have."""
    if not _NAME.fullmatch(place) or Path(place).suffix not in KINDS:
        raise BrokenArtifact(f"{folder}: {one_line(place)[:100]!r} is no file that a bundle has")
