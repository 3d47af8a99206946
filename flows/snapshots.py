"""`data/raw` as it is at one moment, kept in DVC's cache beside everything else, with nothing of the user's touched.

`data/raw.dvc`, the index, the branch and the files stay as they are: DVC's own hashing and its cache are used, not
`dvc add`. Besides it `flows/dvc_repo.py`, `flows/stages.py` and `tasks/register/store.py` import dvc.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.dvc_repo import open_repository, require_trackable
from flows.looks import signs
from flows.workspaces import git
from tasks.contracts.dvc_files import POINTER
from tasks.contracts.errors import BadData, BadEnvironment
from tasks.contracts.files import write_text
from tasks.contracts.workspace import Workspace

_TRIES = 3
# A link costs no copy. Stages only read data/raw, and DVC makes what it links read-only; all else is copied.
LINKED = {"cache": {"type": ["reflink", "hardlink", "copy"]}}


@dataclass(frozen=True)
class Snapshot:
    """DVC's hash of a state of `data/raw`, its bytes in all, and a content hash for each file's path."""

    hash: str
    size: int
    files: dict[str, str]


def look(ws: Workspace) -> Snapshot:
    """The state of `data/raw` now; files that are as they were when last hashed are not read.

    Raises BadData where DVC would stumble over it.
    """
    require_trackable(ws)
    with open_repository(ws) as repo:
        return _described(*_build(ws, repo, dry=True)[1:])


def keep(ws: Workspace) -> Snapshot:
    """The same, with every file in DVC's cache.

    Raises BadData where files change while they are copied, however often it is tried.
    """
    require_trackable(ws)
    with open_repository(ws) as repo:
        for _ in range(_TRIES):
            before = signs(ws.raw)
            staging, meta, tree = _build(ws, repo)
            if not _copy(staging, repo.cache.local, tree) or (before and signs(ws.raw) == before):
                return _described(meta, tree)
    raise BadData(f"{ws.raw} changes all the time; run again once nothing writes there")


def check_out(ws: Workspace, snapshot: Snapshot) -> None:
    """Bring a snapshot, by links where the file system has them, and whatever `dvc.lock` names to a worktree."""
    lines = (
        f"- md5: {snapshot.hash}",
        f"  size: {snapshot.size}",
        f"  nfiles: {len(snapshot.files)}",
        "  hash: md5",
        "  path: raw",
    )
    write_text(ws.root / POINTER, "\n".join(("outs:", *lines, "")))
    with open_repository(ws, config=LINKED) as repo:
        repo.checkout([POINTER], force=True)
    others = [path for path in git(ws, "ls-files", "--", "*.dvc").splitlines() if path != POINTER]
    made = ["dvc.yaml"] if (ws.root / "dvc.lock").exists() else []
    if made or others:
        with open_repository(ws) as repo:  # what the cache no longer has is made again
            repo.checkout([*made, *others], force=True, allow_missing=True)


def lend(ws: Workspace, worktree: Workspace) -> None:
    """Let a worktree use the cache and the remotes of the workspace, its private settings included."""
    with open_repository(ws, lock=False) as repo:
        cache = str(Path(repo.cache.local.path).parents[1])
        remotes = {name: {key: _plain(value) for key, value in remote.items()} for name, remote in _remotes(repo)}
        core = {key: repo.config["core"][key] for key in ("remote",) if repo.config["core"].get(key)}
    with open_repository(worktree, lock=False) as repo, repo.config.edit("local") as config:
        # hashes that DVC remembers by place go with the place
        config["core"] = {**core, "site_cache_dir": str(worktree.private / "dvc")}
        config["cache"] = {"dir": cache}
        config["remote"] = remotes
    (worktree.root / ".dvc" / "config.local").chmod(0o600)


def _remotes(repo: Any) -> list[tuple[str, dict[str, Any]]]:
    return list(repo.config.get("remote", {}).items())


def _plain(value: Any) -> Any:
    """DVC's own kind of path would be written relative to the wrong folder."""
    return str(value) if isinstance(value, str) else value


def _build(ws: Workspace, repo: Any, *, dry: bool = False) -> tuple[Any, Any, Any]:
    """Where the files are staged, what is known of the folder, and its tree."""
    from dvc_data.hashfile.build import build

    cache = repo.cache.local
    try:
        found: tuple[Any, Any, Any] = build(cache, str(ws.raw), cache.fs, "md5", dry_run=dry, ignore=repo.dvcignore)
    except FileNotFoundError as error:
        raise BadData(f"{error.filename} went while it was read; run again once nothing writes there") from None
    return found


def _copy(staging: Any, cache: Any, tree: Any) -> int:
    """Copy what the cache lacks, each file hashed again on the way; returns how much that was."""
    from dvc_data.hashfile.transfer import transfer

    try:
        done = transfer(staging, cache, {tree.hash_info}, shallow=False, verify=True)
    except OSError as error:
        raise BadEnvironment(f"{cache.path} cannot take the data: {error.strerror or error}") from None
    return len(done.transferred) + len(done.failed)


def _described(meta: Any, tree: Any) -> Snapshot:
    return Snapshot(str(tree.hash_info.value), int(meta.size or 0), _files(tree))


def _files(tree: Any) -> dict[str, str]:
    return {"/".join(parts): str(hashed.value) for parts, _, hashed in tree}
