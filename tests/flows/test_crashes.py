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


def killed(folder, cases, database=None):
    """Each of `cases` on a server of its own; nothing may be lost, doubled or left running."""
    site = make_site(folder, database)
    try:
        up(site)
        expected = undisturbed(site)
        assert len(expected.hashes) == 22
        for case in cases:
            result = crash(site, case, expected)
            assert not result.problems, result
            assert result.first == ("COMPLETED" if case.victim == "database" else "CRASHED")
    finally:
        site.graft("down")
    assert not processes_of(site.ws)


def test_a_worker_and_a_server_that_are_killed_lose_nothing_double_nothing_and_leave_nothing_running(tmp_path):
    killed(tmp_path, [Case("worker", "train"), Case("server", "evaluate")])


@pytest.mark.slow
def test_nor_does_a_database_that_is_killed(tmp_path):
    if not is_installed():
        pytest.skip("no Postgres on this machine")
    with postgres() as own:
        killed(tmp_path, [Case("database", "train")], own)
