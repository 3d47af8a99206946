"""A watch on a workspace: what it takes for a change, and what becomes of it."""

import os
import shutil
import subprocess
import sys
import threading
import time
from itertools import pairwise

import pytest

from flows.runs import runs_of
from flows.unattended import retrain_once
from flows.watch import Signals, look_once, watch
from tasks.contracts.errors import BadData
from tasks.register.registry import versions
from tests.conftest import write_images
from tests.flows.unattended import ASKED, FAST, in_process, tree_of, wait_for


def test_a_folder_of_images_that_is_dropped_in_becomes_one_version_that_names_it(ws, tmp_path):
    signals, starts, made = Signals(), [], []

    def start(worktree, until):
        starts.append(until)
        return in_process(worktree, until)

    def act(trigger):
        made.append(retrain_once(ws, trigger, start))
        return True

    thread = threading.Thread(target=watch, args=(ws, act, FAST, signals))
    thread.start()
    try:
        new = write_images(tmp_path / "new", 34, seed=7)  # 102 files, one after the other
        for path in sorted(new.rglob("*.png")):
            shutil.copyfile(path, ws.raw / path.relative_to(new))
        before = tree_of(ws)
        wait_for(lambda: made)
        time.sleep(4 * FAST.poll)  # its own outputs start nothing
    finally:
        signals.stop.set()
        thread.join()
    (run,) = made
    assert starts == ["register"]
    assert (run.state, run.version, run.trigger.reason) == ("done", "model@2", "102 files added")
    assert versions(ws)[-1].note["trigger"]["added"] == 102
    assert tree_of(ws) == before
    assert look_once(ws, "a look") is None


def test_what_changes_while_a_run_works_starts_exactly_one_more(ws):
    signals, acts = Signals(), []

    def act(trigger):
        acts.append(trigger.reason)
        for n in range(5):
            if len(acts) == 1:
                write_images(ws.raw, 1, seed=60 + n)
        return True

    write_images(ws.raw, 1, seed=50)
    thread = threading.Thread(target=watch, args=(ws, act, FAST, signals))
    thread.start()
    wait_for(lambda: len(acts) == 2)
    time.sleep(4 * FAST.poll)
    signals.stop.set()
    thread.join()
    assert acts == ["3 files added", "18 files added"]


def test_what_could_not_be_done_is_tried_again_and_touched_files_are_no_change(ws):
    signals, answers = Signals(), iter((False, True, True))
    acts = []

    def act(trigger):
        acts.append(trigger)
        return next(answers)

    write_images(ws.raw, 1, seed=50)
    thread = threading.Thread(target=watch, args=(ws, act, FAST, signals))
    thread.start()
    wait_for(lambda: len(acts) == 2)
    shutil.rmtree(ws.raw / "circles")
    shutil.copytree(ws.raw / "crosses", ws.raw / "circles")
    shutil.rmtree(ws.raw / "circles")
    wait_for(lambda: len(acts) == 3)
    for path in ws.raw.rglob("*.png"):
        path.touch()
    time.sleep(4 * FAST.poll)
    signals.stop.set()
    thread.join()
    assert [trigger.reason for trigger in acts] == ["3 files added", "3 files added", "2 files added, 14 removed"]


def test_a_server_that_was_told_is_told_again_until_a_run_came_to_its_end(ws):
    signals, told = Signals(), []

    def act(_trigger):
        told.append(time.monotonic())  # and the server drops it

    def fail(_worktree, _until):
        raise BadData("enough")

    write_images(ws.raw, 1, seed=50)
    thread = threading.Thread(target=watch, args=(ws, act, FAST, signals))
    thread.start()
    try:
        wait_for(lambda: len(told) == 2)
        for n in range(20):  # what changes meanwhile is no reason to tell more often
            write_images(ws.raw, 1, seed=60 + n)
            time.sleep(0.05)
        with pytest.raises(BadData):
            retrain_once(ws, ASKED, fail)
        time.sleep(FAST.poll)  # for a look that was under way
        before = len(told)
        time.sleep(8 * FAST.poll)
        assert len(told) == before
        write_images(ws.raw, 1, seed=90)
        wait_for(lambda: len(told) > before)
    finally:
        signals.stop.set()
        thread.join()
    assert all(later - sooner >= FAST.poll for sooner, later in pairwise(told))


@pytest.mark.slow
def test_watch_by_the_door_retrains_in_a_process_of_its_own(ws):
    door = [sys.executable, "-m", "flows.cli", "--workspace", str(ws.root), "watch", "--here", "--poll=1"]
    child = subprocess.Popen(door, env=os.environ | {"PREFECT_API_URL": ""})
    try:
        write_images(ws.raw, 2, seed=50)
        wait_for(lambda: len(versions(ws)) == 2, 300)
        wait_for(lambda: runs_of(ws)[0].state == "done", 60)
    finally:
        child.terminate()
        assert child.wait(60) == 143
    assert versions(ws)[-1].note["trigger"]["reason"] == "6 files added"
