"""SIGKILL in the middle of a served run; `python -m benchmarks.crashes` does it in every stage, minutes for each."""

import pytest

from benchmarks.crashes import Case, crash, undisturbed, up
from benchmarks.postgres import is_installed, postgres
from benchmarks.served import make_site
from tests.flows.serving import processes_of

pytestmark = pytest.mark.slow

CASES = {
    "sqlite": [Case("worker", "train"), Case("server", "train"), Case("worker", "publish")],
    "postgres": [Case("database", "train")],
}


@pytest.fixture
def database(request):
    """A Postgres of our own, or None for SQLite."""
    if request.param == "sqlite":
        yield None
        return
    if not is_installed():
        pytest.skip("no Postgres on this machine")
    with postgres() as own:
        yield own


@pytest.mark.parametrize("database", CASES, indirect=True)
def test_what_is_killed_loses_nothing_doubles_nothing_and_leaves_nothing_running(database, tmp_path):
    site = make_site(tmp_path, database)
    up(site)
    try:
        expected = undisturbed(site, "pipeline")
        assert len(expected.hashes) == 22
        for case in CASES["postgres" if database else "sqlite"]:
            result = crash(site, "pipeline", case, expected)
            assert not result.problems, result
    finally:
        site.graft("down")
    assert not processes_of(site.ws)
