"""What a server does by itself when something goes wrong, on Postgres as well; minutes each, so `make slow`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from tempfile import TemporaryDirectory
from uuid import uuid4

import pytest

from benchmarks.postgres import free_port
from flows.processes import end
from flows.server import slug, state_of
from tasks.contracts.params_file import override
from tests.flows.conftest import BIN, graft, make, run_stages
from tests.flows.serving import ask, processes_of, runs, until

pytestmark = pytest.mark.slow

SAVE_BLOCK = """
import sys
from prefect.blocks.notifications import CustomWebhookNotificationBlock
CustomWebhookNotificationBlock(
    name="tell", url=sys.argv[1], json_data={"subject": "{{subject}}", "body": "{{body}}"}
).save("tell")
"""


def started(folder, *settings: str):
    """An audited workspace with its server up."""
    ws = make(folder)
    run_stages(ws, "bias")
    override(ws.params, [f"operate.port={free_port()}", *settings])
    done = graft(ws, "up")
    if done.returncode:
        graft(ws, "down")
    assert done.returncode == 0, done.stderr
    return ws


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory):
    ws = started(tmp_path_factory.mktemp("faults"))
    yield ws
    graft(ws, "down")


@pytest.fixture(scope="module")
def told():
    """A receiver of webhooks on loopback: its address, and what it was told."""
    heard: list[dict] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", heard
        server.shutdown()
        thread.join()


def start(ws, flow: str, **parameters):
    url = state_of(ws).url
    deployment = ask(f"{url}/deployments/name/{flow}/{slug(ws)}")
    body = {"parameters": {**deployment["parameters"], **parameters}, "state": {"type": "SCHEDULED"}}
    return ask(f"{url}/deployments/{deployment['id']}/create_flow_run", body)


def prefect(ws, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PREFECT_API_URL": state_of(ws).url, "GRAFT_WORKSPACE": str(ws.root)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_a_block_that_is_missing_is_named(up):
    override(up.params, ["operate.notify=[custom-webhook/tell]"])
    done = graft(up, "deploy")
    assert done.returncode == 2
    assert "operate.notify" in done.stderr
    assert "operate.notify: custom-webhook/tell: the server has no such block" in done.stderr


def test_a_run_that_fails_is_told_with_its_reason(up, told):
    address, heard = told
    saved = prefect(up, sys.executable, "-c", SAVE_BLOCK, address)
    assert saved.returncode == 0, saved.stderr
    assert f"+ automation {slug(up)}: tell custom-webhook/tell" in graft(up, "deploy").stdout
    assert "agrees" in graft(up, "deploy").stdout
    settings = up.params.read_text()
    up.params.write_text(settings.replace("epochs: 2", "epochs: -2"))
    run = start(up, "audit")
    (found,) = until(lambda: [one for one in heard if run["name"] in one["body"]], "message")
    up.params.write_text(settings)
    assert found["subject"] == f"graft: audit of {slug(up)} Failed"
    assert "params.yaml: train.epochs" in found["body"]


def test_data_that_changed_start_a_run_and_one_that_dies_with_its_worker_is_crashed(up, told):
    _address, heard = told
    url = state_of(up).url
    event = {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "graft.data.changed",
        "resource": {"prefect.resource.id": f"graft.workspace.{slug(up)}"},
        "payload": {"added": 3},
    }
    ask(f"{url}/events", [event])
    (run,) = until(lambda: runs(url, "retrain", "RUNNING"), "run")
    assert run["parameters"]["change"] == event["payload"]
    # its first heartbeat is sent in its first second, and the server has to have heard it
    wanted = {
        "filter": {
            "event": {"name": ["prefect.flow-run.heartbeat"]},
            "resource": {"id": [f"prefect.flow-run.{run['id']}"]},
        }
    }
    until(lambda: ask(f"{url}/events/filter", wanted)["events"], "heartbeat")
    end(state_of(up).worker, seconds=0)  # killed with its run before it can tell of it
    until(lambda: [one for one in heard if run["name"] in one["body"]], "message of a crash")
    assert ask(f"{url}/flow_runs/{run['id']}")["state_type"] == "CRASHED"
    healed = graft(up, "up")
    assert healed.returncode == 0, healed.stderr
    assert "starting a worker" in healed.stderr
    assert "starting a Prefect server" not in healed.stderr
    again = start(up, "audit")
    until(lambda: ask(f"{url}/flow_runs/{again['id']}")["state_type"] == "COMPLETED", "run after the crash")


def test_prefects_own_tools_deploy_every_flow(up):
    assert prefect(up, str(BIN / "prefect"), "work-pool", "create", "graft", "--type", "process").returncode == 0
    done = prefect(up, str(BIN / "prefect"), "--no-prompt", "deploy", "--all")
    assert done.returncode == 0, done.stdout + done.stderr
    for flow in ("pipeline", "audit", "pretrain", "retrain"):
        found = ask(f"{state_of(up).url}/deployments/name/{flow}/graft")
        assert found["parameters"] == {"workspace": str(up.root)}
        assert found["global_concurrency_limit"]["limit"] == 2
        assert found["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"


def test_a_server_that_was_killed_is_started_anew_with_what_it_knew(up):
    before = state_of(up)
    os.kill(before.server.pid, signal.SIGKILL)
    assert "down; `graft up` starts it again" in graft(up, "status").stdout
    assert graft(up, "up").returncode == 0
    after = state_of(up)
    assert not before.worker.alive
    assert runs(after.url, "audit", "COMPLETED")


@pytest.fixture
def postgres():
    """The address of a Postgres database of our own on loopback."""
    if not shutil.which("initdb"):
        pytest.skip("no Postgres on this machine")
    port, user = free_port(), "nobody" if os.geteuid() == 0 else None  # it refuses to run as root
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if user:
            shutil.chown(folder, user)

        def call(program: str, *arguments: str) -> None:
            command = [shutil.which(program), *arguments]
            subprocess.run(command, check=True, capture_output=True, cwd=folder, user=user)

        call("initdb", "-D", f"{folder}/db", "-U", "prefect", "-A", "trust")
        control = ("pg_ctl", "-D", f"{folder}/db", "-l", f"{folder}/log", "-w")
        call(*control, "-o", f"-p {port} -k {folder} -h 127.0.0.1", "start")
        call("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "prefect", "prefect")
        yield f"postgresql://prefect@127.0.0.1:{port}/prefect"
        call(*control, "-m", "fast", "stop")


def test_a_schedule_fires_on_postgres_too(postgres, tmp_path):
    settings = ("operate.schedule.interval=10s", "operate.schedule.flow=audit")
    ws = started(tmp_path, f"operate.database={postgres}", *settings)
    try:
        until(lambda: runs(state_of(ws).url, "audit", "COMPLETED"), "scheduled run that completed")
        assert not (ws.private / "server" / "prefect.db").exists()
    finally:
        assert graft(ws, "down").returncode == 0
    assert not processes_of(ws)
