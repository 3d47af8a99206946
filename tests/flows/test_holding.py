"""One run at a time: who holds the workspace is said, the next in turn waits, and a death frees it."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.holding import Held, age, only_run
from tasks.contracts.workspace import Workspace

HOLD = """
import sys, time
from pathlib import Path
from flows.holding import only_run
from tasks.contracts.workspace import Workspace
with only_run(Workspace(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the workspace."""
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_holder_is_named_with_owner_process_host_and_age(tmp_path, holder):
    with pytest.raises(Held) as refused, only_run(Workspace(tmp_path)):
        pass
    host = os.uname().nodename
    assert f"process {holder.pid} on {host}, for less than a minute; wait until it ends" in str(refused.value)
    assert refused.value.exit_code == 4


def test_who_waits_gets_its_turn_when_the_holder_is_killed(tmp_path, holder):
    got = threading.Event()

    def wait() -> None:
        with only_run(Workspace(tmp_path), wait=True):
            got.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not got.wait(1.5)
    holder.send_signal(signal.SIGKILL)
    assert got.wait(30)
    waiting.join()


def test_one_waits_at_a_time_and_the_next_that_would_is_told(tmp_path, holder, monkeypatch):
    waits, got = threading.Event(), threading.Event()
    monkeypatch.setattr("flows.holding.say", lambda _words: waits.set())

    def wait() -> None:
        with only_run(Workspace(tmp_path), wait=True):
            got.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert waits.wait(30)
    message = f"process {holder.pid} .* and another run waits for its turn already"
    with pytest.raises(Held, match=message), only_run(Workspace(tmp_path), wait=True):
        pass
    holder.kill()
    assert got.wait(30)
    waiting.join()
    with only_run(Workspace(tmp_path), wait=True):  # and then there is a turn for the next
        pass


@pytest.mark.parametrize("text", ["", "process 7", '{"pid": 1}', "[1]", '{"since": "x"}', "\x00"])
def test_a_lock_that_says_nothing_useful_is_still_a_lock(tmp_path, holder, text):
    (tmp_path / ".graft" / "run.lock").write_text(text)
    with pytest.raises(Held, match="in use by another run"), only_run(Workspace(tmp_path)):
        pass


@given(st.floats(-1e9, 1e9))
def test_an_age_is_in_whole_words_whatever_the_clock_did(seconds):
    assert not set(age(seconds)) & set(".-")


def test_ages():
    assert age(59) == "less than a minute"
    assert age(61) == "1 minute"
    assert age(2 * 3600 + 5 * 60) == "2 hours and 5 minutes"
    assert age(86400 + 61) == "1 day and 1 minute"
