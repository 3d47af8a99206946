"""Ten starts at once: one works, and each of the others waits or is told who does; nothing is done twice or broken."""

import getpass
import subprocess
import sys
from itertools import pairwise

import pytest

from benchmarks.served import ENDED, Site, make_site, until
from flows.runs import runs_of
from tasks.contracts.params_file import override
from tasks.register.registry import versions
from tests.flows.conftest import graft

pytestmark = pytest.mark.slow

TEN = 10


def at_once(site: Site, *arguments: str) -> list[tuple[int, int, str]]:
    """Ten commands of the door, begun before any has ended: process, exit code and what it said."""
    command = [sys.executable, "-m", "flows.cli", "--workspace", str(site.ws.root), *arguments]
    begun = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(TEN)]
    said = [process.communicate(timeout=600)[1] for process in begun]
    return [(process.pid, process.returncode, text) for process, text in zip(begun, said, strict=True)]


@pytest.mark.parametrize("command", ["run", "retrain"])
def test_of_ten_commands_one_works_and_the_others_say_who(tmp_path, command):
    site = make_site(tmp_path)
    done = at_once(site, command, "--offline")
    (winner,) = [pid for pid, code, _ in done if code == 0]
    for pid, code, text in done:
        assert "Traceback" not in text
        if pid != winner:
            assert (code, text.count("\n")) == (4, 1), text
            assert f"{site.ws.root} is in use by {getpass.getuser()}, process {winner} on " in text
    assert [record.state for record in runs_of(site.ws)] == ["done"]
    assert [version.name for version in versions(site.ws)] == ["model@1"]
    again = graft(site.ws, command, "--offline")
    assert again.returncode == 0, again.stderr


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """A workspace whose audit is fresh, with its server up."""
    site = make_site(tmp_path_factory.mktemp("overlap"))
    done = graft(site.ws, "audit")
    assert done.returncode == 0, done.stderr
    try:
        done = graft(site.ws, "up")
        assert done.returncode == 0, done.stderr
        yield site
    finally:
        graft(site.ws, "down")


def ten_runs(site: Site, overlap: str) -> dict[str, str]:
    """Ten runs of the audit, due at the same time: what each ended as, by its name."""
    override(site.ws.params, [f"operate.overlap={overlap}"])
    done = graft(site.ws, "deploy")
    assert done.returncode == 0, done.stderr
    runs = [site.start("audit") for _ in range(TEN)]
    until(lambda: all(site.state(run) in ENDED for run in runs), "end of ten runs")
    return {run["name"]: site.state(run) for run in runs}


def test_of_ten_runs_one_works_one_waits_for_its_turn_and_what_else_is_due_is_dropped(up):
    ended = ten_runs(up, "wait")
    assert sorted(ended.values()) == ["CANCELLED"] * (TEN - 2) + ["COMPLETED"] * 2
    records = sorted((r for r in runs_of(up.ws) if r.trigger.event in ended), key=lambda r: r.started_at)
    assert len(records) == 2
    assert {record.state for record in records} == {"done"}
    assert all(one.ended_at <= following.started_at for one, following in pairwise(records))


def test_ten_runs_of_which_all_but_one_are_dropped(up):
    ended = ten_runs(up, "drop")
    assert sorted(ended.values()) == ["CANCELLED"] * (TEN - 1) + ["COMPLETED"]
    records = [record for record in runs_of(up.ws) if record.trigger.event in ended]
    assert [ended[record.trigger.event] for record in records] == ["COMPLETED"]
    assert not up.at_work()
