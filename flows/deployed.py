"""The flows as a server starts them: by a schedule, an event or a button, each in its turn and to its whole end.

`graft run` and `graft audit` do the same for somebody at a terminal. A mistake that a user can mend becomes the message
of a failed run, not a traceback.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.runtime import flow_run
from prefect.states import Cancelled, Failed

from flows.clone import here
from flows.engine import marked
from flows.holding import Held, only_run
from flows.logs import masked
from flows.runs import Recorder, heal, recorded
from flows.stages import STAGES, track_raw
from tasks.contracts.errors import BadUsage, GraftError
from tasks.contracts.params_file import load_params, require_whole
from tasks.contracts.progress import say
from tasks.contracts.run_records import Trigger
from tasks.contracts.workspace import Workspace, find_workspace
from tasks.pretrain.plan import DRAWN_PX, IMAGES, NETWORK, Place, Plan

# what a flow works with is imported when it runs: deploying asks only for its signature


@flow(name="pipeline", log_prints=False)
def pipeline(workspace: Path, until: str = STAGES[-1], force: str | None = None) -> Any:
    """Bring every stage up to `until` up to date, and register the model; `force` names one that runs even if fresh."""

    def work(ws: Workspace, run: Recorder) -> Any:
        from flows.pipeline import pipeline as stages
        from flows.publish import publish
        from tasks.report.page import write_page

        if unknown := sorted({until, force or until} - set(STAGES)):
            raise BadUsage(f"there is no stage {', '.join(unknown)}; the stages are {', '.join(STAGES)}")
        track_raw(ws)
        outcomes = stages.fn(ws.root, until, force)
        run.note(stages=tuple(map(asdict, outcomes)))
        version = publish(ws) if until == STAGES[-1] else None
        if version:
            run.note(version=version.name, champion=version.champion, why=version.note["decision"]["why"])
        else:
            run.note(why=f"until {until}")
        write_page(ws, version.title if version else "")
        return outcomes

    return _in_turn(workspace, work)


@flow(name="audit", log_prints=False)
def audit(workspace: Path) -> Any:
    """Bring ingest, quality and bias up to date, and enter the audit into the ledger; a closed gate fails it."""

    def work(ws: Workspace, run: Recorder) -> Any:
        from flows.audit import audit as stages
        from tasks.audit import ledger
        from tasks.audit.document import draft
        from tasks.bias.gate import require_open
        from tasks.report.audits import page_in, write_audit_pages
        from tasks.report.page import write_page

        track_raw(ws)
        outcomes = stages.fn(ws.root)
        run.note(stages=tuple(map(asdict, outcomes)))
        report, lists = draft(ws, load_params(ws.params))
        entered = ledger.enter(ws, report, lists)
        write_audit_pages(ws)
        run.note(why=f"audit {entered.number}", page=page_in(ws, entered.number))
        write_page(ws)
        require_open(ws.gate)
        return outcomes

    return _in_turn(workspace, work)


@flow(name="pretrain", log_prints=False)
def pretrain(workspace: Path, name: str, network: str = NETWORK, images: int = IMAGES, px: int = DRAWN_PX) -> Any:
    """Make the backbone `local/NAME` from drawn images."""

    def work(ws: Workspace, run: Recorder) -> None:
        from flows.pretrain import pretrain as stages
        from tasks.pretrain.lessons import require_network

        seed = load_params(ws.params).seed
        plan = Plan(network=network, source="drawn", input_px=px, images=images, seed=seed, data="")
        require_network(plan)
        stages.fn(ws.root, Place(ws, name).name, plan)
        run.note(why=f"made local/{name}")

    return _in_turn(workspace, work)


def _in_turn(workspace: Path, work: Callable[[Workspace, Recorder], Any]) -> Any:
    """Work in a valid workspace that nobody else works in; what became of it is a state with a reason."""
    from flows.workspaces import require_current

    try:
        ws = find_workspace(here(workspace))
        params = load_params(ws.params)
        require_whole(ws.params)
        require_current(ws)
        trigger = Trigger("started by the server", flow_run.name or "")
        with only_run(ws, wait=params.operate.overlap == "wait"), marked(ws):
            heal(ws)
            with recorded(ws, flow_run.flow_name or "flow", trigger) as run:
                say(f"run {run.record.id} is flow run {flow_run.id}")
                return work(ws, run)
    except Held as held:
        return Cancelled(message=f"dropped: {held}")
    except GraftError as error:
        return Failed(message=masked(str(error)))
