"""What lies in the data folder: which files are samples, and what the folders say of label and split.

Names and file kinds only, and the lists of members that archives hold; no image is opened here.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tasks.ingest.archives import list_archive, refuse_compressed_tar
from tasks.ingest.members import Member
from tasks.ingest.names import is_archive, is_text, is_visible, may_be_sample
from tasks.ingest.walk import Kind, visible

SPLIT_NAMES = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "promotion": "promotion",
    "test": "test",
}


@dataclass(frozen=True, slots=True)
class Found:
    """One file below the data folder: its POSIX path, and why it cannot be a sample, where that shows already.

    A member of an archive has the path of the archive in front of its own; its `stored_bytes` lie at `offset` there.
    """

    path: str
    reasons: tuple[str, ...] = ()
    archive: str | None = None
    offset: int | None = None
    stored_bytes: int | None = None
    deflated: bool = False


@dataclass(frozen=True)
class Listing:
    """The files that may be samples, those that are plainly something else, and what holds them; sorted by path.

    A folder of `empty_folders` holds nothing visible; one in an archive is named as if the archive were unpacked.
    """

    files: tuple[Found, ...]
    passed_over: tuple[Found, ...] = ()
    archives: tuple[str, ...] = ()
    empty_folders: tuple[str, ...] = ()

    @property
    def others(self) -> int:
        """How many visible files are no samples by their names."""
        return len(self.passed_over)


def list_files(root: Path, table: Path | None = None) -> Listing:
    """Every sample below `root` but `table`, those in tar and zip archives included. Hidden names are passed over.

    A file counts as a sample by its ending, or with an unknown ending if it lies in a folder. A folder that is a link
    or that may not be read is not entered: it is one row that says so, and so is an archive that cannot be opened.
    Raises BadData for an archive that is refused.
    """
    named = table.relative_to(root).as_posix() if table is not None else None
    there = [(path, kind) for path, kind in visible(root) if path != named]
    rows = [(_row(root, path, kind), kind) for path, kind in there if kind != "empty"]
    held = _held(root, [row for row, _ in rows])
    closed = {row.path for row, kind in rows if kind == "closed"}
    everything = [row for row, _ in rows if row.path not in held]
    everything += [_member_row(archive, m) for archive, members in held.items() for m in members if not m.is_folder]
    everything.sort(key=lambda row: row.path)
    kept = [row.path in closed or _is_kept(row) for row in everything]
    empty = [path for path, kind in there if kind == "empty"]
    empty += [path for archive, members in held.items() for path in _empty_folders(archive, members)]
    return Listing(
        files=tuple(row for row, keep in zip(everything, kept, strict=True) if keep),
        passed_over=tuple(row for row, keep in zip(everything, kept, strict=True) if not keep),
        archives=tuple(held),
        empty_folders=tuple(sorted(empty)),
    )


def unpacked(path: str, archive: str | None) -> str:
    """The path of a member as if its archive had been unpacked into the folder where it lies."""
    return path if archive is None else path[: archive.rfind("/") + 1] + path[len(archive) + 1 :]


def folder_labels(paths: list[str]) -> list[tuple[str | None, str | None]]:
    """(label, split) that the folders give each path.

    The top folder is the label; where every top folder has a split's name, the folder below it is.
    """
    with_splits = has_split_folders(paths)
    return [folder_label(path, with_splits=with_splits) for path in paths]


def has_split_folders(paths: Iterable[str]) -> bool:
    """Whether the top folders of `paths` are train, val and the like, all of them."""
    tops = {path[: path.index("/")].lower() for path in paths if "/" in path}
    return bool(tops) and tops <= SPLIT_NAMES.keys()


def folder_label(path: str, *, with_splits: bool) -> tuple[str | None, str | None]:
    """(label, split) that the folders give one path."""
    folders = path.split("/")[:-1]
    if not folders:
        return None, None
    if not with_splits:
        return folders[0], None
    return (folders[1] if len(folders) > 1 else None), SPLIT_NAMES.get(folders[0].lower())


def file_problem(root: Path, path: str) -> str | None:
    """`missing_file`, `leaves_folder`, `not_a_file` or `unreadable`; None for a regular file inside `root`."""
    place = root / path
    try:
        if not place.exists():
            return "not_a_file" if place.is_symlink() else "missing_file"
        if not place.resolve().is_relative_to(root.resolve()):
            return "leaves_folder"
        if place.is_dir():
            return "not_a_file" if os.access(place, os.R_OK | os.X_OK) else "unreadable"
        return None if stat.S_ISREG(place.stat().st_mode) else "not_a_file"
    except (OSError, ValueError):  # no permission on the way, a loop of links, a name too long or with a zero byte
        return "unreadable"


def _row(root: Path, path: str, kind: Kind) -> Found:
    reason = _reason(root, path, kind)
    if not path.isascii() and not is_text(path):  # a table holds text, so such a file cannot be found by its path
        path, reason = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"), "unreadable"
    return Found(path, (reason,) if reason else ())


def _held(root: Path, rows: list[Found]) -> dict[str, list[Member]]:
    """The visible members of each archive that can be opened, sorted by its path."""
    for row in rows:
        refuse_compressed_tar(root, row.path)
    archives = sorted(row.path for row in rows if is_archive(row.path) and not row.reasons)
    return {archive: [member for member in list_archive(root / archive) if _is_seen(member)] for archive in archives}


def _reason(root: Path, path: str, kind: Kind) -> str | None:
    if kind == "file":  # whether an image can be read shows when it is read
        return "unreadable" if is_archive(path) and not os.access(root / path, os.R_OK) else None
    return "not_a_file" if kind == "odd" else file_problem(root, path)


def _member_row(archive: str, member: Member) -> Found:
    path = f"{archive}/{member.name}"
    return Found(path, (), archive, member.offset, member.stored_bytes, member.deflated)


def _is_kept(row: Found) -> bool:
    return may_be_sample(unpacked(row.path, row.archive)) or (bool(row.reasons) and is_archive(row.path))


def _is_seen(member: Member) -> bool:
    return all(map(is_visible, member.name.split("/")))


def _empty_folders(archive: str, members: list[Member]) -> list[str]:
    filled = {member.name.rpartition("/")[0] for member in members}
    empty = [member.name for member in members if member.is_folder and member.name not in filled]
    return [unpacked(f"{archive}/{name}", archive) for name in empty]
