"""The records of runs: written when one starts, kept true while it works, put right when it died."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from flows.logs import logged, masked
from tasks.contracts.errors import BadUsage, BrokenArtifact, GateRefused, GraftError, one_line
from tasks.contracts.files import write_record
from tasks.contracts.progress import say
from tasks.contracts.run_records import Owner, RunRecord, State, Trigger
from tasks.contracts.workspace import Workspace

_SAME_START = 1.0  # seconds by which the system's answers about one process may differ


class Recorder:
    """The record of the run that is going on; each note is in the file at once, whole."""

    def __init__(self, ws: Workspace, record: RunRecord) -> None:
        self._path = ws.runs / f"{record.id}.json"
        self.record = record

    def note(self, **changes: Any) -> None:
        """Set fields of the record."""
        self.record = replace(self.record, **changes)
        write_record(self._path, self.record)


@contextmanager
def recorded(ws: Workspace, flow: str, trigger: Trigger) -> Iterator[Recorder]:
    """Record a run from its start to its end, however it ends; what it says goes to its log too.

    A run that is killed leaves the state `running`; `heal` and `runs_of` know it by its process. The page of all
    runs is drawn at both ends. The caller holds the workspace.
    """
    with logged(ws) as log:
        record = RunRecord(log.stem, flow, trigger, _owner(), _said(), log=log.relative_to(ws.root).as_posix())
        run = Recorder(ws, record)
        run.note()
        try:
            _draw(ws)
            yield run
        except BaseException as error:
            run.note(state=_state_of(error), why=_why(error), ended_at=_said())
            _draw_at_the_end(ws)
            raise
    state = "done" if run.record.state == "running" else run.record.state
    run.note(state=state, ended_at=_said())
    _draw_at_the_end(ws)


def runs_of(ws: Workspace) -> list[RunRecord]:
    """All runs, the latest first; one whose process is gone is shown as crashed, whatever its file says.

    Raises BrokenArtifact where a file is not a record.
    """
    found = [read_run(path) for path in ws.runs.glob("*.json")]
    return sorted(map(_seen, found), key=lambda run: (run.started_at, run.id), reverse=True)


def find_run(ws: Workspace, name: str = "") -> RunRecord:
    """The run of that id, or the latest. Raises BadUsage where there is none."""
    known = runs_of(ws)
    for run in known:
        if name in ("", run.id):
            return run
    raise BadUsage(f"there is no run {name}; `graft runs` lists {len(known)}" if name else "no run yet; `graft run`")


def read_run(path: Path) -> RunRecord:
    """The record in a file. Raises BrokenArtifact where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        trigger, owner = Trigger(**found.pop("trigger")), Owner(**found.pop("owner"))
        return RunRecord(trigger=trigger, owner=owner, **{**found, "stages": tuple(found["stages"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BrokenArtifact(f"{path} is no record of a run ({error}); remove it") from None


def heal(ws: Workspace) -> None:
    """Say in the file that a run crashed, where its process is gone.

    The caller holds the workspace, so no run of another host works either: a container that was started anew has
    another name.
    """
    for path in ws.runs.glob("*.json"):
        found = read_run(path)
        if found.state == "running" and not (_is_of_this_host(found) and _lives(found.owner)):
            write_record(path, _crashed(found))


def _draw(ws: Workspace) -> None:
    from tasks.report.runs import write_runs_page  # brings the template engine

    write_runs_page(ws, runs_of(ws))


def _draw_at_the_end(ws: Workspace) -> None:
    """How the run ended is in its record; a page that cannot be drawn makes it no other end."""
    try:
        _draw(ws)
    except (OSError, GraftError) as error:
        say(f"{ws.runs_page} is not drawn ({one_line(str(error))}); `graft runs` draws it")


def _seen(run: RunRecord) -> RunRecord:
    gone = run.state == "running" and _is_of_this_host(run) and not _lives(run.owner)
    return _crashed(run) if gone else run


def _crashed(run: RunRecord) -> RunRecord:
    where = "" if _is_of_this_host(run) else f" on {run.owner.host}"
    return replace(run, state="crashed", why=f"process {run.owner.pid}{where} ended without a word")


def _is_of_this_host(run: RunRecord) -> bool:
    return run.owner.host == socket.gethostname()


def _lives(owner: Owner) -> bool:
    """The number alone could be another process's by now."""
    try:
        return abs(psutil.Process(owner.pid).create_time() - owner.started) < _SAME_START
    except psutil.Error:
        return False


def _owner() -> Owner:
    return Owner(socket.gethostname(), os.getpid(), psutil.Process().create_time())


def _state_of(error: BaseException) -> State:
    if isinstance(error, GateRefused):
        return "refused"
    return "failed" if isinstance(error, Exception) else "interrupted"


def _why(error: BaseException) -> str:
    """In words; an end from outside has none of its own: the door's and Prefect's for SIGTERM are two exceptions."""
    if isinstance(error, Exception):
        return masked(str(error)) or type(error).__name__
    return "stopped by Ctrl-C" if isinstance(error, KeyboardInterrupt) else "stopped by SIGTERM"


def _said() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
