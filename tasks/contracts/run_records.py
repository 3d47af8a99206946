"""The record of one run: what started it, what it did, and how it ended. In `.graft/runs`, a file for each."""

from dataclasses import dataclass
from typing import Any, Literal

State = Literal["running", "done", "nothing_to_do", "refused", "failed", "interrupted", "crashed"]


@dataclass(frozen=True)
class Trigger:
    """Why a run is started: a person's or a program's words, and the event behind it, if there was one."""

    reason: str
    event: str = ""


@dataclass(frozen=True)
class Owner:
    """The process that works on a run; `started` (seconds since 1970) tells it from a later one of the same number."""

    host: str
    pid: int
    started: float


@dataclass(frozen=True)
class RunRecord:
    """One run. Times are UTC in ISO 8601; `stages` are outcomes (stage, action, why) in the order of the pipeline.

    `key` says what the run worked on: the hash of the data and of what the pinned `commit` holds as settings.
    """

    id: str
    flow: str
    trigger: Trigger
    owner: Owner
    started_at: str
    state: State = "running"
    ended_at: str = ""
    commit: str = ""
    key: str = ""
    change: dict[str, Any] | None = None
    stages: tuple[dict[str, str], ...] = ()
    version: str = ""
    champion: bool = False
    why: str = ""  # the decision on the version, why there was nothing to do, or what went wrong
    left: str = ""  # the branch that has the result
    page: str = ""  # the report page of the run, relative to the workspace
    log: str = ""  # what the run said, relative to the workspace
