"""The page of all runs, and a run in one line: what started it, how it ended, what it made."""

from collections.abc import Sequence
from pathlib import Path

from tasks.contracts.errors import one_line
from tasks.contracts.files import write_text
from tasks.contracts.run_records import RunRecord
from tasks.contracts.text import visible
from tasks.contracts.workspace import Workspace
from tasks.report.page import Links, environment, links_of

MOST_ROWS = 1000  # the page stays small; `graft runs --json` has them all
WORDS = {"nothing_to_do": "nothing to do"}
BADGES = {"done": "passed", "nothing_to_do": "passed", "refused": "failed", "failed": "failed", "crashed": "failed"}


def write_runs_page(ws: Workspace, runs: Sequence[RunRecord]) -> Path:
    """Draw `reports/runs.html`, the latest run first, and return its path; equal records give equal bytes."""
    write_text(ws.runs_page, render_runs(runs, links_of(ws, ws.runs_page)))
    return ws.runs_page


def render_runs(runs: Sequence[RunRecord], others: Links = ()) -> str:
    """The page as HTML; it links to the report pages that runs left behind."""
    template = environment().get_template("runs.html")
    shown = {"runs": runs[:MOST_ROWS], "every": len(runs), "others": others}
    return template.render(**shown, words=WORDS, badges=BADGES, changed=changed)


def run_line(run: RunRecord) -> str:
    """For a terminal."""
    made = f"{run.version}{', champion' if run.champion else ''}" if run.version else ""
    head = f"{one_line(run.id):<20}  {one_line(run.flow):<8} {WORDS.get(run.state, run.state):<13}"
    return "  ".join(filter(None, (head, made, one_line(run.trigger.reason))))


def changed(run: RunRecord) -> str:
    """The change of the data in words; empty where none was looked for."""
    if run.change is None:
        return ""
    parts = (f"{run.change[what]:,} {what}" for what in ("added", "removed", "changed", "moved") if run.change[what])
    return visible(", ".join(parts) or "nothing")
