"""`graft up`: a real server and worker of one's own, what they start by themselves, and that nothing stays."""

import json
import socket

import pytest

from flows.server import slug, state_of
from tasks.contracts.params_file import override
from tests.flows.conftest import graft, make, run_stages
from tests.flows.serving import ask, processes_of, runs, until


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory):
    """An audited workspace with its server up; the port that its params ask for is taken by somebody else."""
    ws = make(tmp_path_factory.mktemp("served"))
    run_stages(ws, "bias")
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        override(ws.params, [f"operate.port={somebody.getsockname()[1]}"])
        done = graft(ws, "up")
    try:
        assert done.returncode == 0, done.stderr
        assert "is in use; taking" in done.stderr
        yield ws
    finally:
        graft(ws, "down")


def test_a_second_up_finds_it_up(up):
    before = state_of(up)
    done = graft(up, "up", "--json")
    assert json.loads(done.stdout) == {"ui": before.ui, "api": before.url, "changed": []}
    assert state_of(up) == before


def test_a_schedule_fires_and_its_run_completes(up):
    url = state_of(up).url
    override(up.params, ["operate.schedule.interval=10s", "operate.schedule.flow=audit"])
    line = f"~ audit/{slug(up)}: schedule none -> every 0:00:10 (UTC)"
    assert graft(up, "deploy", "--dry-run").stdout == f"{line}\n"
    assert line in graft(up, "deploy").stdout
    assert "agrees" in graft(up, "deploy").stdout
    planned = f"audit/{slug(up)}: schedule every 0:00:10 (UTC), next 20"
    until(lambda: planned in graft(up, "status").stdout, "run that the server has planned")
    (run, *_) = until(lambda: runs(url, "audit", "COMPLETED"), "scheduled run that completed")
    assert run["auto_scheduled"]
    assert {"graft", slug(up)} <= set(run["tags"])
    assert (up.reports / "audits").is_dir()
    override(up.params, ["operate.schedule.interval="])
    assert "schedule every 0:00:10 (UTC) -> none" in graft(up, "deploy").stdout
    assert not [run for run in runs(url, "audit", "SCHEDULED") if run["auto_scheduled"]]
    until(lambda: not runs(url, "audit", "PENDING", "RUNNING"), "end of the last run")


def test_a_run_at_a_terminal_is_seen_on_the_server_with_what_it_found(up):
    url = state_of(up).url
    known = {run["id"] for run in ask(f"{url}/flow_runs/filter", {})}
    override(up.params, ["bias.permutations=21"])
    done = graft(up, "audit")
    assert done.returncode == 0, done.stderr
    assert f"Prefect server: {url}" in done.stderr
    (run,) = (run for run in ask(f"{url}/flow_runs/filter", {}) if run["id"] not in known)
    assert run["state_type"] == "COMPLETED"
    tasks = ask(f"{url}/task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
    assert sorted(task["name"] for task in tasks) == ["bias", "ingest", "quality"]
    assert {task["state_type"] for task in tasks} == {"COMPLETED"}
    artifacts = {artifact["key"]: artifact for artifact in ask(f"{url}/artifacts/filter", {})}
    assert {"ingest-outcome", "quality-outcome", "bias-outcome", "quality-findings"} <= set(artifacts)
    assert "truncated" in artifacts["quality-findings"]["data"]


def test_changed_data_are_an_event_of_the_server_and_a_server_that_is_gone_is_said(up, monkeypatch):
    from flows.announce import CHANGED, announce, resource, server_of
    from tasks.contracts.errors import BadEnvironment
    from tasks.contracts.run_records import Trigger

    url = state_of(up).url
    assert server_of(up) == url
    sent = announce(url, resource(up), Trigger("3 files added", "heard"))
    wanted = {"filter": {"event": {"name": [CHANGED]}}}
    (event,) = until(lambda: ask(f"{url}/events/filter", wanted)["events"], "event")  # they are written in batches
    assert (event["id"], event["payload"]["reason"]) == (sent, "3 files added")
    assert event["resource"] == {"prefect.resource.id": resource(up)}
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    assert server_of(up) == ""
    with pytest.raises(BadEnvironment, match="did not take the event"):
        announce("http://127.0.0.1:1/api", resource(up), Trigger("x"))


def test_down_leaves_nothing_and_up_knows_the_database_again(up):
    before = state_of(up)
    assert graft(up, "down").stdout == "stopped: worker and server\n"
    assert not before.server.alive
    assert not before.worker.alive
    assert state_of(up) is None
    assert not processes_of(up)
    assert graft(up, "down").stdout == "nothing was up\n"
    refused = graft(up, "deploy")
    assert refused.returncode == 4
    assert refused.stderr == "graft: no Prefect server; start one with `graft up`, or name yours in PREFECT_API_URL\n"
