"""A workspace's DVC repository: made, opened under its lock, and kept from data that DVC would stumble over.

DVC's internals are used in a few modules of `flows` only (`tests/flows/test_layers.py` names them); its version is
pinned narrowly.
"""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks.contracts.errors import BadData, BadEnvironment
from tasks.contracts.files import replacing, working_in
from tasks.contracts.workspace import Workspace
from tasks.ingest.names import has_control, is_text


def make_repository(ws: Workspace) -> None:
    """Make the workspace a DVC repository that sends nothing home and copies rather than links."""
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    with Repo.init(str(ws.root)) as repo, repo.config.edit("repo") as config:
        config["core"] = {"analytics": False, "check_update": False, "autostage": False}
        config["cache"] = {"type": ["reflink", "copy"]}  # links into the cache could be written through


@contextmanager
def open_repository(
    ws: Workspace, *, lock: bool = True, config: dict[str, dict[str, Any]] | None = None
) -> Iterator[Any]:
    """The DVC repository, under its lock unless that is not wanted; `config` holds for this opening alone.

    Raises BadEnvironment with DVC's own words where it fails.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import lock_repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    _write_whole_files()
    try:
        # DVC resolves some paths, those of its run cache among them, against the current folder
        with working_in(ws.root), _opened(ws.root, config) as repo:
            if lock:
                with lock_repo(repo):
                    yield repo
            else:
                yield repo
    except DvcException as error:
        raise BadEnvironment(f"DVC: {error}{_advice(ws, error)}") from error


@contextmanager
def _opened(root: Path, config: dict[str, dict[str, Any]] | None) -> Iterator[Any]:
    """The repository; one without a `config` of its own is kept, and forgets what it knows of the files."""
    from dvc.repo import Repo

    if config is not None:
        with Repo(str(root), _wait_for_lock=True, config=config) as repo:
            yield repo
        return
    repo = _kept(root, *_stamps(root))
    try:
        yield repo
    finally:
        repo._reset()  # which closes what is open


@lru_cache(maxsize=1)
def _kept(root: Path, *_settings: int) -> Any:
    """Made once, as that takes longer than most answers; other settings make another."""
    from dvc.repo import Repo

    return Repo(str(root), _wait_for_lock=True)


def _stamps(root: Path) -> Iterator[int]:
    """What changes when DVC's settings do: those of the workspace, the user and the machine."""
    from dvc.config import Config

    folders = (root / ".dvc", *(Path(Config.get_dir(level)) for level in ("global", "system")))
    for path in (*(folder / "config" for folder in folders), root / ".dvc" / "config.local"):
        with suppress(OSError):  # most are not there
            known = path.stat()
            yield from (known.st_ino, known.st_mtime_ns)


def _advice(ws: Workspace, error: Exception) -> str:
    """What to do about a file of DVC's that cannot be read."""
    from dvc.utils.serialize import ParseError
    from dvc.utils.strictyaml import YAMLValidationError

    if isinstance(error, ParseError | YAMLValidationError):
        return f"; mend it, or put back what git has: `git -C {ws.root} checkout HEAD -- {error.path}`"
    return ""


def _write_whole_files() -> None:
    """DVC writes `dvc.lock` and `.dvc` files in place, and a kill leaves half of one; this process replaces them."""
    from dvc.utils.serialize import _common, _yaml

    def dump(path: Any, data: Any, dumper: Callable[..., Any], **rest: Any) -> None:
        place = Path(path).resolve()  # a link stays one
        with replacing(place) as part:
            with part.open("w", encoding="utf-8") as file:
                dumper(data, file, **{key: value for key, value in rest.items() if key != "fs"})
            if place.exists():
                shutil.copymode(place, part)

    _common._dump_data = _yaml._dump_data = dump


def require_trackable(ws: Workspace) -> None:
    """Raise BadData where `data/raw` is missing, is no folder, or holds what DVC would stumble over or follow out.

    A pipe would hang DVC, a link be followed out of the data, an unreadable file or name end the run half-way.
    """
    if not ws.raw.is_dir():
        raise BadData(f"{ws.raw} is {'no folder' if ws.raw.exists() else 'missing'}; put your images there")
    root = ws.raw.resolve()
    for folder, folders, files in os.walk(ws.raw):
        for name in (*folders, *files):
            path = Path(folder, name)
            if problem := _untrackable(path, root):
                place = path.relative_to(ws.root).as_posix().encode(errors="replace").decode()
                raise BadData(f"{place} {problem}; take it out of data/raw")


def _untrackable(path: Path, root: Path) -> str:
    if path.is_symlink() and not path.resolve().is_relative_to(root):
        return "is a link that leaves data/raw"
    if not path.exists():
        return "is a link to nothing"
    if not path.is_file() and not path.is_dir():
        return "is a pipe, socket or device"
    if not os.access(path, os.R_OK):
        return "may not be read"
    return "" if is_text(path.name) and not has_control(path.name) else "has a name that is not printable text"
