"""SIGKILL in the middle of a served run; `python -m benchmarks.crashes` does it in every stage."""

import pytest

from benchmarks.crashes import Case, crash, undisturbed, up
from benchmarks.postgres import is_installed, postgres
from benchmarks.served import make_site
from tests.flows.serving import processes_of


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """What it starts says nothing and downloads nothing."""
    monkeypatch.setenv("GRAFT_QUIET", "1")
    monkeypatch.setenv("GRAFT_OFFLINE", "1")


def crashes(folder, cases, database=None):
    """What became of each case, on a server of its own, and the processes that are left after it."""
    site = make_site(folder, database)
    try:
        up(site)
        expected = undisturbed(site)
        assert len(expected.hashes) == 22
        found = [crash(site, case, expected) for case in cases]
    finally:
        site.graft("down")
    return found, processes_of(site.ws)


def test_a_worker_and_a_server_that_are_killed_lose_nothing_double_nothing_and_leave_nothing_running(tmp_path):
    found, left = crashes(tmp_path, [Case("worker", "train"), Case("server", "evaluate")])
    assert [result.problems for result in found] == [(), ()]
    assert [result.first for result in found] == ["CRASHED", "CRASHED"]
    assert not left


@pytest.mark.slow
def test_nor_does_a_database_that_is_killed(tmp_path):
    if not is_installed():
        pytest.skip("no Postgres on this machine")
    with postgres() as own:
        found, left = crashes(tmp_path, [Case("database", "train")], own)
    assert [(result.problems, result.first) for result in found] == [((), "COMPLETED")]
    assert not left
