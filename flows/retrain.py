"""What a schedule, an event or a person starts when data may have changed, as one Prefect flow."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.states import Cancelled, Failed

from flows.clone import here
from flows.engine import marked
from flows.holding import Held
from flows.logs import masked
from flows.pipeline import pipeline
from flows.stages import Outcome
from flows.unattended import retrain_once
from tasks.contracts.errors import GraftError, one_line
from tasks.contracts.params_file import load_params
from tasks.contracts.run_records import Trigger
from tasks.contracts.workspace import Workspace

MOST_WORDS = 300  # of a reason: it may come over a network


@flow(name="retrain", log_prints=False)
def retrain(workspace: Path, reason: str = "asked for", change: dict[str, Any] | None = None) -> Any:
    """Snapshot, policy, what changed made anew, version, branch; returns the record of the run.

    `change` is the event that started it, where there was one. What a person has to act on fails the run in a line.
    """
    event = one_line(str((change or {}).get("event", "")))[:MOST_WORDS]
    trigger = Trigger(one_line(reason)[:MOST_WORDS], event)
    ws = Workspace(here(workspace).resolve())
    try:
        wait = load_params(ws.params).operate.overlap == "wait"
        with marked(ws):
            return asdict(retrain_once(ws, trigger, _within, wait=wait))
    except Held as held:
        return Cancelled(message=f"dropped: {held}")
    except GraftError as error:
        return Failed(message=masked(one_line(str(error))))


def start(worktree: Workspace, until: str) -> list[Outcome]:
    """The stages as a flow of their own below this one."""
    return list(pipeline(worktree.root, until))


def _within(worktree: Workspace, until: str) -> list[Outcome]:
    """The stages as tasks of the flow that is running: one run, whose end is known to the server."""
    return list(pipeline.fn(worktree.root, until))
