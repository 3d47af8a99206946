"""Changed data as an event of a Prefect server, whose automation starts the deployment `retrain`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from flows.server import address, answers, slug
from tasks.contracts.errors import BadEnvironment
from tasks.contracts.run_records import Trigger
from tasks.contracts.workspace import Workspace

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

CHANGED = "graft.data.changed"
GOING_ON = ("SCHEDULED", "PENDING", "RUNNING", "CANCELLING", "PAUSED")


def resource(ws: Workspace) -> str:
    """The id that an event about the workspace's data bears."""
    return f"graft.workspace.{slug(ws)}"


def server_of(ws: Workspace) -> str:
    """The API of the server that a change is told to; empty where none answers."""
    url = os.environ.get("PREFECT_API_URL") or address(ws)
    return url if url and answers(url) else ""


def runs_going_on(url: str, ws: Workspace) -> int | None:
    """How many runs of the workspace's deployment `retrain` are due or at work there; None without that deployment.

    Raises BadEnvironment where the server does not say.
    """
    import httpx  # Prefect's own

    named = {"flow_name": "retrain", "deployment_name": slug(ws)}
    with _client(url, "did not say what it runs") as client:
        try:
            found = client.request("GET", "/deployments/name/{flow_name}/{deployment_name}", path_params=named)
        except httpx.HTTPStatusError as error:
            if error.response.status_code == 404:
                return None
            raise
        wanted = {
            "deployments": {"id": {"any_": [found.json()["id"]]}},
            "flow_runs": {
                "state": {"type": {"any_": GOING_ON}},
                "expected_start_time": {"before_": datetime.now(UTC).isoformat()},  # not what a schedule plans
            },
        }
        return int(client.request("POST", "/flow_runs/count", json=wanted).json())


def announce(url: str, resource: str, trigger: Trigger) -> str:
    """Send the event to the server at `url` and return its id; `resource` names the workspace there.

    Raises BadEnvironment where the server does not take it.
    """
    from prefect.events import Event, Resource

    event = Event(
        id=uuid4(), event=CHANGED, resource=Resource({"prefect.resource.id": resource}), payload=asdict(trigger)
    )
    with _client(url, "did not take the event") as client:
        client.request("POST", "/events", json=[event.model_dump(mode="json")]).raise_for_status()
    return str(event.id)


@contextmanager
def _client(url: str, what: str) -> "Iterator[SyncPrefectClient]":
    """A client of the server at `url`; what goes wrong with it says `what`."""
    import httpx  # Prefect's own
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, temporary_settings

    try:
        with temporary_settings({PREFECT_API_URL: url}), get_client(sync_client=True) as client:
            yield client
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:  # or an answer that is none of Prefect's
        raise BadEnvironment(f"the Prefect server at {url} {what} ({error}); is it up?") from None
