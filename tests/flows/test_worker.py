"""`graft worker`: what it asks for, what it tells its runs, and that these work on the clone."""

import os
from pathlib import Path

import pytest

from flows import cli, server, worker
from flows.clone import CLONE
from flows.server import slug
from tasks.contracts.params import OperateParams
from tasks.contracts.workspace import Workspace

URL = "http://127.0.0.1:4299/api"


@pytest.fixture
def ws(tmp_path, monkeypatch) -> Workspace:
    from flows.workspaces import init

    monkeypatch.setattr(worker, "address_of", lambda _: URL)
    monkeypatch.setattr(worker, "ask", lambda *_: ["flowers-1a2b3c", "trees-000000"])
    return init(tmp_path / "clone of it")


def start(ws: Workspace, monkeypatch, *arguments: str):
    """The command that the process would become, and its environment."""
    became = []
    monkeypatch.setattr(os, "execve", lambda *given: became.append(given))
    monkeypatch.chdir(ws.root)
    assert cli.main(["--workspace", str(ws.root), "worker", *arguments]) == 0
    ((_, command, variables),) = became
    return command, variables


def test_a_pool_that_is_not_there_is_refused_with_those_that_are(ws, capsys):
    assert cli.main(["--workspace", str(ws.root), "worker"]) == 2
    said = capsys.readouterr().err
    assert f"{URL} has no pool {slug(ws)} (it has flowers-1a2b3c, trees-000000)" in said


def test_it_becomes_a_worker_of_that_pool_and_keeps_the_key_of_the_server(ws, monkeypatch):
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "ada:made-up")
    command, variables = start(ws, monkeypatch, "flowers-1a2b3c")
    assert command[command.index("--pool") + 1] == "flowers-1a2b3c"
    assert "--with-healthcheck" not in command
    assert variables["PREFECT_API_URL"] == URL
    assert variables["PREFECT_API_AUTH_STRING"] == "ada:made-up"
    assert variables[CLONE] == str(ws.root)
    assert variables["PREFECT_HOME"].startswith(str(ws.root))
    assert server.SAID_TO_RUNS.items() <= variables.items()  # among them which answers of the server are asked again


def test_its_health_is_asked_for_on_this_machine_only_unless_the_user_says_else(ws, monkeypatch):
    command, variables = start(ws, monkeypatch, "trees-000000", "--healthcheck")
    assert "--with-healthcheck" in command
    assert variables["PREFECT_WORKER_WEBSERVER_HOST"] == "127.0.0.1"
    monkeypatch.setenv("PREFECT_WORKER_WEBSERVER_HOST", "::1")
    assert start(ws, monkeypatch, "trees-000000")[1]["PREFECT_WORKER_WEBSERVER_HOST"] == "::1"


def test_a_run_of_such_a_worker_is_on_its_clone_not_on_the_path_that_was_deployed(ws, monkeypatch, tmp_path):
    from flows.deployed import audit
    from flows.retrain import retrain

    ws.params.write_text("bias: {no_such_word: 1}\n")
    for flow in (audit, retrain):
        monkeypatch.setenv(CLONE, str(ws.root))
        assert "no_such_word" in flow.fn(Path("/where/it/was/deployed")).message
    monkeypatch.delenv(CLONE)
    assert "/where/it/was/deployed is no workspace" in audit.fn(Path("/where/it/was/deployed")).message


def test_a_worker_of_ones_own_server_never_hears_of_another_clone(ws, monkeypatch):
    monkeypatch.setenv(CLONE, "/another/clone")
    assert CLONE not in server.environment(ws, OperateParams(), URL)
