"""What a server's page of a run shows of each stage: how far it is, what was found, and the sheets of pictures."""

import base64
from collections import Counter
from pathlib import Path

import httpx
from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
)
from prefect.exceptions import PrefectException

from flows.assets import show_assets
from flows.stages import REPORTS, STAGES, Outcome
from tasks.contracts.errors import GraftError, one_line
from tasks.contracts.progress import say
from tasks.contracts.records import read_json
from tasks.contracts.workspace import Workspace

LARGEST_SHEET_BYTES = 700_000  # the server takes a megabyte, and base64 needs a third more
COLUMNS = ("severity", "check", "subject", "message")


def show_stage(ws: Workspace, outcome: Outcome) -> None:
    """Assets and artifacts of a stage that was brought up to date.

    What a server does not take is said, and costs no work.
    """
    try:
        _show(ws, outcome)
    except (httpx.HTTPError, PrefectException) as error:
        words = one_line(str(error)) or type(error).__name__
        say(f"{outcome.stage} is not shown on the server ({words}); the run goes on")


def _show(ws: Workspace, outcome: Outcome) -> None:
    stage = outcome.stage
    try:
        show_assets(ws, outcome)
    except GraftError as error:  # what DVC's files say
        say(f"the assets of {stage} are not shown on the server ({one_line(str(error))}); the run goes on")
    done = 100 * (STAGES.index(stage) + 1) / len(STAGES)
    create_progress_artifact(done, key="progress", description=f"{stage} {outcome.action}")
    create_markdown_artifact(
        f"**{stage}** {outcome.action}: {outcome.why}", key=f"{stage}-outcome", description=outcome.action
    )
    findings = [f for path in REPORTS.get(stage, ()) for f in read_json(ws.root / path)["findings"]]
    if findings:
        table = [{column: f[column] for column in COLUMNS} for f in findings]
        counts = ", ".join(f"{n} {severity}" for severity, n in Counter(f["severity"] for f in findings).items())
        create_table_artifact(table, key=f"{stage}-findings", description=counts)
    if sheet := {"quality": ws.suspects, "augment": ws.contact_sheet}.get(stage):
        _show_sheet(ws, sheet, f"{stage}-sheet")
    if stage == STAGES[-1] and not ws.root.match(".graft/worktrees/*"):  # such a place is removed after the run
        text = f"The report of this run is `{ws.page}`, its figures `{ws.reports}/*.json`."
        create_markdown_artifact(text, key="report", description="where the report is")


def _show_sheet(ws: Workspace, sheet: Path, key: str) -> None:
    """The picture itself, in its address: a browser that talks to the server may not open files of this machine."""
    if sheet.is_file() and sheet.stat().st_size <= LARGEST_SHEET_BYTES:
        code = base64.b64encode(sheet.read_bytes()).decode("ascii")
        create_image_artifact(
            f"data:image/jpeg;base64,{code}", key=key, description=sheet.relative_to(ws.root).as_posix()
        )
