"""What the registry's tags say in order: versions, who was champion when, what was refused, what was looked at.

Pure: tags in, state out, and the next tag for what somebody wants. An older tag is never changed; going back is a new
assignment. The champion is the version of the assignment with the highest number, never what a list by time says: a
clock may have jumped.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from tasks.contracts.errors import BadUsage, GateRefused

MODEL = "model"
CHAMPION = "champion"
TAGS, REFUSALS, LOOKS = "refs/tags/", "refs/graft/refused/", "refs/graft/looks/"
_VERSION = re.compile(rf"{TAGS}{MODEL}@v([1-9][0-9]{{0,8}})\.0\.0")
_ASSIGNMENT = re.compile(rf"{TAGS}{MODEL}#{CHAMPION}#([1-9][0-9]{{0,8}})")
_REFUSAL = re.compile(rf"{REFUSALS}([1-9][0-9]{{0,8}})")
_LOOK = re.compile(rf"{LOOKS}([1-9][0-9]{{0,8}})")

Action = Literal["rule", "promote", "rollback"]


class ChampionMoved(GateRefused):
    """The champion is another than whoever decided knew of, so the decision is void."""


@dataclass(frozen=True)
class Tag:
    """A git ref to an annotated tag: its full name, the commit it is on, when (ISO, UTC) and its message."""

    ref: str
    commit: str
    created: str
    message: str


@dataclass(frozen=True)
class Version:
    """One registered version: its number, the commit of its saved run, and what was noted with it."""

    number: int
    commit: str
    created: str
    champion: bool
    note: dict[str, Any]

    @property
    def name(self) -> str:
        """As people write it: `model@3`."""
        return f"{MODEL}@{self.number}"

    @property
    def title(self) -> str:
        """The name, and whether it is the champion."""
        return f"{self.name}, champion" if self.champion else self.name


@dataclass(frozen=True)
class Assignment:
    """The `number`-th time that a champion was named: which version (`to`), in whose place (`before`), by whom, why.

    `action` says how: by the promotion `rule`, or by a person who promoted or rolled back.
    """

    number: int
    to: int
    before: int | None
    action: Action
    by: str
    why: str
    created: str


@dataclass(frozen=True)
class Refusal:
    """A promotion or a rollback to version `to` that somebody wanted and did not get, and what stood against it."""

    number: int
    to: int
    action: Action
    by: str
    why: str
    problem: str
    created: str


@dataclass(frozen=True)
class Look:
    """That a comparison on the promotion split began, whatever came of it: of the run at `commit`, and when."""

    number: int
    commit: str
    created: str


@dataclass(frozen=True)
class History:
    """All that the tags say, oldest first. `strange` are refs under the registry's names that graft did not write.

    `line` is the champions that a rollback can go back to, the present one last.
    """

    versions: tuple[Version, ...]
    assignments: tuple[Assignment, ...]
    refusals: tuple[Refusal, ...]
    line: tuple[int, ...]
    strange: tuple[str, ...]
    taken: tuple[int, int]  # the highest numbers that a version and an assignment bear, strange ones included
    looks: tuple[Look, ...] = ()

    @property
    def champion(self) -> Version | None:
        """The version in use."""
        return next((version for version in self.versions if version.champion), None)

    @property
    def looked(self) -> int:
        """How often versions were compared on the promotion split.

        Each version that was, wherever it was made, and each look begun here that no version tells of.
        """
        told = [version.commit for version in self.versions if version.note.get("decision", {}).get("images")]
        begun = [look.commit for look in self.looks]
        return len(told) + len(begun) - len(set(told) & set(begun))

    def version(self, number: int) -> Version:
        """The version with that number. Raises BadUsage that names those there are."""
        for version in self.versions:
            if version.number == number:
                return version
        known = ", ".join(version.name for version in self.versions) or "none"
        raise BadUsage(f"there is no version {MODEL}@{number}; known: {known}")


def replay(tags: Sequence[Tag]) -> History:
    """The state that the tags add up to, whatever order they are given in."""
    found, strange = _versions(tags)
    on = {version.commit: version.number for version in found}
    assignments: list[Assignment] = []
    line: list[int] = []
    for number, tag in _numbered(tags, _ASSIGNMENT):
        if tag.commit not in on:
            strange.append(tag.ref)
            continue
        assignments.append(one := _assignment(number, tag, on[tag.commit], line[-1] if line else None))
        line = _line_after(line, one)
    strange += [
        tag.ref for tag in tags if not any(p.fullmatch(tag.ref) for p in (_VERSION, _ASSIGNMENT, _REFUSAL, _LOOK))
    ]
    champion = assignments[-1].to if assignments else None
    return History(
        versions=tuple(replace(version, champion=version.number == champion) for version in found),
        assignments=tuple(assignments),
        refusals=tuple(_refusal(number, tag) for number, tag in _numbered(tags, _REFUSAL)),
        line=tuple(line),
        strange=tuple(sorted(strange)),
        taken=(_highest(tags, _VERSION), _highest(tags, _ASSIGNMENT)),
        looks=tuple(Look(number, tag.commit, tag.created) for number, tag in _numbered(tags, _LOOK)),
    )


def registration(history: History, commit: str, note: dict[str, Any]) -> Tag:
    """The tag of the next version. Raises BadUsage where the commit has one: its state would be ambiguous."""
    if other := next((version for version in history.versions if version.commit == commit), None):
        raise BadUsage(f"the saved run {commit[:12]} is {other.name} already; a version is a run of its own")
    return Tag(f"{TAGS}{MODEL}@v{history.taken[0] + 1}.0.0", commit, "", json.dumps(note, sort_keys=True))


def assignment(history: History, version: Version, action: Action, by: str, why: str) -> Tag:
    """The tag that names `version` champion."""
    before, number = history.champion, history.taken[1] + 1
    one = Assignment(number, version.number, before.number if before else None, action, by, why, "")
    return Tag(f"{TAGS}{MODEL}#{CHAMPION}#{number}", version.commit, "", _message(one))


def refusal(history: History, version: Version, wanted: tuple[Action, str, str], problem: str) -> Tag:
    """The tag that keeps what was refused; `wanted` is the action, by whom and why."""
    number = max((one.number for one in history.refusals), default=0) + 1
    one = Refusal(number, version.number, *wanted, problem, "")
    return Tag(f"{REFUSALS}{number}", version.commit, "", _message(one))


def look(history: History, commit: str) -> Tag:
    """The tag that says that a comparison of the saved run `commit` on the promotion split begins."""
    said = json.dumps({"look": history.looked + 1}, sort_keys=True)
    return Tag(f"{LOOKS}{max((one.number for one in history.looks), default=0) + 1}", commit, "", said)


def require_still(history: History, seen: int | None) -> None:
    """Raise ChampionMoved where the champion is no longer the one that whoever decided had before them."""
    now = history.champion
    if (now.number if now else None) != seen:
        last = history.assignments[-1]
        was = f"{MODEL}@{seen}" if seen else "none"
        raise ChampionMoved(
            f"the champion was {was} and is now {MODEL}@{last.to} ({last.action} by {last.by}: {last.why}); "
            "look at `graft models history` and ask again"
        )


def rollback_target(history: History, to: int | None) -> Version:
    """The version that a rollback goes to: `to`, or the champion before the present one.

    Raises BadUsage where it was no champion before.
    """
    earlier = history.line[:-1]
    if not earlier:
        raise BadUsage("there is no champion to go back to; `graft models history` shows what there was")
    if to is None:
        return history.version(earlier[-1])
    version = history.version(to)
    if to == history.line[-1]:
        raise BadUsage(f"{version.name} is the champion already")
    if to not in earlier:
        there = ", ".join(f"{MODEL}@{number}" for number in dict.fromkeys(reversed(earlier)))
        raise BadUsage(f"{version.name} was not champion before; a rollback goes to {there}; else promote it")
    return version


def _numbered(tags: Sequence[Tag], pattern: re.Pattern[str]) -> list[tuple[int, Tag]]:
    return sorted(((int(found[1]), tag) for tag in tags if (found := pattern.fullmatch(tag.ref))), key=lambda p: p[0])


def _highest(tags: Sequence[Tag], pattern: re.Pattern[str]) -> int:
    return max((number for number, _ in _numbered(tags, pattern)), default=0)


def _versions(tags: Sequence[Tag]) -> tuple[list[Version], list[str]]:
    """Versions, and refs that look like one and are none of graft's: without a note, or a second on one commit."""
    found, strange, commits = [], [], set()
    for number, tag in _numbered(tags, _VERSION):
        note = _plain(tag.message)
        if (
            tag.commit in commits
            or not isinstance(note.get("bundle"), str)
            or not isinstance(note.get("decision"), dict)
        ):
            strange.append(tag.ref)
            continue
        commits.add(tag.commit)
        found.append(Version(number, tag.commit, tag.created, False, note))
    return found, strange


def _assignment(number: int, tag: Tag, to: int, before: int | None) -> Assignment:
    """What another program of GTO's family assigned has plain text for a message."""
    said = _plain(tag.message)
    action: Action = said["action"] if said.get("action") in ("rule", "rollback") else "promote"
    return Assignment(
        number,
        to,
        before,
        action,
        str(said.get("by", "not said")),
        str(said.get("why", tag.message.strip())),
        tag.created,
    )


def _refusal(number: int, tag: Tag) -> Refusal:
    said = _plain(tag.message)
    by, why, problem = (str(said.get(key, "")) for key in ("by", "why", "problem"))
    action: Action = "rollback" if said.get("action") == "rollback" else "promote"
    return Refusal(number, int(said.get("to") or 0), action, by, why, problem, tag.created)


def _line_after(line: list[int], one: Assignment) -> list[int]:
    """A rollback takes away what came after its version; anything else is added."""
    if one.action == "rollback" and one.to in line[:-1]:
        return line[: len(line) - 1 - line[-2::-1].index(one.to)]
    return line if line and line[-1] == one.to else [*line, one.to]


def _plain(message: str) -> dict[str, Any]:
    try:
        found = json.loads(message)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _message(one: Assignment | Refusal) -> str:
    said = {key: value for key, value in asdict(one).items() if key not in ("number", "created")}
    return json.dumps(said, sort_keys=True)
