"""The registry: versions and the champion as append-only git tags on saved runs, in GTO's format.

`model@v3.0.0` is version 3; `model#champion#2` is the second time that a champion was named. What was refused is kept
under `refs/graft/refused/`, looks at the promotion split under `refs/graft/looks/`. Whoever asks for the champion asks
here.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from tasks.contracts.errors import BadEnvironment, BadUsage, GraftError, one_line
from tasks.contracts.workspace import Workspace
from tasks.register import history as states
from tasks.register.decision import Decision
from tasks.register.history import CHAMPION, MODEL, Action, Assignment, History, Tag
from tasks.register.history import Version as Version
from tasks.register.saved import bundle_of as bundle_of
from tasks.register.saved import data_of as data_of
from tasks.register.tags import Taken, alone, create_tags, read_tags

_ID = re.compile(r"(?:([a-z0-9._-]{1,100})@)?([0-9]{1,9})")
_TRIES = 5  # programs that take no lock of ours may be faster a few times


def history(ws: Workspace) -> History:
    """All that the registry of this repository says."""
    return states.replay(read_tags(ws.root))


def versions(ws: Workspace) -> list[Version]:
    """All versions, oldest first."""
    return list(history(ws).versions)


def champion(ws: Workspace) -> Version | None:
    """The version in use; None before the first."""
    return history(ws).champion


def version_number(name: str) -> int:
    """The number in `model@3` or `3`. Raises BadUsage where `name` is anything else."""
    found = _ID.fullmatch(name)
    if not found or found[1] not in (None, MODEL):
        raise BadUsage(f"{one_line(name)[:80]!r} is no version; they are called {MODEL}@NUMBER")
    return int(found[2])


def find_version(ws: Workspace, name: str = "") -> Version:
    """The version called `3` or `model@3`; without a name, the champion.

    Raises BadUsage where there is none.
    """
    number = version_number(name) if name else 0
    known = history(ws)
    if not known.versions:
        raise BadUsage(f"{ws.root} has no registered model; make one with `graft run`")
    if name:
        return known.version(number)
    if known.champion is None:
        raise BadUsage(f"there is no {CHAMPION}; name a version: {', '.join(v.name for v in known.versions)}")
    return known.champion


def register(ws: Workspace, commit: str, note: dict[str, Any], decision: Decision, seen: int | None = None) -> Version:
    """Tag a saved run as the next version, and in the same moment as champion where the decision says so.

    `note` is kept in the tag: hashes of bundle and data, the resolved params, the test accuracy. `seen` is the number
    of the champion that the decision was made against.
    Raises ChampionMoved, with nothing written, where a promotion was decided and another champion is in its place now.
    """
    note = {**note, "decision": asdict(decision)}

    def tags(now: History) -> list[Tag]:
        version = states.registration(now, commit, note)
        if not decision.promote:
            return [version]
        states.require_still(now, seen)
        registered = Version(now.taken[0] + 1, commit, "", False, note)
        return [version, states.assignment(now, registered, "rule", "graft", decision.why)]

    with _writing(ws) as write:
        number = write(tags).taken[0]
    return find_version(ws, str(number))


def crown(ws: Workspace, version: Version) -> Version:
    """Name a version champion where there is none, with the reason that its decision noted."""

    def tags(now: History) -> list[Tag]:
        states.require_still(now, None)
        return [states.assignment(now, version, "rule", "graft", version.note["decision"]["why"])]

    with _writing(ws) as write:
        write(tags)
    return replace(version, champion=True)


def begin_look(ws: Workspace, commit: str) -> int:
    """Write down that the saved run `commit` is about to be compared on the promotion split; the how manyth time it is.

    What is written stays, so a comparison that is killed, or comes to nothing because the champion moved, counts.
    """
    with _writing(ws) as write:
        return write(lambda now: [states.look(now, commit)]).looked


def promote(ws: Workspace, version: Version, by: str, why: str, seen: int | None) -> Assignment:
    """Name `version` champion because a person says so. `seen` is the number of the champion that they knew of.

    Raises BadUsage where it is the champion already, or nobody or no reason is named, and ChampionMoved where somebody
    else was faster; that is kept in the history too.
    """
    by, why = _said(by, why)

    def tags(now: History) -> list[Tag]:
        states.require_still(now, seen)
        if now.champion and now.champion.number == version.number:
            raise BadUsage(f"{version.name} is the champion already")
        return [states.assignment(now, version, "promote", by, why)]

    return _assigned(ws, version, ("promote", by, why), tags)


def rollback(ws: Workspace, to: int | None, by: str, why: str, seen: int | None) -> Assignment:
    """Go back to version `to`, or to the champion before this one: a new assignment, nothing is taken away.

    Raises as `promote` does, and BadUsage where the version was no champion before.
    """
    by, why = _said(by, why)
    version = states.rollback_target(history(ws), to)

    def tags(now: History) -> list[Tag]:
        states.require_still(now, seen)
        return [states.assignment(now, states.rollback_target(now, to), "rollback", by, why)]

    return _assigned(ws, version, ("rollback", by, why), tags)


def refuse(ws: Workspace, version: Version, wanted: tuple[Action, str, str], problem: str) -> None:
    """Keep in the history that a promotion or a rollback was refused; `wanted` is the action, by whom and why."""
    action, by, why = wanted
    by, why = _said(by, why)
    with _writing(ws) as write:
        write(lambda now: [states.refusal(now, version, (action, by, why), one_line(problem)[:500])])


def _assigned(
    ws: Workspace, version: Version, wanted: tuple[Action, str, str], tags: Callable[[History], Sequence[Tag]]
) -> Assignment:
    try:
        with _writing(ws) as write:
            return write(tags).assignments[-1]
    except BadUsage:  # nothing was tried
        raise
    except GraftError as error:
        refuse(ws, version, wanted, str(error))
        raise


@contextmanager
def _writing(ws: Workspace) -> Iterator[Callable[[Callable[[History], Sequence[Tag]]], History]]:
    """Hold the registry; what is yielded asks for tags that fit its state, creates them and gives the new state."""

    def write(tags: Callable[[History], Sequence[Tag]]) -> History:
        for _ in range(_TRIES):
            known = read_tags(ws.root)
            try:
                return states.replay([*known, *create_tags(ws.root, tags(states.replay(known)))])
            except Taken:
                continue
        raise BadEnvironment(f"another program keeps writing tags of {MODEL} in {ws.root}; try again when it has ended")

    with alone(ws.root):
        yield write


def _said(by: str, why: str) -> tuple[str, str]:
    words = one_line(by)[:200], one_line(why)[:1000]
    if not all(words):
        raise BadUsage("say who decides and why: --by NAME --reason TEXT")
    return words
