"""Files at a remote place, by any file system that fsspec finds installed: listed and checked first, then copied."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tasks.contracts.errors import BadData, BadEnvironment, BadUsage, one_line
from tasks.contracts.progress import progress
from tasks.ingest.names import is_archive, is_compressed_tar, problem_of, twins

if TYPE_CHECKING:  # a tenth of a second that only remote data needs
    from fsspec import AbstractFileSystem

_AT_ONCE = 64  # files in one request to the file system, which fetches them together where it can


@dataclass(frozen=True)
class RemoteFile:
    """One file: where it will lie below the folder, its path there, and its size where the listing gives one."""

    name: str
    path: str
    size: int | None


@dataclass(frozen=True)
class Remote:
    """A remote archive (one file) or folder, with the address to show: without password and query."""

    shown: str
    fs: "AbstractFileSystem"
    files: tuple[RemoteFile, ...]


def is_address(source: str) -> bool:
    """Whether `source` is an address and no path on this machine."""
    return ("://" in source or "::" in source) and not Path(source).exists()


def find_remote(url: str) -> Remote:
    """What is at `url`: the one archive that it names, or every file below it. Nothing is copied yet.

    Raises BadUsage for an unknown protocol, BadEnvironment where its package is not installed or the place cannot be
    reached, BadData where nothing is there or a name is not to be trusted.
    """
    shown = _shown(url)
    with _reaching(url):
        fs, root = _file_system(url)
        name = _last_name(url)
        if is_archive(name) or is_compressed_tar(name):
            info = fs.info(root)
            if info.get("type") != "directory":
                return Remote(shown, fs, _fair(shown, [RemoteFile(name, root, info.get("size"))]))
        found = fs.find(root, detail=True)
    files = [RemoteFile(_below(path, root, url), path, info.get("size")) for path, info in sorted(found.items())]
    if not files:
        raise BadData(f"--data {shown} holds no file that can be listed; name a folder, or an archive by its ending")
    return Remote(shown, fs, _fair(shown, files))


def copy_remote(remote: Remote, folder: Path) -> None:
    """Copy every file to its name below `folder`.

    Raises BadData where one comes short, BadEnvironment where the place cannot be reached.
    """
    for file in remote.files:
        (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
    with _reaching(remote.shown):
        for _ in progress(_copied(remote, folder), len(remote.files), f"copying {remote.shown}", "files"):
            pass
    for file in remote.files:
        got = (folder / file.name).stat().st_size
        if file.size is not None and got != file.size:
            raise BadData(f"--data {remote.shown}: {file.name!r} came with {got:,} of {file.size:,} bytes; try again")


def _copied(remote: Remote, folder: Path) -> Iterator[RemoteFile]:
    for start in range(0, len(remote.files), _AT_ONCE):
        batch = remote.files[start : start + _AT_ONCE]
        remote.fs.get([file.path for file in batch], [str(folder / file.name) for file in batch])
        yield from batch


def _file_system(url: str) -> tuple["AbstractFileSystem", str]:
    from fsspec.core import url_to_fs

    try:
        found: tuple[AbstractFileSystem, str] = url_to_fs(url)
    except ImportError as error:
        package = getattr(error.__cause__, "name", None) or str(error)
        raise BadEnvironment(f"--data {_shown(url)} needs the package {package}; install it beside graft") from None
    except ValueError as error:
        raise BadUsage(f"--data {_shown(url)}: {one_line(str(error))}") from None
    return found


def _fair(shown: str, files: Sequence[RemoteFile]) -> tuple[RemoteFile, ...]:
    """The files, after their names were checked as those in an archive are."""
    kept = [file for file in files if not file.path.endswith("/")]  # some stores keep a marker for a folder
    for file in kept:
        problem = problem_of(file.name)
        if problem or any(part in ("", ".") for part in file.name.split("/")):
            raise BadData(f"--data {shown}: {file.name!r} {problem or 'is no name of a file'}; nothing is copied")
    names = {file.name for file in kept}
    if pair := twins(file.name for file in kept):
        raise BadData(f"--data {shown}: {pair[0]!r} and {pair[1]!r} differ in case or Unicode form only; rename one")
    if both := names & {file.name.rpartition("/")[0] for file in kept}:
        raise BadData(f"--data {shown}: {min(both)!r} is a file and a folder; rename one")
    return tuple(kept)


def _below(path: str, root: str, url: str) -> str:
    """A listed path relative to the root; as it is, and so refused, where it lies elsewhere."""
    name = path.removeprefix(root.rstrip("/") + "/")
    return unquote(urlsplit(name).path) if _is_http(url) and name != path else name


def _last_name(url: str) -> str:
    path = unquote(urlsplit(url).path) if _is_http(url) else url
    return path.rstrip("/").rpartition("/")[2]


def _is_http(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def _shown(url: str) -> str:
    """The address without what may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.scheme else url


@contextmanager
def _reaching(url: str) -> Iterator[None]:
    """Errors of a file system as one line; what raises them, a server or the lack of one, decides of which class."""
    try:
        yield
    except _network_errors() as error:
        if isinstance(error, FileNotFoundError) and not isinstance(error.__cause__, OSError):
            raise BadData(f"--data {_shown(url)} is not there") from None
        problem = one_line(str(error.__cause__ or error)).replace(url, _shown(url)) or type(error).__name__
        raise BadEnvironment(f"--data {_shown(url)} cannot be reached: {problem}") from None


def _network_errors() -> tuple[type[Exception], ...]:
    """Those of aiohttp are no OSErrors, and it is only there where a file system uses it."""
    try:
        from aiohttp import ClientError
    except ImportError:
        return (OSError,)
    return (OSError, ClientError)
