"""What a name says by itself: whether it is seen at all, what kind of file it may be, and whether it may be trusted."""

import re
import unicodedata
from collections.abc import Iterable

SYSTEM_NAMES = {
    "__macosx",
    "__pycache__",
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "$recycle.bin",
    "system volume information",
    "lost+found",
    "@eadir",
}
_IMAGES = "jpg jpeg jpe jfif png apng webp bmp dib tif tiff gif heic heif avif jp2 jxl psd ico"
_OTHERS = (
    "txt md rst csv tsv json jsonl ndjson xml yaml yml toml ini cfg log html htm pdf doc docx xls xlsx cls "
    "parquet arrow feather sqlite db py ipynb sh bat zip tar gz tgz bz2 tbz2 xz txz zst tzst 7z rar npy npz mat h5 "
    "pkl pt pth safetensors onnx mp4 avi mov mkv webm wav mp3 md5 sha256 dvc lock lst svg"
)
IMAGE_ENDINGS = {f".{ending}" for ending in _IMAGES.split()}
OTHER_ENDINGS = {f".{ending}" for ending in _OTHERS.split()}
ARCHIVE_ENDINGS = (".tar", ".zip")
COMPRESSED_ENDINGS = (
    *(".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz"),
    *(".tar.zst", ".tzst", ".tar.lz4", ".tar.lz", ".tar.lzma", ".tar.br", ".tar.z"),
)
MAX_NAME_BYTES = 4096
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of a pair, line and paragraph separators


def ending(path: str) -> str:
    """The last ending of a POSIX path in lower case with its dot, or nothing."""
    dot = path.rfind(".")
    return path[dot:].lower() if path.rfind("/") + 1 < dot < len(path) - 1 else ""


def is_visible(name: str) -> bool:
    """Whether one part of a path is neither hidden nor the system's own."""
    return not name.startswith(".") and name.lower() not in SYSTEM_NAMES


def may_be_sample(path: str) -> bool:
    """By its ending, or with an unknown ending if it lies in a folder."""
    kind = ending(path)
    return kind in IMAGE_ENDINGS or (kind not in OTHER_ENDINGS and "/" in path)


def is_archive(name: str) -> bool:
    """Whether it is named as an archive that graft reads where it lies."""
    return name.lower().endswith(ARCHIVE_ENDINGS)


def is_compressed_tar(name: str) -> bool:
    """Whether it is named as a tar file whose members cannot be read at their place."""
    return name.lower().endswith(COMPRESSED_ENDINGS)


def problem_of(name: str) -> str | None:
    """Why a name that came from elsewhere is not to be trusted as a path below a folder; None for a fair one."""
    parts = name.split("/")
    if name.startswith("/") or _DRIVE.match(name):
        return "has an absolute path"
    if ".." in parts:
        return "leads out of its folder with `..`"
    if "\\" in name:
        return "has a backslash in its name"
    if has_control(name):
        return "has a control character in its name"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"has a name of more than {MAX_NAME_BYTES:,} bytes"
    return None if any(part not in ("", ".") for part in parts) else "has no name"


def has_control(text: str) -> bool:
    """Whether `text` holds what is no printing character, but for kinds of spaces."""
    return not text.isprintable() and any(unicodedata.category(character) in _CONTROL for character in text)


def is_text(name: str) -> bool:
    """Whether a name that the system gave is text, and can be written down as such."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def folded(text: str) -> str:
    """Equal for two texts that some file system holds for one: after NFC and case folding."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def twins(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two of `names` that are equal when folded, in the order given; None where there are none."""
    seen: dict[str, str] = {}
    for name in names:
        key = folded(name)
        if key in seen:
            return seen[key], name
        seen[key] = name
    return None
