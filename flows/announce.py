"""Changed data as an event of a Prefect server, whose automation starts the deployment `retrain`."""

import hashlib
import os
import re
from dataclasses import asdict
from uuid import uuid4

from flows.engine import LOCAL_SERVER, answers
from tasks.contracts.errors import BadEnvironment
from tasks.contracts.run_records import Trigger
from tasks.contracts.workspace import Workspace

CHANGED = "graft.data.changed"


def server_of(_ws: Workspace) -> str:
    """The API of the server that a change is told to; empty where none answers."""
    url = os.environ.get("PREFECT_API_URL") or LOCAL_SERVER
    return url if answers(url) else ""


def resource_of(ws: Workspace) -> str:
    """The id that an event about the workspace's data bears."""
    name = re.sub(r"[^a-z0-9]+", "-", ws.root.name.lower()).strip("-") or "workspace"
    return f"graft.workspace.{name[:40]}-{hashlib.sha256(os.fsencode(ws.root)).hexdigest()[:6]}"


def announce(url: str, resource: str, trigger: Trigger) -> str:
    """Send the event to the server at `url` and return its id; `resource` names the workspace there.

    Raises BadEnvironment where the server does not take it.
    """
    import httpx  # Prefect's own
    from prefect.client.orchestration import get_client
    from prefect.events import Event, Resource
    from prefect.settings import PREFECT_API_URL, temporary_settings

    event = Event(
        id=uuid4(), event=CHANGED, resource=Resource({"prefect.resource.id": resource}), payload=asdict(trigger)
    )
    try:
        with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[event.model_dump(mode="json")]).raise_for_status()
    except httpx.HTTPError as error:
        raise BadEnvironment(f"the Prefect server at {url} did not take the event ({error}); is it up?") from None
    return str(event.id)
