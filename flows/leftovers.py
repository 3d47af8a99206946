"""Runs that nobody works on any more: what a stopped worker left, and what a schedule that is gone had planned."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

from flows.processes import hidden, values_of
from flows.runs import runs_of
from flows.server import own_worker, slug
from tasks.contracts.workspace import Workspace

AT_ONCE = 10  # requests
PLANNED = "Scheduled"  # late runs and those that wait for their turn have other names
AT_WORK = ("PENDING", "RUNNING", "CANCELLING")
OF_RUN = "PREFECT__FLOW_RUN_ID"  # in the environment of a process that a worker started, and of what that started
SUBMITTED = ("PENDING",)  # given to a worker, and no process of its own yet that could send heartbeats


async def crash_leftovers(client: PrefectClient, ws: Workspace, states: tuple[str, ...], why: str) -> int:
    """Mark the runs of the workspace's pool that are in one of `states` as crashed, which frees their turn.

    Only for where no worker runs. Returns how many there were.
    """
    runs = FlowRunFilter.model_validate({"state": {"type": {"any_": states}}})
    pool = WorkPoolFilter.model_validate({"name": {"any_": [slug(ws)]}})
    try:
        found: list[FlowRun] = await client.read_flow_runs(flow_run_filter=runs, work_pool_filter=pool)
    except ObjectNotFound:
        return 0
    for run in found:
        await client.set_flow_run_state(run.id, Crashed(message=why), force=True)
    return len(found)


async def works_elsewhere(client: PrefectClient, ws: Workspace) -> bool:
    """Whether a run of the workspace's pool may work where its process is not seen from here.

    So it is with a `graft worker` that is online, on another machine, in a container or by another user, and with
    what Prefect runs here as another user.
    """
    try:
        workers = await client.read_workers_for_work_pool(slug(ws))
    except ObjectNotFound:
        return False
    online = {one.name for one in workers if str(getattr(one.status, "value", one.status)) == "ONLINE"}
    return bool(online - {own_worker()} or hidden("prefect"))


async def crash_gone(client: PrefectClient, ws: Workspace) -> list[str]:
    """Mark the running runs of the workspace as crashed whose process on this machine is gone; returns their names.

    A run whose server or database died may end without being able to tell, and before its first heartbeat was heard:
    then no automation misses one. Of what was started elsewhere, and left no record here, nothing is known; where
    anything may work elsewhere, all is left to the heartbeats.
    """
    if await works_elsewhere(client, ws):
        return []
    wanted = FlowRunFilter.model_validate({"state": {"type": {"any_": ["RUNNING"]}}, "tags": {"all_": [slug(ws)]}})
    before = await client.read_flow_runs(flow_run_filter=wanted)
    alive = set(values_of(OF_RUN).values())
    known = {run.id: run.state == "running" for run in runs_of(ws)}
    gone = []
    for run in before:
        recorded = [known[tag] for tag in run.tags if tag in known]
        here = run.work_pool_name == slug(ws) or bool(recorded)
        if not here or any(recorded) or str(run.id) in alive:
            continue
        now = await client.read_flow_run(run.id)  # its process may have told of its end before it was looked for
        if now.state and now.state.is_running():
            await client.set_flow_run_state(run.id, Crashed(message="its process is gone"), force=True)
            gone.append(run.name)
    return gone


async def drop_overdue(client: PrefectClient, deployment: UUID, why: str) -> int:
    """Cancel what a schedule planned for a deployment, is late or waits for its turn; returns how many there were.

    One that waits for its turn is planned anew for some seconds later, so its time does not tell.
    """
    now = datetime.now(UTC)
    wanted = {"state": {"type": {"any_": ["SCHEDULED"]}}, "deployment_id": {"any_": [deployment]}}
    found = await client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(wanted))
    overdue = [run for run in found if run.auto_scheduled and (run.state_name != PLANNED or _is_due(run, now))]
    for start in range(0, len(overdue), AT_ONCE):
        some = overdue[start : start + AT_ONCE]
        await asyncio.gather(*(client.set_flow_run_state(run.id, Cancelled(message=why), force=True) for run in some))
    return len(overdue)


def _is_due(run: FlowRun, now: datetime) -> bool:
    return run.expected_start_time is not None and run.expected_start_time <= now
