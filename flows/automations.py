"""What a Prefect server does by itself for a workspace: runs that died end, changed data start one, people are told."""

import hashlib
import json
from datetime import timedelta
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ActionTypes, ChangeFlowRunState, RunDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from flows.announce import CHANGED, resource
from flows.deployments import deployments
from flows.server import HEARTBEAT_SECONDS, slug, unattended
from flows.telling import fit_blocks
from tasks.contracts.params import OperateParams
from tasks.contracts.workspace import Workspace

RUNS = "prefect.flow-run.*"
ENDS = tuple(f"prefect.flow-run.{name}" for name in ("Completed", "Failed", "Crashed", "Cancelled"))
TOLD = tuple(f"prefect.flow-run.{name}" for name in ("Completed", "Failed", "Crashed"))
MISSED_HEARTBEATS = 3
WORDS = {
    "crashed runs": "marks a run as Crashed that sends no heartbeat any more",
    "data change": f"starts retrain on the event {CHANGED}",
}
TOLD_WORDS = "tells how a run ended that nobody waits for"
SUBJECT = "graft: {{ flow.name }} of {{ deployment.name }} {{ flow_run.state.name }}"
BODY = "{{ flow_run.state.message or flow_run.state.name }} ({{ flow_run.name }}, {{ flow_run|ui_url }})"


async def automate(client: PrefectClient, ws: Workspace, params: OperateParams) -> list[str]:
    """Make the server's automations of the workspace those that params ask for; returns a line for each change."""
    wanted = {one.name: one for one in await _wanted(client, ws, params)}
    there = {one.name: one for one in await client.read_automations() if one.name.startswith(f"{slug(ws)}: ")}
    lines = []
    for name, automation in wanted.items():
        if name not in there:
            await client.create_automation(automation)
            lines.append(f"+ automation {name}")
        elif there[name].description != automation.description or not there[name].enabled:
            await client.update_automation(there[name].id, automation)
            lines.append(f"~ automation {name}")
    for name in there.keys() - wanted.keys():
        await client.delete_automation(there[name].id)
        lines.append(f"- automation {name}")
    return lines


async def _wanted(client: PrefectClient, ws: Workspace, params: OperateParams) -> list[AutomationCore]:
    found = [_automation(ws, "crashed runs", _silent_run(ws), _crash())]
    there = await deployments(client, ws)
    if started := there.get("retrain"):
        start = RunDeployment(source="selected", deployment_id=started.id, parameters=_change())
        found.append(_automation(ws, "data change", _data_changed(ws), start))
    for name, block in (await fit_blocks(client, params)).items():
        tell = SendNotification(block_document_id=block, subject=SUBJECT, body=BODY)
        found.append(_automation(ws, f"tell {name}", _ended(ws), tell))
    return found


def _automation(ws: Workspace, name: str, trigger: EventTrigger, action: ActionTypes) -> AutomationCore:
    """The description says which automation it is, as the server adds ids of its own to what it is given."""
    sets = {key: sorted(getattr(trigger, key)) for key in ("after", "expect", "for_each")}
    said = [trigger.model_dump(mode="json", exclude={"id"}) | sets, action.model_dump(mode="json")]
    mark = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]
    return AutomationCore(
        name=f"{slug(ws)}: {name}",
        description=f"{WORDS.get(name, TOLD_WORDS)}; made by graft ({mark})",
        trigger=trigger,
        actions=[action],
    )


def _silent_run(ws: Workspace) -> EventTrigger:
    """A run that began to send heartbeats and sent neither another nor its end: its process died, or its machine."""
    return EventTrigger(
        posture=Posture.Proactive,
        after={"prefect.flow-run.heartbeat"},
        expect={"prefect.flow-run.heartbeat", *ENDS},
        match={"prefect.resource.id": RUNS},
        match_related=_tagged(slug(ws)),
        for_each={"prefect.resource.id"},
        threshold=1,
        within=timedelta(seconds=MISSED_HEARTBEATS * HEARTBEAT_SECONDS),
    )


def _crash() -> ChangeFlowRunState:
    message = f"no heartbeat for {MISSED_HEARTBEATS * HEARTBEAT_SECONDS} s: its process or machine died"
    return ChangeFlowRunState(state=StateType.CRASHED, message=message)


def _data_changed(ws: Workspace) -> EventTrigger:
    return EventTrigger(
        posture=Posture.Reactive,
        expect={CHANGED},
        match={"prefect.resource.id": resource(ws)},
        threshold=1,
        within=timedelta(0),
    )


def _change() -> dict[str, Any]:
    payload = {"__prefect_kind": "jinja", "template": "{{ event.payload | tojson }}"}
    reason = {"__prefect_kind": "jinja", "template": "{{ event.payload.reason | default('data changed', true) }}"}
    return {"reason": reason, "change": {"__prefect_kind": "json", "value": payload}}


def _ended(ws: Workspace) -> EventTrigger:
    return EventTrigger(
        posture=Posture.Reactive,
        expect=set(TOLD),
        match={"prefect.resource.id": RUNS},
        match_related=_tagged(unattended(ws)),
        threshold=1,
        within=timedelta(0),
    )


def _tagged(tag: str) -> dict[str, str]:
    return {"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"}
