"""A run on a real Prefect server: the stages and their findings are seen there, and the results are the same."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from tasks.contracts.params_file import override
from tests.flows.conftest import BIN


def ask(url: str, body: dict | None = None):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a server of our own on loopback, with an empty database."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("prefect")
    environment = {**os.environ, "PREFECT_HOME": str(home)}
    command = [str(BIN / "prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "log").open("w") as log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process:
        url = f"http://127.0.0.1:{port}/api"
        for _ in range(240):
            try:
                ask(f"{url}/health")
                break
            except (urllib.error.URLError, ConnectionError):
                assert process.poll() is None, (home / "log").read_text()
                time.sleep(0.5)
        yield url
        process.terminate()


def test_a_server_that_answers_is_used_and_shows_what_was_found(workspace, server):
    override(workspace.params, ["bias.permutations=21"])
    command = [str(BIN / "graft"), "--workspace", str(workspace.root), "audit"]
    environment = {**os.environ, "PREFECT_API_URL": server}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"Prefect server: {server}" in done.stderr
    (flow_run,) = ask(f"{server}/flow_runs/filter", {})
    assert flow_run["state_type"] == "COMPLETED"
    assert {run["name"] for run in ask(f"{server}/task_runs/filter", {})} == {"ingest", "quality", "bias"}
    artifacts = {artifact["key"]: artifact for artifact in ask(f"{server}/artifacts/filter", {})}
    assert {"ingest-outcome", "quality-outcome", "bias-outcome", "quality-findings"} <= set(artifacts)
    assert "truncated" in artifacts["quality-findings"]["data"]


def test_changed_data_are_an_event_of_the_server_and_a_server_that_is_gone_is_said(server, tmp_path, monkeypatch):
    from flows.announce import CHANGED, announce, resource_of, server_of
    from tasks.contracts.errors import BadEnvironment
    from tasks.contracts.run_records import Trigger
    from tasks.contracts.workspace import Workspace

    ws = Workspace(tmp_path)
    monkeypatch.setenv("PREFECT_API_URL", server)
    assert server_of(ws) == server
    sent = announce(server, resource_of(ws), Trigger("3 files added", "heard"))
    for _ in range(240):  # the server writes events in batches
        if found := ask(f"{server}/events/filter", {"filter": {"event": {"name": [CHANGED]}}})["events"]:
            break
        time.sleep(0.5)
    (event,) = found
    assert (event["id"], event["payload"]["reason"]) == (sent, "3 files added")
    assert event["resource"] == {"prefect.resource.id": resource_of(ws)}
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    assert server_of(ws) == ""
    with pytest.raises(BadEnvironment, match="did not take the event"):
        announce("http://127.0.0.1:1/api", resource_of(ws), Trigger("x"))
