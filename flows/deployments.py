"""The flows of a workspace as deployments on a Prefect server, made to agree with `params.yaml`."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterName, FlowRunFilter
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import parameter_schema
from prefect.utilities.importtools import import_object
from prefect.workers.process import ProcessWorker

from flows.leftovers import drop_overdue
from flows.server import slug, unattended
from tasks.contracts.errors import BadUsage
from tasks.contracts.params import OperateParams, ScheduleParams
from tasks.contracts.schedules import interval
from tasks.contracts.workspace import Workspace

ENTRYPOINTS = {
    "pipeline": "flows.deployed.pipeline",
    "audit": "flows.deployed.audit",
    "pretrain": "flows.deployed.pretrain",
    "retrain": "flows.retrain.retrain",
}
# Runs of a deployment at once. The one that waits does so at the lock of the workspace: of enqueued ones Prefect would
# keep any number.
AT_ONCE = {"wait": 2, "drop": 1}
STRATEGY = ConcurrencyLimitStrategy.CANCEL_NEW
NEVER = "none"

Schedule = CronSchedule | IntervalSchedule


@dataclass(frozen=True)
class Difference:
    """What is not as params say: a line for people, and the deployment that it is about."""

    flow: str
    line: str


def schedule_of(params: ScheduleParams) -> Schedule | None:
    """The schedule that params name. Raises BadUsage where Prefect does not take the line."""
    if not (params.cron or params.interval):
        return None
    if params.interval:
        return IntervalSchedule(interval=interval(params.interval), timezone=params.timezone)
    try:
        return CronSchedule(cron=params.cron, timezone=params.timezone)
    except ValueError as error:
        raise BadUsage(f"params.yaml: operate.schedule.cron: Prefect refuses {params.cron!r} ({error})") from None


async def deployments(client: PrefectClient, ws: Workspace) -> dict[str, Any]:
    """The workspace's deployments that the server has, by the name of their flow."""
    named = DeploymentFilter(name=DeploymentFilterName(any_=[slug(ws)]))
    found = await client.read_deployments(deployment_filter=named)
    return {(await client.read_flow(one.flow_id)).name: one for one in found}


async def differences(client: PrefectClient, ws: Workspace, params: OperateParams) -> list[Difference]:
    """What `deploy` would change, in words."""
    schedule = schedule_of(params.schedule)
    there = await deployments(client, ws)
    found = []
    for flow, entrypoint in ENTRYPOINTS.items():
        mine = schedule if params.schedule.flow == flow else None
        wanted = _facts(ws, entrypoint, mine, AT_ONCE[params.overlap])
        if flow not in there:
            found.append(Difference(flow, f"+ {flow}/{slug(ws)}: schedule {wanted['schedule']}"))
        elif changes := _changes(_facts_of(there[flow]), wanted):
            found.append(Difference(flow, f"~ {flow}/{slug(ws)}: {', '.join(changes)}"))
    removed = [flow for flow in there if flow not in ENTRYPOINTS]
    return found + [Difference(flow, f"- {flow}/{slug(ws)}: this graft has no such flow") for flow in removed]


async def deploy(client: PrefectClient, ws: Workspace, params: OperateParams) -> list[Difference]:
    """Make the server agree with params; returns what was changed."""
    await _make_pool(client, ws)
    found = await differences(client, ws, params)
    there = await deployments(client, ws)
    for one in found:
        if one.flow in ENTRYPOINTS:
            mine = schedule_of(params.schedule) if params.schedule.flow == one.flow else None
            await _create(client, ws, one.flow, mine, AT_ONCE[params.overlap])
            if one.flow in there:  # the server itself drops what is not due yet
                await drop_overdue(client, there[one.flow].id, "planned before its schedule was changed")
        else:
            await client.delete_deployment(there[one.flow].id)
    return found


async def deployed(client: PrefectClient, ws: Workspace) -> list[dict[str, Any]]:
    """Each deployment of the workspace: its schedule and the next run that the server has planned, in UTC."""
    rows = []
    for flow, deployment in (await deployments(client, ws)).items():
        runs = await client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate({"state": {"type": {"any_": ["SCHEDULED"]}}}),
            deployment_filter=DeploymentFilter.model_validate({"id": {"any_": [deployment.id]}}),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=1,
        )
        following: datetime | None = runs[0].expected_start_time if runs else None
        rows.append(
            {
                "deployment": f"{flow}/{deployment.name}",
                "schedule": _facts_of(deployment)["schedule"],
                "next": following.isoformat(timespec="seconds") if following else None,
            }
        )
    return sorted(rows, key=lambda row: str(row["deployment"]))


async def worker_is_online(client: PrefectClient, ws: Workspace) -> bool:
    """Whether a worker of the workspace's pool has been heard of lately."""
    try:
        workers = await client.read_workers_for_work_pool(slug(ws))
    except ObjectNotFound:
        return False
    return any(str(getattr(worker.status, "value", worker.status)) == "ONLINE" for worker in workers)


async def _create(client: PrefectClient, ws: Workspace, flow: str, schedule: Schedule | None, at_once: int) -> None:
    entrypoint = ENTRYPOINTS[flow]
    made = import_object(entrypoint)
    await client.create_deployment(
        flow_id=await client.create_flow_from_name(flow),
        name=slug(ws),
        entrypoint=entrypoint,
        work_pool_name=slug(ws),
        parameters={"workspace": str(ws.root)},
        parameter_openapi_schema=parameter_schema(made).model_dump(),
        enforce_parameter_schema=True,
        schedules=[DeploymentScheduleCreate(schedule=schedule, active=True)] if schedule else [],
        concurrency_limit=at_once,
        concurrency_options=ConcurrencyOptions(collision_strategy=STRATEGY),
        description=made.__doc__,
        tags=["graft", slug(ws), unattended(ws)],
        pull_steps=[],
    )


async def _make_pool(client: PrefectClient, ws: Workspace) -> None:
    try:
        await client.read_work_pool(slug(ws))
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        await client.create_work_pool(WorkPoolCreate(name=slug(ws), type="process", base_job_template=template))


def _facts(ws: Workspace, entrypoint: str, schedule: Schedule | None, at_once: int) -> dict[str, str]:
    return {
        "schedule": _words(schedule),
        "overlap": STRATEGY.value,
        "at once": str(at_once),
        "code": entrypoint,
        "workspace": str(ws.root),
        "pool": slug(ws),
    }


def _facts_of(deployment: Any) -> dict[str, str]:
    options, limit = deployment.concurrency_options, deployment.global_concurrency_limit
    words = [_words(one.schedule) + ("" if one.active else ", paused") for one in deployment.schedules]
    return {
        "schedule": " and ".join(sorted(words)) or NEVER,
        "overlap": options.collision_strategy.value if options else "none",
        "at once": str(limit.limit) if limit else "any number",
        "code": str(deployment.entrypoint),
        "workspace": str(deployment.parameters.get("workspace")),
        "pool": str(deployment.work_pool_name),
    }


def _words(schedule: Any) -> str:
    match schedule:
        case IntervalSchedule():
            return f"every {schedule.interval} ({schedule.timezone})"
        case CronSchedule():
            return f"{schedule.cron} ({schedule.timezone})"
    return NEVER if schedule is None else str(schedule)


def _changes(there: dict[str, str], wanted: dict[str, str]) -> list[str]:
    return [f"{key} {there[key]} -> {wanted[key]}" for key in wanted if there[key] != wanted[key]]
