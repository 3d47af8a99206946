"""Runs whose process is gone are marked as crashed, and none that may be at work where nobody here can see it."""

import asyncio
import os
import socket
from types import SimpleNamespace

import pytest

from flows import leftovers, operating
from flows.leftovers import crash_gone
from flows.processes import hidden
from flows.server import own_worker, slug
from tasks.contracts.workspace import Workspace


class Server:
    """The part of Prefect's client that knows runs and workers; `crashed` are those that were marked."""

    def __init__(self, ws: Workspace, *workers: tuple[str, str]) -> None:
        self.workers = [SimpleNamespace(name=name, status=status) for name, status in workers]
        running = SimpleNamespace(is_running=lambda: True)
        self.run = SimpleNamespace(id="1", name="wise-fir", tags=[], work_pool_name=slug(ws), state=running)
        self.crashed: list[str] = []

    async def read_workers_for_work_pool(self, _: str):
        return self.workers

    async def read_flow_runs(self, **_: object):
        return [self.run]

    async def read_flow_run(self, _: str):
        return self.run

    async def set_flow_run_state(self, run: str, *_: object, **__: object) -> None:
        self.crashed.append(run)


@pytest.fixture
def ws(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.setattr(leftovers, "hidden", lambda _: [])
    return Workspace(tmp_path)


def swept(server: Server, ws: Workspace) -> bool:
    """Whether the run is taken for dead, both as one that works and as one that was given to a worker."""

    async def both() -> tuple[list[str], int]:
        return await crash_gone(server, ws), await operating._crash(server, ws, "its worker ended", began=False)

    gone, submitted = asyncio.run(both())
    assert len(server.crashed) == len(gone) + submitted
    assert (gone == ["wise-fir"]) == (submitted == 1)
    return bool(gone)


def test_a_run_without_a_process_is_crashed_where_only_the_workspaces_own_worker_is_up(ws):
    assert swept(Server(ws), ws)
    assert swept(Server(ws, (own_worker(), "ONLINE"), ("fir", "OFFLINE")), ws)


@pytest.mark.parametrize("name", [socket.gethostname(), "a container"])
def test_a_run_that_another_worker_may_work_on_is_left_to_its_heartbeats(ws, name):
    assert not swept(Server(ws, (own_worker(), "ONLINE"), (name, "ONLINE")), ws)


def test_a_run_that_another_user_may_work_on_is_left_to_its_heartbeats(ws, monkeypatch):
    monkeypatch.setattr(leftovers, "hidden", lambda word: [4711] if word == "prefect" else [])
    assert not swept(Server(ws, (own_worker(), "ONLINE")), ws)


def test_ones_own_processes_are_not_hidden():
    assert os.getpid() not in hidden("pytest")
