"""Background processes: ended with all that they started, and never another that got their pid."""

import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from flows.processes import end, last_line, spawn, values_of

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def stubborn(tmp_path):
    """A process that does not hear SIGTERM, and the pid of its child in a session of its own."""
    process = spawn([sys.executable, "-c", STUBBORN], {}, tmp_path, tmp_path / "log")
    while not (tmp_path / "log").read_text().strip():
        time.sleep(0.05)
    yield process, int((tmp_path / "log").read_text())
    end(process, seconds=0)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_what_does_not_end_is_killed_with_its_children(stubborn):
    process, child = stubborn
    assert process.alive
    assert runs(child)
    end(process, seconds=0.5)
    assert not process.alive
    assert not runs(child)


@pytest.mark.parametrize("other", [{"started": 1}, {"boot": "another"}])
def test_a_pid_that_is_used_again_is_left_alone(stubborn, other):
    process, child = stubborn
    reused = replace(process, **other)
    assert not reused.alive
    end(reused, seconds=0.5)
    assert process.alive
    assert runs(child)


def test_the_last_line_that_says_something(tmp_path):
    (tmp_path / "log").write_text("one\ntwo \n\n")
    assert last_line(tmp_path / "log") == "two"
    assert last_line(tmp_path / "none") == "nothing"


def test_who_was_told_of_a_variable_is_found_while_it_lives(tmp_path):
    process = spawn(
        [sys.executable, "-c", "import time; time.sleep(600)"], {"GRAFT_TOLD": "a=b c"}, tmp_path, tmp_path / "log"
    )
    while process.pid not in values_of("GRAFT_TOLD"):  # between fork and exec it still has our variables
        time.sleep(0.05)
    assert values_of("GRAFT_TOLD") == {process.pid: "a=b c"}
    assert not values_of("GRAFT_TOL")
    end(process, seconds=0)
    assert not values_of("GRAFT_TOLD")
