"""Watching a workspace: what a change of its data, or of its committed settings, leads to.

Events of the file system say when to look; a slow poll looks anyway, for what sends no events: git, network file
systems, folders that were replaced. Whether there is anything to do is decided by content alone, so touched files,
graft's own outputs and a storm of events start nothing, and what comes while a run works starts one more. A server that
was told of a change has made no run yet: it is told again, ever more seldom, until a run for that content has ended.
"""

import hashlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from flows.runs import runs_of
from flows.unattended import Scene, survey, why_not_now
from flows.worktrees import pinned_commit
from tasks.contracts.errors import BadData, BadUsage
from tasks.contracts.params_file import load_params
from tasks.contracts.progress import say
from tasks.contracts.run_records import Trigger
from tasks.contracts.workspace import Workspace

# False where it could not be done yet, as when another run holds the workspace; None where somebody was told to do it
Act = Callable[[Trigger], bool | None]
_CUT_OFF = ("running", "interrupted", "crashed")  # a run that did not come to its own end is to be started again
_LONGEST_STORM = 60.0  # seconds after which a change is looked at though others follow
_LONGEST_SILENCE = 3600.0  # seconds after which somebody is told again of what no run came of


@dataclass(frozen=True)
class Pace:
    """Seconds: between two looks where nothing is heard, and without a change before one is believed to be whole."""

    poll: float = 30.0
    quiet: float = 2.0


@dataclass(frozen=True)
class Due:
    """A run that is to be started: `key` stands for the content that it is for."""

    key: str
    trigger: Trigger


@dataclass
class Signals:
    """What reaches a watch from outside: an end, or a wish that it look now, with the reason for it."""

    stop: threading.Event = field(default_factory=threading.Event)
    wake: threading.Event = field(default_factory=threading.Event)
    reason: str = ""

    def look(self, reason: str) -> None:
        """Have the watch look at once."""
        self.reason = reason
        self.wake.set()


@dataclass
class _Tellings:
    """When somebody was last told, of which content, and how long to be silent after it."""

    poll: float
    key: str = ""
    silence: float = 0.0
    at: float = -math.inf

    def too_soon(self, key: str) -> bool:
        """Whether to wait: once in a poll at most, and half as often after each telling of the same content."""
        return time.monotonic() - self.at < (self.silence if key == self.key else self.poll)

    def note(self, key: str) -> None:
        """Somebody was told now."""
        longest = max(self.poll, _LONGEST_SILENCE)
        self.silence = min(2 * self.silence, longest) if key == self.key else self.poll
        self.key, self.at = key, time.monotonic()


def watch(ws: Workspace, act: Act, pace: Pace, signals: Signals) -> None:
    """Call `act` for each new content of the workspace until told to stop; one call at a time.

    What could not be done is tried again at the next look. Data or params that cannot be used as they are now are
    said, and looked at again when the data change. What `act` raises ends the watch.
    """
    before = acted = said = ""
    tellings = _Tellings(pace.poll)
    for moment in _moments(ws, pace, signals):
        heard = moment
        now = _settled(ws, pace, signals)
        while now != before and not signals.stop.is_set():
            before = now
            due = _due(ws, heard)
            if due and due.key != acted:
                if due.key != said:
                    say(f"{due.trigger.reason} ({due.trigger.event})")
                    said = due.key
                done = False if tellings.too_soon(due.key) else act(due.trigger)
                if done is None:
                    tellings.note(due.key)
                if not done:
                    before = ""
                    break
                acted = due.key
            now, heard = _settled(ws, pace, signals), "it changed while a run worked"


def look_once(ws: Workspace, heard: str) -> Due | None:
    """What to start a run for, were it looked at now; None where there is nothing to do. Nothing is copied."""
    scene = survey(ws)
    if _acted_on(ws, scene.key) or why_not_now(scene, load_params(ws.params).operate):
        return None
    return Due(scene.key, Trigger(_words(scene), heard))


def fingerprint(ws: Workspace) -> str:
    """Of places, sizes and times of the data, and of the commit: a cheap reason to look, or not to."""
    digest = hashlib.sha256(pinned_commit(ws).encode())
    for line in sorted(_stamps(ws.raw)):
        digest.update(line)
    return digest.hexdigest()


def _due(ws: Workspace, heard: str) -> Due | None:
    try:
        return look_once(ws, heard)
    except (BadData, BadUsage) as error:  # somebody may be at work on the data or on params.yaml
        say(f"not now: {error}")
        return None


def _acted_on(ws: Workspace, key: str) -> bool:
    """Whether the last run was for just this content and came to its end, whatever that was."""
    last = next((run for run in runs_of(ws) if run.key), None)
    return last is not None and last.key == key and last.state not in _CUT_OFF


def _words(scene: Scene) -> str:
    said = [scene.change.words()] if scene.change.count or not scene.settings else []
    if scene.settings:
        said.append(f"{', '.join(scene.settings)} changed")
    return ", ".join(said)


def _settled(ws: Workspace, pace: Pace, signals: Signals) -> str:
    """The fingerprint, once it has stayed the same for the quiet time: a copy that is under way is no whole change."""
    now, waited = fingerprint(ws), 0.0
    while not signals.stop.wait(pace.quiet):
        waited += pace.quiet
        before, now = now, fingerprint(ws)
        if now == before or waited >= _LONGEST_STORM:
            break
    return now


def _moments(ws: Workspace, pace: Pace, signals: Signals) -> Iterator[str]:
    """When to look, and why: at the start, at events below `data/raw`, when asked, and every so often."""
    yield "the watch began"
    while not signals.stop.is_set():
        heard = _listen(ws.raw, pace, signals)
        if signals.wake.is_set():
            signals.wake.clear()  # before the look: a wish that comes during it is one for another
            heard = signals.reason
        if not signals.stop.is_set():
            yield heard


def _listen(folder: Path, pace: Pace, signals: Signals) -> str:
    """What ended the waiting. A new generator each time notices a folder that was replaced by another."""
    import watchfiles

    try:
        for changes in watchfiles.watch(
            folder,
            stop_event=_Until(signals),
            debounce=200,
            rust_timeout=max(int(pace.poll * 1000), 1),
            yield_on_timeout=True,
            raise_interrupt=True,
            watch_filter=None,
            ignore_permission_denied=True,
        ):
            return "files below data/raw changed" if changes else "nothing was heard for a while"
    except (OSError, RuntimeError):  # no such folder, or the system has no more watches to give
        signals.wake.wait(pace.poll)
    return "the file system sends no events"


class _Until:
    """For watchfiles, which knows one event: set where the watch is to end, or to look at once."""

    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    def is_set(self) -> bool:
        """Whether to leave the generator."""
        return self._signals.stop.is_set() or self._signals.wake.is_set()


def _stamps(folder: Path) -> Iterator[bytes]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=True):
                    yield from _stamps(Path(entry.path))
                found = entry.stat()
                yield os.fsencode(f"{entry.path} {found.st_size} {found.st_mtime_ns} {found.st_ino}")
    except OSError:
        yield b"changes under way: " + os.fsencode(folder)
