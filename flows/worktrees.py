"""Where an unattended run works: a git worktree of its own at a pinned commit, never the tree of the user.

It shares DVC's cache and graft's caches with the workspace. What it takes from uncommitted files is nothing, but for
settings that were never committed at all.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from flows.snapshots import Snapshot, check_out, lend
from flows.workspaces import AUTHOR, git, has_identity
from tasks.contracts.errors import BadEnvironment, BadUsage
from tasks.contracts.files import write_text
from tasks.contracts.params import LocalBackbone
from tasks.contracts.params_file import load_params
from tasks.contracts.progress import say
from tasks.contracts.workspace import Workspace

SETTINGS = ("dvc.yaml", "params.yaml", "decisions.csv", "contract.json")
# what a run writes and git, not DVC's cache, keeps
MADE = ("dvc.lock", "data/raw.dvc", "models/start.json", "reports/metrics.json")
MARK = "unattended.json"
QUIET_GIT = ("-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false")  # no hook of the user's runs for us


def pinned_commit(ws: Workspace) -> str:
    """The commit that an unattended run takes code and settings from: the branch as it stands.

    Raises BadUsage where there is none, or where git's folder is not the workspace.
    """
    if not (ws.root / ".git").exists():
        raise BadUsage(f"{ws.root} is no git repository of its own; an unattended run works on what is committed there")
    try:
        return git(ws, "rev-parse", "--verify", "HEAD^{commit}")
    except BadEnvironment:
        raise BadUsage(f"{ws.root} has no commit yet; an unattended run works on what is committed") from None


def settings_at(ws: Workspace, commit: str) -> dict[str, str]:
    """The git object of each settings file at a commit; of a file that was never committed, the one it would be."""
    listed = git(ws, "ls-tree", commit, "--", *SETTINGS).splitlines()
    found = {line.partition("\t")[2]: line.split()[2] for line in listed}
    new = {name: git(ws, "hash-object", "--", name) for name in SETTINGS if _never_committed(ws, found, name)}
    return found | new


def uncommitted(ws: Workspace, commit: str) -> list[str]:
    """Settings files whose text is not the committed one: an unattended run does not see the edits."""
    at = settings_at(ws, commit)
    return [
        name for name in SETTINGS if (ws.root / name).is_file() and git(ws, "hash-object", "--", name) != at.get(name)
    ]


def make_worktree(ws: Workspace, name: str, commits: tuple[str, str], snapshot: Snapshot) -> Workspace:
    """A worktree with the snapshot as its data.

    `commits`: the pinned one, and the one whose `dvc.lock` it goes on from (empty: the pinned one's own). From that
    lock come the splits that were given before, and every stage that need not run again.
    """
    commit, lineage = commits
    worktree = Workspace(ws.worktrees / name)
    git(ws, *QUIET_GIT, "worktree", "add", "--quiet", "--detach", str(worktree.root), commit)
    for path in settings_at(ws, commit).keys() - set(_tracked(worktree)):
        say(f"{path} was never committed; this run takes it as it is")
        shutil.copyfile(ws.root / path, worktree.root / path)
    if lineage and (known := git(ws, "ls-tree", "--name-only", lineage, "--", *MADE).splitlines()):
        git(worktree, *QUIET_GIT, "checkout", lineage, "--", *known)
    _share(ws, worktree)
    lend(ws, worktree)
    check_out(worktree, snapshot)
    return worktree


def mark(worktree: Workspace, key: str, run: str) -> None:
    """Say what the worktree is of, once it is whole: the next run takes up no other."""
    write_text(worktree.private / MARK, json.dumps({"key": key, "run": run}) + "\n")


def take_up(ws: Workspace, key: str) -> Workspace | None:
    """The worktree that a run of the same key left when it was cut off; every other one is removed.

    The caller holds the workspace, so no worktree has a run at work.
    """
    kept = None
    for worktree in _left_behind(ws):
        with suppress(FileNotFoundError, ValueError):
            if json.loads((worktree.private / MARK).read_text(encoding="utf-8"))["key"] == key:
                kept = worktree
                continue
        remove_worktree(ws, worktree)
    return kept


def remove_worktree(ws: Workspace, worktree: Workspace) -> None:
    """Remove a worktree and what git knows of it; links go, never what they point to."""
    shutil.rmtree(worktree.root, ignore_errors=True)
    if f"worktree {worktree.root}" in git(ws, "worktree", "list", "--porcelain").splitlines():
        git(ws, "worktree", "remove", "--force", "--force", str(worktree.root))


def save(worktree: Workspace, parent: str, name: str, message: str) -> str:
    """Commit what the run made on top of `parent` and file it as a DVC experiment of that name; returns the commit.

    Plain git, in the worktree's own index: DVC's `exp save` goes through references that all worktrees share.
    A commit of the same content that a killed run left is taken again.
    """
    present = [path for path in (*SETTINGS, *MADE) if (worktree.root / path).exists()]
    git(worktree, "add", "--force", "--", *present)
    tree = git(worktree, "write-tree")
    folder = f"refs/exps/{parent[:2]}/{parent[2:]}"
    for line in git(worktree, "for-each-ref", "--format=%(objectname) %(tree)", folder).splitlines():
        if line.split()[1] == tree:
            return line.split()[0]
    author = () if has_identity(worktree) else AUTHOR
    commit = git(worktree, *author, "commit-tree", tree, "-p", parent, "-m", message)
    git(worktree, "update-ref", f"{folder}/{name}", commit, "")  # refused where it is there already
    return commit


def _share(ws: Workspace, worktree: Workspace) -> None:
    """Graft's caches and weights of one's own, by links."""
    ws.cache.mkdir(parents=True, exist_ok=True)
    worktree.private.mkdir(exist_ok=True)
    write_text(worktree.private / ".gitignore", "*\n")
    worktree.cache.symlink_to(ws.cache)
    for path in _weights(ws, worktree):
        place = worktree.root / path.relative_to(ws.root)
        if path.is_file() and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)


def _weights(ws: Workspace, worktree: Workspace) -> Iterator[Path]:
    yield from ws.backbones.glob("*")
    for candidate in load_params(worktree.params).select.candidates:
        if isinstance(candidate, LocalBackbone):
            yield ws.root / candidate.weights


def _left_behind(ws: Workspace) -> list[Workspace]:
    return [Workspace(path) for path in sorted(ws.worktrees.glob("*")) if path.is_dir()]


def _tracked(worktree: Workspace) -> list[str]:
    return git(worktree, "ls-files", "--", *SETTINGS).splitlines()


def _never_committed(ws: Workspace, committed: dict[str, str], name: str) -> bool:
    return name not in committed and (ws.root / name).is_file()
