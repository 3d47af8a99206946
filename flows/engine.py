"""Prefect as the engine: which server, how quiet, and a stage as one of its tasks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.logs import RUN_ID, masked
from flows.server import HEARTBEAT_SECONDS, RETRIED, RETRIED_CODES, address, answers, slug
from flows.stages import STAGES, Outcome, bring_up_to_date, note
from tasks.contracts.errors import GraftError
from tasks.contracts.progress import say
from tasks.contracts.workspace import Workspace

START_UP_SECONDS = "240"  # Prefect's own 20 fail on a busy machine; one needed more than 120 to start ten at once


@dataclass(frozen=True)
class Run:
    """What one run of a flow is asked to do."""

    workspace: Path
    until: str = STAGES[-1]
    force: str | None = None


def prepare_engine(ws: Workspace) -> None:
    """Choose the server before Prefect is imported: one that answers, else the embedded engine, which is said.

    The one that the environment names comes first, then the workspace's own (`graft up`). One that merely listens at
    Prefect's usual port is not taken: it may be another workspace's, and go down in the middle of the run.

    The embedded engine keeps its database in the workspace, so two workspaces never lock each other out.
    """
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # graft says what happens; tracebacks are for bugs
    url = os.environ.get("PREFECT_API_URL") or address(ws)
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", str(HEARTBEAT_SECONDS))  # the server waits for no less
    os.environ.setdefault(RETRIED, RETRIED_CODES)
    if url and answers(url):
        os.environ["PREFECT_API_URL"] = url
        # the server's page of the run shows what is said
        os.environ.setdefault("PREFECT_LOGGING_EXTRA_LOGGERS", "graft")
        os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
        say(f"Prefect server: {url}")
        return
    if url:
        os.environ.pop("PREFECT_API_URL", None)
        say(f"no Prefect server answers at {url}")
    os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "true"
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", START_UP_SECONDS)
    os.environ.setdefault("PREFECT_HOME", str(ws.private / "prefect"))
    say("starting Prefect's embedded engine (10 to 20 s; a running server is used instead: `graft up`)")


@contextmanager
def marked(ws: Workspace) -> Iterator[None]:
    """What Prefect runs here bears the workspace's name, by which its server knows whose it is, and the run's id."""
    from prefect import tags

    with tags("graft", slug(ws), *filter(None, [os.environ.get(RUN_ID)])):
        yield


def stage_task(name: str) -> Any:
    """A stage as a Prefect task: `(run, *stages before it) -> Outcome`."""
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    from flows.shown import show_stage

    def stage(run: Run, *_before: Outcome) -> Outcome:
        if STAGES.index(name) > STAGES.index(run.until):
            return Outcome(name, "not asked for", f"the run goes until {run.until}")
        try:
            outcome = bring_up_to_date(Workspace(run.workspace), name, force=run.force == name)
        except GraftError as error:  # Prefect keeps what a task raised, and what that came from, for its page
            error.args = (masked(str(error)),)
            raise error from None
        note(Workspace(run.workspace), outcome)
        say(f"{name}: {outcome.action} ({outcome.why})" if outcome.action != "ran" else f"{name}: done")
        if os.environ.get("PREFECT_API_URL"):
            show_stage(Workspace(run.workspace), outcome)
        return outcome

    stage.__doc__ = f"Bring {name} up to date."
    return task(name=name, task_run_name=name, cache_policy=NO_CACHE, persist_result=False)(stage)
