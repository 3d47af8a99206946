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
