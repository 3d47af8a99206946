"""What lies in the data folder: which files are samples, and what the folders say of label and split.

Names and file kinds only; no file is opened here.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

SPLIT_NAMES = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "promotion": "promotion",
    "test": "test",
}
SYSTEM_NAMES = {"__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "lost+found"}
_IMAGES = "jpg jpeg jpe jfif png apng webp bmp dib tif tiff gif heic heif avif jp2 jxl psd ico"
_OTHERS = (
    "txt md rst csv tsv json jsonl xml yaml yml toml ini cfg log html htm pdf doc docx xls xlsx "
    "parquet arrow feather sqlite db py ipynb sh bat zip tar gz tgz bz2 xz 7z rar npy npz mat h5 "
    "pkl pt pth safetensors onnx mp4 avi mov mkv webm wav mp3 md5 sha256 dvc lock lst svg"
)
IMAGE_ENDINGS = {f".{ending}" for ending in _IMAGES.split()}
OTHER_ENDINGS = {f".{ending}" for ending in _OTHERS.split()}


@dataclass(frozen=True)
class Found:
    """One file below the data folder: its POSIX path, and why it cannot be a sample, where that shows already."""

    path: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Listing:
    """The files that may be samples, sorted by path, and how many visible files are plainly something else."""

    files: tuple[Found, ...]
    others: int


def list_files(root: Path, table: Path | None = None) -> Listing:
    """Every sample below `root` but `table`. Hidden and system names are passed over.

    A file counts as a sample by its ending, or with an unknown ending if it lies in a folder. A folder that is a link
    or that may not be read is not entered: it is one row that says so.
    """
    found, others = [], 0
    for path, is_folder in _visible(root):
        ending = PurePosixPath(path).suffix.lower()
        if is_folder or ending in IMAGE_ENDINGS or (ending not in OTHER_ENDINGS and "/" in path):
            found.append(_looked_at(root, path))
        else:
            others += 1
    counted = table is not None and _is_visible(table.name)
    files = [file for file in found if table is None or root / file.path != table]
    return Listing(tuple(sorted(files, key=lambda file: file.path)), others - (counted and len(files) == len(found)))


def folder_labels(paths: list[str]) -> list[tuple[str | None, str | None]]:
    """(label, split) that the folders give each path.

    The top folder is the label; where every top folder has a split's name, the folder below it is.
    """
    parts = [PurePosixPath(path).parts[:-1] for path in paths]
    tops = {folders[0] for folders in parts if folders}
    if not tops or not all(top.lower() in SPLIT_NAMES for top in tops):
        return [(folders[0] if folders else None, None) for folders in parts]
    return [
        (folders[1] if len(folders) > 1 else None, SPLIT_NAMES[folders[0].lower()] if folders else None)
        for folders in parts
    ]


def _visible(root: Path) -> Iterator[tuple[str, bool]]:
    """(path, whether it is a folder that is not entered)."""
    closed: list[str] = []
    for folder, folders, files in os.walk(root, onerror=lambda error: closed.append(str(error.filename))):
        folders[:] = [name for name in folders if _is_visible(name)]
        linked = [name for name in folders if (Path(folder) / name).is_symlink()]  # os.walk does not enter it
        for name in [*files, *linked]:
            if _is_visible(name):
                yield (Path(folder) / name).relative_to(root).as_posix(), name in linked
    for path in closed:
        yield Path(path).relative_to(root).as_posix(), True


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in SYSTEM_NAMES


def _looked_at(root: Path, path: str) -> Found:
    reason = file_problem(root, path)
    try:
        path.encode()
    except UnicodeEncodeError:  # a table holds text, so such a file cannot be found again by its path
        path, reason = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"), "unreadable"
    return Found(path, (reason,) if reason else ())


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
    except OSError:  # no permission for a folder on the way, a loop of links, a name that is too long
        return "unreadable"
