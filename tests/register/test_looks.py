"""Every look at the promotion split counts, whatever came of it: killed, void because the champion moved, or done."""

import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import publish
from flows.workspaces import git
from tasks.register import history as states
from tasks.register import registry
from tasks.register.history import replay
from tests.register.conftest import train

KILLED = """
import os, signal, sys
from pathlib import Path
from flows import publish
from tasks.contracts.workspace import Workspace
from tasks.register import compare
publish._latency = lambda *_: {"single": {"p50_ms": 1.0}}
compare._answers = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
publish.publish(Workspace(Path(sys.argv[1])))
"""


def compared(images):
    return {"bundle": "ab.dir", "decision": {"images": images}}


@pytest.fixture(autouse=True)
def no_timing(monkeypatch):
    monkeypatch.setattr(publish, "_latency", lambda *_: {"single": {"p50_ms": 1.0}})


def test_a_comparison_that_is_killed_is_a_look_and_the_next_is_the_next(workspace):
    before = registry.history(workspace).looked
    train(workspace, seed=1, accuracy=0.9)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, workspace.root], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert registry.history(workspace).looked == before + 1
    assert len(registry.versions(workspace)) == 2
    version = publish.publish(workspace)
    assert version.note["decision"]["look"] == before + 2
    assert registry.history(workspace).looked == before + 2  # the version and the looks at its run, each once
    assert registry.history(workspace).strange == ()


def test_a_look_that_comes_to_nothing_because_the_champion_moved_counts(workspace, monkeypatch):
    train(workspace, seed=1, accuracy=0.9)
    before, decide = registry.history(workspace).looked, publish._decide
    decided = []

    def crossed(ws, now, offer):
        decision = decide(ws, now, offer)
        decided.append(decision.look)
        if len(decided) == 1:
            registry.promote(ws, registry.find_version(ws, "model@2"), "Ada", "meanwhile", now.champion.number)
        return publish.Decision(True, "better", images=decision.images, look=decision.look)

    monkeypatch.setattr(publish, "_decide", crossed)
    version = publish.publish(workspace)
    assert decided == [before + 1, before + 2]
    assert version.note["decision"]["look"] == registry.history(workspace).looked == before + 2


def test_looks_are_shared_by_worktrees_and_stay_in_this_repository(workspace, tmp_path):
    commit = git(workspace, "rev-parse", "HEAD").strip()
    number = registry.begin_look(workspace, commit)
    git(workspace, "worktree", "add", "--quiet", "--detach", str(tmp_path / "linked"))
    other = type(workspace)(tmp_path / "linked")
    assert registry.begin_look(other, commit) == number + 1
    assert registry.history(workspace).looked == number + 1


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=6), st.integers(0, 3))
def test_no_look_is_lost_and_none_is_counted_twice(runs, elsewhere):
    """Runs that were looked at so many times and then registered or not, and versions from other clones."""
    tags = []
    for number, (looks, is_registered) in enumerate(runs, 1):
        for _ in range(looks):
            tags.append(states.look(replay(tags), f"{number:040x}"))
        if is_registered:
            tags.append(states.registration(replay(tags), f"{number:040x}", compared(9)))
    for number in range(elsewhere):
        tags.append(states.registration(replay(tags), f"{number:039x}e", compared(9)))
    tags.append(states.registration(replay(tags), "f" * 40, compared(0)))  # a first version
    assert replay(tags).looked == sum(looks for looks, _ in runs) + elsewhere
    assert [look.number for look in replay(tags).looks] == list(range(1, 1 + sum(looks for looks, _ in runs)))
