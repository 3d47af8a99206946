"""What an operator sees of a server: who is told of an end, and what was made of what."""

import asyncio
import http.server
import json
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from flows.server import slug, state_of
from tasks.contracts.params_file import override
from tests.flows.conftest import graft, make, run_stages
from tests.flows.serving import PATIENCE_S, ask, runs, until

pytestmark = pytest.mark.slow
# what `publish` calls for a new version, without the training of one
REGISTERED = """
import json, sys; from pathlib import Path; from types import SimpleNamespace
from flows.assets import show_version; from tasks.contracts.workspace import Workspace
show_version(Workspace(Path(sys.argv[1])), SimpleNamespace(**json.loads(sys.argv[2])))
"""
LINEAGE = {
    "data/raw": [],
    "data/manifest.parquet": ["data/raw"],
    "data/checked.parquet": ["data/manifest.parquet"],
    "models/registry": ["models/bundle"],
}


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps the messages that are posted."""

    got: list[str]

    def do_POST(self) -> None:
        self.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def receiver():
    kind = type("MyReceiver", (Receiver,), {"got": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield SimpleNamespace(got=kind.got, url=f"http://127.0.0.1:{server.server_port}/hook")
        server.shutdown()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory):
    ws = make(tmp_path_factory.mktemp("seen"))
    run_stages(ws, "bias")
    for path in (ws.manifest, ws.checked):  # what DVC restores is told of as well, and takes no time
        path.unlink()
    done = graft(ws, "up")
    try:
        assert done.returncode == 0, done.stderr
        yield ws
    finally:
        graft(ws, "down")


def add_block(url: str, receiver: str) -> None:
    """What a person does on the server's page under Blocks."""
    from prefect.blocks.notifications import CustomWebhookNotificationBlock
    from prefect.client.orchestration import PrefectClient

    async def save() -> None:
        async with PrefectClient(url) as client:
            text = {"text": "{{subject}} | {{body}}"}
            await CustomWebhookNotificationBlock(name="x", url=receiver, json_data=text).save("pager", client=client)

    asyncio.run(save())


def assets(url: str, what: str) -> dict[str, dict]:
    """The latest event of that kind of each asset, by the asset's place."""
    found = ask(f"{url}/events/filter", {"filter": {"event": {"name": [f"prefect.asset.{what}"]}}, "limit": 50})
    events = sorted(found["events"], key=lambda event: event["occurred"])
    return {named(event["resource"]): event for event in events}


def test_a_block_that_the_server_lacks_is_one_line(up):
    override(up.params, ["operate.notify=[custom-webhok/pager]"])
    refused = graft(up, "deploy")
    assert refused.returncode == 2
    assert refused.stderr.endswith("knows no blocks of the type custom-webhok; did you mean custom-webhook?\n")
    override(up.params, ["operate.notify=[custom-webhook/pager]"])
    refused = graft(up, "notify")
    assert refused.returncode == 2
    assert "custom-webhook/pager: the server has no such block; make it on the server's page" in refused.stderr


def test_people_are_told_of_an_end_and_the_lineage_is_there(up, receiver, monkeypatch):
    url = state_of(up).url
    add_block(url, receiver.url)
    assert f"+ automation {slug(up)}: tell custom-webhook/pager" in graft(up, "deploy").stdout
    sent = graft(up, "notify")
    assert (sent.returncode, sent.stdout) == (0, "custom-webhook/pager: sent\n"), sent.stderr
    assert receiver.got.pop().startswith(f"graft: a test from {up.root.name} | ")
    deployment = ask(f"{url}/deployments/name/audit/{slug(up)}")
    ask(f"{url}/deployments/{deployment['id']}/create_flow_run", {})
    until(lambda: runs(url, "audit", "COMPLETED"), "audit that completed")
    until(lambda: receiver.got, "message")
    assert receiver.got[0].startswith(f"graft: audit of {slug(up)} Completed | ")

    version = {
        "name": "model@1",
        "champion": True,
        "commit": "c",
        "note": {"bundle": "b", "data": "d", "test_accuracy": {}},
    }
    monkeypatch.setenv("PREFECT_API_URL", url)
    subprocess.run([sys.executable, "-c", REGISTERED, up.root, json.dumps(version)], check=True, timeout=PATIENCE_S)
    made = until(lambda: len(found := assets(url, "materialization.succeeded")) == len(LINEAGE) and found, "events")
    sources = {place: [named(one) for one in event["related"] if is_asset(one)] for place, event in made.items()}
    assert sources == LINEAGE
    assert set(assets(url, "referenced")) == {place for of in LINEAGE.values() for place in of}
    assert made["data/raw"]["payload"]["files"] == 121
    assert made["data/raw"]["payload"]["hash"] in (up.root / "data" / "raw.dvc").read_text()
    assert made["models/registry"]["payload"]["version"] == "model@1"


def named(resource: dict[str, str]) -> str:
    return resource["prefect.resource.id"].split("/", 3)[3]


def is_asset(related: dict[str, str]) -> bool:
    return related["prefect.resource.role"] == "asset"
