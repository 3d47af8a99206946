"""What a version was made from and what it made: files that DVC keeps, named by the saved run's commit.

A file is copied out of DVC's cache, where it is not there after fetching it from the remote, and every copy is held
against the hash that the commit names: what comes out is the very bytes that went in, or an error.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tasks.contracts.dvc_files import LOCK, POINTER
from tasks.contracts.errors import BadEnvironment, BrokenArtifact, one_line
from tasks.contracts.files import replacing, sha256_of
from tasks.contracts.workspace import Workspace
from tasks.register.contents import RECORD
from tasks.register.history import Version
from tasks.register.store import Store, opened
from tasks.register.tags import git_bytes, run_git

BUNDLE, CHECKED, RAW, PIPELINE = "models/bundle", "data/checked.parquet", "data/raw", "dvc.yaml"
_HASH = re.compile(r"[0-9a-f]{32}(\.dir)?")


def outputs(ws: Workspace, version: Version) -> dict[str, str]:
    """Path and DVC's hash (of a folder it ends in `.dir`) of all that DVC keeps of a version: data, models, reports.

    Raises BrokenArtifact where the commit does not say.
    """
    pointer, lock, pipeline = (_yaml(ws, version, place) for place in (POINTER, LOCK, PIPELINE))
    try:
        apart = set(_uncached(pipeline))
        found = {RAW: str(pointer["outs"][0]["md5"])}
        for stage in lock["stages"].values():
            found |= {str(out["path"]): str(out["md5"]) for out in stage.get("outs", ()) if out["path"] not in apart}
    except (KeyError, TypeError, IndexError, AttributeError):
        raise BrokenArtifact(
            f"{version.name}: {POINTER}, {LOCK} or {PIPELINE} of its saved run {version.commit[:12]} names no files"
        ) from None
    for place, md5 in found.items():
        _require_inside(version, place, md5)
    return found


def bundle_of(ws: Workspace, version: Version) -> Path:
    """The bundle of a version, copied out of DVC's cache on first use, and anew where the copy's record was changed.

    Raises BrokenArtifact where neither the cache nor the remote holds it, or it is not the one that was registered.
    """
    folder = ws.cache / "bundles" / version.commit
    if not _is_registered(version, folder):
        try:
            _copy_one(ws, version, BUNDLE, folder)
        except BadEnvironment:  # another process may have been first
            if not _is_registered(version, folder):
                raise
        if not _is_registered(version, folder):
            raise BrokenArtifact(f"{version.name}: its tag notes another {RECORD} than its saved run has")
    return folder


def data_of(ws: Workspace, version: Version) -> Path:
    """The table of checked samples that a version was made from, copied out of DVC's cache on first use.

    Raises BrokenArtifact as `bundle_of` does.
    """
    path = ws.cache / "checked" / f"{version.commit}.parquet"
    if not path.is_file() or _md5(path) != outputs(ws, version).get(CHECKED):
        _copy_one(ws, version, CHECKED, path)
    return path


def raw_files(ws: Workspace, version: Version) -> dict[str, str]:
    """DVC's hash of each file of `data/raw` as the version had it, by its path there.

    The list comes from DVC's cache or its remote. Raises BrokenArtifact where neither has it whole.
    """
    place = "data/raw"
    with opened(ws) as store:
        found = _members(store, version, place, str(version.note["data"]))
    return {path.removeprefix(f"{place}/"): md5 for path, md5 in found.items()}


def restore(ws: Workspace, version: Version, folder: Path) -> list[str]:
    """Bring all of a version back into the new `folder`: what DVC keeps, and what git keeps beside it.

    Returns the paths, sorted. Raises BrokenArtifact where a file cannot be had or has other bytes.
    """
    with replacing(folder) as part, opened(ws) as store:
        part.mkdir(parents=True)
        files = _fetched(store, version, outputs(ws, version))
        for place, md5 in files.items():
            _copy(store, version, (place, md5), part / place)
        kept = [place for place in _in_git(ws, version) if not place.startswith(".")]
        for place in kept:
            target = part / place
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_blob(ws, version, place))
    return sorted([*files, *kept])


def objects(store: Store, version: Version, known: dict[str, str]) -> set[str]:
    """DVC's hashes of every object of a version: folders' lists and files."""
    return {*known.values(), *_files(store, version, known).values()}


def check_cache(store: Store, version: Version, known: dict[str, str]) -> tuple[list[str], list[str]]:
    """Hash every file of a version in the cache again: what is wrong, and what is not here; nothing is fetched."""
    wrong: list[str] = []
    absent: list[str] = []
    files: dict[str, str] = {}
    for place, md5 in known.items():
        if not store.place(md5).is_file():
            absent.append(place)
            continue
        try:
            files |= _members(store, version, place, md5)
        except BrokenArtifact as error:
            wrong.append(str(error))
    for place, md5 in files.items():
        if not store.place(md5).is_file():
            absent.append(place)
        elif _md5(store.place(md5)) != md5:
            wrong.append(_altered(version, place, store.place(md5)))
    return wrong, absent


def _uncached(pipeline: Any) -> Iterator[str]:
    """Outputs that git keeps and not DVC, as `dvc.yaml` has it."""
    for stage in pipeline["stages"].values():
        for out in (one for kind in ("outs", "metrics", "plots") for one in stage.get(kind, ())):
            if isinstance(out, dict):
                yield from (path for path, options in out.items() if not options.get("cache", True))


def _copy_one(ws: Workspace, version: Version, place: str, target: Path) -> None:
    known = outputs(ws, version)
    if place not in known:
        raise BrokenArtifact(f"{version.name}: its saved run {version.commit[:12]} has no {place}")
    if place == BUNDLE and known[place] != version.note["bundle"]:
        raise BrokenArtifact(
            f"{version.name}: the tag notes the bundle {version.note['bundle']}, "
            f"{LOCK} of its saved run has {known[place]}; one of them was changed"
        )
    with opened(ws) as store, replacing(target) as part:
        for path, md5 in _fetched(store, version, {place: known[place]}).items():
            beneath = path.removeprefix(place).lstrip("/")
            _copy(store, version, (path, md5), part / beneath if beneath else part)
        if place == BUNDLE and _is_registered(version, target):
            raise FileExistsError(target)  # and in use: it is not to be taken away


def _is_registered(version: Version, folder: Path) -> bool:
    """Whether `folder` has the record that the tag notes; where it notes none, whether it is there."""
    wanted, record = version.note.get("bundle_sha256"), folder / RECORD
    return record.is_file() and wanted in (None, sha256_of(record))


def _files(store: Store, version: Version, known: dict[str, str]) -> dict[str, str]:
    """Path -> hash of each single file."""
    found: dict[str, str] = {}
    for place, md5 in known.items():
        found |= _members(store, version, place, md5)
    return found


def _fetched(store: Store, version: Version, known: dict[str, str]) -> dict[str, str]:
    """The same, when the cache has all that the remote has."""
    found = _files(store, version, known)
    missing = sorted({md5 for md5 in found.values() if not store.place(md5).is_file()})
    if missing and store.has_remote:
        store.fetch(missing)
    return found


def _members(store: Store, version: Version, place: str, md5: str) -> dict[str, str]:
    """Path -> hash of the files of a folder, or of the one file that `place` is."""
    if not md5.endswith(".dir"):
        return {place: md5}
    data, path = store.content(md5), store.place(md5)
    if data is None:
        raise _gone(version, place, store)
    if hashlib.md5(data, usedforsecurity=False).hexdigest() != md5.removesuffix(".dir"):
        raise BrokenArtifact(_altered(version, f"the list of {place}", path))
    found = {}
    for one in json.loads(data):
        _require_inside(version, str(one["relpath"]), str(one["md5"]))
        found[f"{place}/{PurePosixPath(one['relpath'])}"] = str(one["md5"])
    return found


def _require_inside(version: Version, place: str, md5: str) -> None:
    """Raise BrokenArtifact where a path leaves the folder that it is in, or a hash is none."""
    if PurePosixPath(place).is_absolute() or ".." in PurePosixPath(place).parts or not _HASH.fullmatch(md5):
        raise BrokenArtifact(f"{version.name}: {one_line(place)[:100]!r} is outside of its folder, or has no hash")


def _copy(store: Store, version: Version, file: tuple[str, str], target: Path) -> None:
    """`file` is the path that it had and its hash."""
    place, md5 = file
    source = store.place(md5)
    if not source.is_file():
        raise _gone(version, place, store)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    if _md5(target) != md5:
        raise BrokenArtifact(_altered(version, place, source))


def _gone(version: Version, place: str, store: Store) -> BrokenArtifact:
    where = "nor in its remote" if store.has_remote else "and no remote is set (`dvc remote add --default NAME URL`)"
    return BrokenArtifact(f"{version.name}: {place} is not in DVC's cache {where}")


def _altered(version: Version, place: str, source: Path) -> str:
    return f"{version.name}: {place} has other bytes than were saved; delete {source} and fetch it from a remote"


def _md5(path: Path) -> str:
    """DVC's hash; it tells files apart here, and what must not be forged has a SHA-256 in the bundle."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _in_git(ws: Workspace, version: Version) -> list[str]:
    found = [p for p in run_git(ws.root, "ls-tree", "-r", "-z", "--name-only", version.commit).split("\0") if p]
    for place in found:
        _require_inside(version, place, "0" * 32)
    return found


def _blob(ws: Workspace, version: Version, place: str) -> bytes:
    return git_bytes(ws.root, "cat-file", "blob", f"{version.commit}:{place}")


def _yaml(ws: Workspace, version: Version, place: str) -> Any:
    try:
        return YAML(typ="safe").load(_blob(ws, version, place).decode(errors="replace"))
    except (YAMLError, BadEnvironment) as error:
        raise BrokenArtifact(f"{version.name}: no {place} in its saved run ({one_line(str(error))[:200]})") from None
