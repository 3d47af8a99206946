"""Changed data as an event of a Prefect server, whose automation starts the deployment `retrain`."""

import os
from dataclasses import asdict
from uuid import uuid4

from flows.server import address, answers, slug
from tasks.contracts.errors import BadEnvironment
from tasks.contracts.run_records import Trigger
from tasks.contracts.workspace import Workspace

CHANGED = "graft.data.changed"


def resource(ws: Workspace) -> str:
    """The id that an event about the workspace's data bears."""
    return f"graft.workspace.{slug(ws)}"


def server_of(ws: Workspace) -> str:
    """The API of the server that a change is told to; empty where none answers."""
    url = os.environ.get("PREFECT_API_URL") or address(ws)
    return url if url and answers(url) else ""


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
