"""What tests of unattended runs share: settings of a quick run, the stages in this process, and what is the user's."""

import hashlib
import time

from benchmarks.served import QUICK as QUICK
from flows.stages import STAGES, bring_up_to_date, note
from flows.watch import Pace
from flows.workspaces import git
from tasks.contracts.run_records import Trigger
from tasks.contracts.workspace import Workspace

FAST = Pace(poll=0.5, quiet=0.2)
ASKED = Trigger("asked for")


def in_process(worktree, until):
    """Every stage up to `until` in this process, without Prefect."""
    found = []
    for name in STAGES[: STAGES.index(until) + 1]:
        found.append(bring_up_to_date(worktree, name))
        note(worktree, found[-1])
    return found


def tree_of(ws: Workspace) -> dict[str, str]:
    """All that is the user's: each file outside the folders of graft, git and DVC, the index, the branch, the stash.

    The page of all runs is graft's, and no user's git knows it: each run draws it as it begins and as it ends.
    """
    files = [p for p in ws.root.rglob("*") if p.is_file() and p.relative_to(ws.root).parts[0] not in (".graft", ".git")]
    files = [p for p in files if p != ws.runs_page]
    found = {
        str(p.relative_to(ws.root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in files
        if p.relative_to(ws.root).parts[:2] not in ((".dvc", "cache"), (".dvc", "tmp"))
    }
    said = (("status", "--porcelain"), ("symbolic-ref", "HEAD"), ("rev-parse", "HEAD"), ("stash", "list"))
    return found | {" ".join(words): git(ws, *words) for words in said}


def never(_worktree, _until):
    raise AssertionError("nothing was to run")


def wait_for(what, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
