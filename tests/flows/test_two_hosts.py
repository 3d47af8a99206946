"""Two hosts that share a Prefect server, a git `origin` and a DVC remote: processes of this machine, a HOME each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.postgres import free_port
from flows.server import SAID_TO_RUNS, slug
from flows.stages import track_raw
from flows.unattended import retrain_once
from flows.workspaces import git
from tasks.contracts.run_records import Trigger
from tasks.contracts.workspace import Workspace
from tests.conftest import write_images
from tests.flows.conftest import BIN, commit
from tests.flows.serving import ask, until
from tests.flows.unattended import in_process, tree_of

pytestmark = pytest.mark.slow


class Host:
    """A HOME, a clone, and the address of the server."""

    def __init__(self, home: Path, ws: Workspace, url: str) -> None:
        home.mkdir(exist_ok=True)
        self.ws, self.url = ws, url
        unset = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
        self.environment = unset | SAID_TO_RUNS | {"HOME": str(home), "PREFECT_API_URL": url, "GRAFT_OFFLINE": "1"}
        self.environment["PATH"] = f"{BIN}:{self.environment['PATH']}"

    def begin(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=self.ws.root, env=self.environment)

    def do(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.ws.root, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def changes(self) -> dict[int, int]:
        """How many files each version was told to have more than the one before."""
        return {
            one["number"]: one["note"]["trigger"]["added"]
            for one in json.loads(self.do("graft", "models", "list", "--json"))
        }


@pytest.fixture
def server(tmp_path):
    """The address of a Prefect server of nobody's workspace."""
    port = free_port()
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    home = {"PREFECT_HOME": str(tmp_path / "server"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    url = f"http://127.0.0.1:{port}/api"
    with (tmp_path / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=os.environ | SAID_TO_RUNS | home, stdout=log, stderr=log)
    try:
        until(lambda: answers(url), "server")
        yield url
    finally:
        process.terminate()
        process.wait(60)


def answers(url: str) -> bool:
    try:
        return bool(ask(f"{url}/health"))
    except OSError:
        return False


@pytest.fixture
def hosts(ws, server, tmp_path):
    """One that deployed, with a first version, and another with a clone of it."""
    git(ws, "init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "origin.git"))
    git(ws, "remote", "add", "origin", str(tmp_path / "origin.git"))
    first = Host(tmp_path / "home one", ws, server)
    first.do("dvc", "remote", "add", "--quiet", "--default", "store", str(tmp_path / "store"))
    track_raw(ws)
    commit(ws, "remotes")
    first.do("dvc", "push", "--quiet", "data/raw")
    first.do("git", "push", "--quiet", "origin", "HEAD:main")
    first.do("graft", "models", "push")
    first.do("graft", "deploy")
    git(ws, "clone", "--quiet", str(tmp_path / "origin.git"), str(tmp_path / "another place"))
    second = Host(tmp_path / "home two", Workspace(tmp_path / "another place"), server)
    second.do("dvc", "pull", "--quiet", "data/raw")
    return first, second


def test_a_worker_elsewhere_makes_a_version_that_the_first_host_goes_on_from(hosts):
    first, second = hosts
    before = tree_of(first.ws)
    write_images(second.ws.raw, 2, seed=77)
    worker = second.begin("graft", "worker", slug(first.ws))
    try:
        deployment = ask(f"{first.url}/deployments/name/retrain/{slug(first.ws)}")
        body = {"parameters": deployment["parameters"], "state": {"type": "SCHEDULED"}}
        run = ask(f"{first.url}/deployments/{deployment['id']}/create_flow_run", body)
        place = f"{first.url}/flow_runs/{run['id']}"
        until(lambda: ask(place)["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"), "end of the run")
        assert ask(place)["state_type"] == "COMPLETED", ask(place)["state"]["message"]
    finally:
        worker.terminate()
        worker.wait(60)
    assert tree_of(first.ws) == before
    assert second.changes()[2] == 6

    first.do("git", "fetch", "--quiet", "--tags", "origin")
    write_images(first.ws.raw, 2, seed=77)
    write_images(first.ws.raw, 1, seed=78)
    run = retrain_once(first.ws, Trigger("more"), in_process)  # which learns from the remote what model@2 was made of
    assert (run.state, run.version, run.change["added"]) == ("done", "model@3", 3)
