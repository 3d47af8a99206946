"""Prefect as the engine: which server, how quiet, and a stage as one of its tasks."""

import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.stages import REPORTS, STAGES, Outcome, bring_up_to_date, note
from tasks.contracts.progress import say
from tasks.contracts.records import read_json
from tasks.contracts.workspace import Workspace

LOCAL_SERVER = "http://127.0.0.1:4200/api"
START_UP_SECONDS = "120"  # Prefect's own 20 fail on a busy machine


@dataclass(frozen=True)
class Run:
    """What one run of a flow is asked to do."""

    workspace: Path
    until: str = STAGES[-1]
    force: str | None = None


def prepare_engine(ws: Workspace) -> None:
    """Choose the server before Prefect is imported: one that answers, else the embedded engine, which is said.

    The embedded engine keeps its database in the workspace, so two workspaces never lock each other out.
    """
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # graft says what happens; tracebacks are for bugs
    url = os.environ.get("PREFECT_API_URL") or LOCAL_SERVER
    if answers(url):
        os.environ["PREFECT_API_URL"] = url
        say(f"Prefect server: {url}")
        return
    if os.environ.pop("PREFECT_API_URL", None):
        say(f"no Prefect server answers at {url}")
    os.environ["PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"] = "true"
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", START_UP_SECONDS)
    os.environ.setdefault("PREFECT_HOME", str(ws.private / "prefect"))
    say("starting Prefect's embedded engine (10 to 20 s; a running server is used instead: `prefect server start`)")


def stage_task(name: str) -> Any:
    """A stage as a Prefect task: `(run, *stages before it) -> Outcome`."""
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    def stage(run: Run, *_before: Outcome) -> Outcome:
        if STAGES.index(name) > STAGES.index(run.until):
            return Outcome(name, "not asked for", f"the run goes until {run.until}")
        outcome = bring_up_to_date(Workspace(run.workspace), name, force=run.force == name)
        note(Workspace(run.workspace), outcome)
        say(f"{name}: {outcome.action} ({outcome.why})" if outcome.action != "ran" else f"{name}: done")
        if os.environ.get("PREFECT_API_URL"):
            _show(Workspace(run.workspace), outcome)
        return outcome

    stage.__doc__ = f"Bring {name} up to date."
    return task(name=name, task_run_name=name, cache_policy=NO_CACHE, persist_result=False)(stage)


def _show(ws: Workspace, outcome: Outcome) -> None:
    """What a stage found, as artifacts on the server's page of the run."""
    from prefect.artifacts import create_markdown_artifact, create_table_artifact

    create_markdown_artifact(f"**{outcome.stage}** {outcome.action}: {outcome.why}", key=f"{outcome.stage}-outcome")
    findings = [f for path in REPORTS.get(outcome.stage, ()) for f in read_json(ws.root / path)["findings"]]
    if findings:
        columns = ("severity", "check", "subject", "message")
        create_table_artifact([{c: f[c] for c in columns} for f in findings], key=f"{outcome.stage}-findings")


def answers(url: str) -> bool:
    """Whether a Prefect API is healthy there."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False
