"""What an unattended run leaves in git: a branch with its commit, and where that is wanted the user's branch moved."""

from flows.dvc_repo import open_repository
from flows.workspaces import git
from flows.worktrees import QUIET_GIT
from tasks.contracts.errors import BadEnvironment
from tasks.contracts.progress import say
from tasks.contracts.workspace import Workspace


def leave(ws: Workspace, commit: str, run: str, how: str) -> str:
    """Leave `commit` on the user's branch (`how` is fast_forward, and nothing is in the way) or on `graft/RUN`.

    Returns the name of the branch. Whoever loses a race for the user's branch leaves one of its own, and says so.
    """
    if how == "fast_forward":
        branch, why = _fast_forward(ws, commit)
        if not why:
            return branch
        say(f"your branch is left as it is: {why}")
    known = git(ws, "for-each-ref", "--format=%(refname:short)", "--points-at", commit, "refs/heads/graft/")
    if known:
        return known.splitlines()[0]
    git(ws, "branch", "--no-track", f"graft/{run}", commit)
    return f"graft/{run}"


def _fast_forward(ws: Workspace, commit: str) -> tuple[str, str]:
    """The user's branch, and why it was not moved; an empty reason means that it was."""
    try:
        branch = git(ws, "symbolic-ref", "--short", "--quiet", "HEAD")
    except BadEnvironment:
        return "", "no branch is checked out"
    if edited := git(ws, "status", "--porcelain", "--untracked-files=no"):
        return branch, f"{len(edited.splitlines())} of your files are changed and not committed"
    try:
        git(ws, *QUIET_GIT, "merge", "--quiet", "--ff-only", commit)  # git itself refuses what is no fast-forward
    except BadEnvironment as error:
        return branch, str(error)
    try:
        with open_repository(ws) as repo:
            repo.checkout(["dvc.yaml"], force=False, allow_missing=True)
    except BadEnvironment as error:
        say(f"{branch} is moved, its outputs are not ({error}); `dvc checkout` brings them")
    return branch, ""
