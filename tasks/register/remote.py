"""Versions for others: first every object is at the remote, and the remote has said so, then the tags are pushed.

Killed anywhere, nothing is announced that is not there; the next push does what is left. `refs/graft/pushed/` names the
versions whose objects a remote held. What was refused stays in the clone that refused it.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tasks.contracts.errors import BadEnvironment, BrokenArtifact
from tasks.contracts.workspace import Workspace
from tasks.register.history import TAGS, History, Version
from tasks.register.registry import history
from tasks.register.saved import objects, outputs
from tasks.register.store import Store, opened
from tasks.register.tags import run_git
from tasks.register.tries import git_may_pass, tried

ORIGIN = "origin"
PUSHED = "refs/graft/pushed/"


@dataclass(frozen=True)
class Pushed:
    """What a push did: the versions that it brought to the remote, how many objects these have, and the tags.

    `announced` are refs that `origin` has now; empty where git has no such remote.
    """

    versions: tuple[str, ...]
    objects: int
    announced: tuple[str, ...]


def push(ws: Workspace, version: Version | None = None, remote: str | None = None) -> Pushed:
    """Bring `version`, or all that are not yet there, to DVC's remote; then the registry's tags to git's `origin`.

    A version that is named is looked at again though it was pushed before.
    Raises BadEnvironment where the remote fails or lacks an object in the end, or `origin` refuses the tags, and
    BrokenArtifact where an object that is to be pushed is not here or has other bytes.
    """
    known = history(ws)
    done = _pushed(ws)
    wanted = [version] if version else [one for one in known.versions if one.name not in done]
    count = 0
    with opened(ws, remote) as store:
        if not store.has_remote:
            raise BadEnvironment(
                "DVC has no default remote; `dvc remote add --default NAME URL` sets one, or name one with --remote"
            )
        for one in wanted:
            count += len(_deliver(store, one, outputs(ws, one)))
            run_git(ws.root, "update-ref", f"{PUSHED}{one.name}", one.commit)
    return Pushed(tuple(one.name for one in wanted), count, _announce(ws, known))


def _deliver(store: Store, version: Version, known: dict[str, str]) -> set[str]:
    """Push what the remote lacks, until it says that it lacks nothing."""
    wanted = objects(store, version, known)
    steps: tuple[Callable[[], None], ...] = (lambda: None, store.forget)
    for prepare in steps:
        absent = store.absent(wanted)
        if not absent:
            return wanted
        if gone := [md5 for md5 in absent if not store.place(md5).is_file()]:
            raise BrokenArtifact(
                f"{version.name}: {len(gone)} of its objects are neither here nor at the remote, the first: {gone[0]}"
            )
        prepare()
        store.push(absent)
    if absent := store.absent(wanted):
        raise BadEnvironment(
            f"{version.name}: the remote lacks {len(absent)} of {len(wanted)} objects after a push, the first: "
            f"{absent[0]}; nothing is announced; see that it can be written, then `graft models push`"
        )
    return wanted


def _announce(ws: Workspace, known: History) -> tuple[str, ...]:
    """Push the tags of versions that a remote holds, and who was champion when: all or none."""
    if ORIGIN not in run_git(ws.root, "remote").split():
        return ()
    done = _pushed(ws)
    of = {version.number: version.name for version in known.versions}
    refs = [f"{TAGS}{name.replace('@', '@v')}.0.0" for name in of.values() if name in done]
    refs += [f"{TAGS}model#champion#{one.number}" for one in known.assignments if of[one.to] in done]
    if not refs:
        return ()
    try:
        command = ("push", "--quiet", "--atomic", ORIGIN, *(f"{ref}:{ref}" for ref in refs))
        tried("git push", lambda: run_git(ws.root, *command), git_may_pass)
    except BadEnvironment as error:
        raise BadEnvironment(
            f"{error}; nothing was announced. Where `{ORIGIN}` has other versions under these names, another clone "
            "registered them first: `git fetch --tags` shows them"
        ) from None
    return tuple(refs)


def _pushed(ws: Workspace) -> set[str]:
    said = run_git(ws.root, "for-each-ref", "--format=%(refname)", f"{PUSHED}*")
    return {ref.removeprefix(PUSHED) for ref in said.splitlines()}
