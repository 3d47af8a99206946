"""Records of runs: true from the first moment on, put right where a process died, and a page that takes any text."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from flows import cli
from flows.runs import find_run, heal, recorded, runs_of
from tasks.contracts.errors import BadData, BrokenArtifact, GateRefused
from tasks.contracts.files import write_record
from tasks.contracts.progress import say
from tasks.contracts.run_records import Trigger
from tasks.contracts.workspace import Workspace
from tasks.report.audits import write_audit_pages
from tasks.report.page import links_of, write_page
from tasks.report.runs import render_runs, run_line
from tests.hostile import HOSTILE, MARK

ASKED = Trigger("asked for")


@pytest.fixture
def ws(tmp_path) -> Workspace:
    (tmp_path / "params.yaml").touch()
    (tmp_path / "dvc.yaml").touch()
    return Workspace(tmp_path)


def test_a_run_is_running_while_it_works_and_done_after_it(ws):
    with recorded(ws, "retrain", ASKED) as run:
        (seen,) = runs_of(ws)
        assert (seen.state, seen.ended_at, seen.owner.pid) == ("running", "", os.getpid())
        run.note(version="model@3", stages=({"stage": "ingest", "action": "ran", "why": "new"},))
        assert find_run(ws) == run.record
        say("a line for the log")
    (seen,) = runs_of(ws)
    assert (seen.state, seen.version) == ("done", "model@3")
    assert seen.ended_at >= seen.started_at
    assert json.loads((ws.root / seen.log).read_text().splitlines()[-1])["text"] == "a line for the log"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (GateRefused("too few"), "refused"),
        (BadData("none"), "failed"),
        (ZeroDivisionError("x"), "failed"),
    ],
)
def test_a_run_that_ends_badly_says_how(ws, error, state):
    with pytest.raises(type(error)), recorded(ws, "retrain", ASKED):
        raise error
    assert find_run(ws).state == state
    assert find_run(ws).why == (str(error) or type(error).__name__)


@pytest.mark.parametrize(
    ("error", "why"), [(KeyboardInterrupt(), "stopped by Ctrl-C"), (SystemExit(143), "stopped by SIGTERM")]
)
def test_a_run_that_is_stopped_says_by_what(ws, error, why):
    with pytest.raises(type(error)), recorded(ws, "retrain", ASKED):
        raise error
    assert (find_run(ws).state, find_run(ws).why) == ("interrupted", why)


def test_the_page_of_all_runs_is_true_while_one_works_and_after_it(ws):
    with recorded(ws, "tune", ASKED):
        assert ">running<" in ws.runs_page.read_text()
    assert ">running<" not in ws.runs_page.read_text()
    with pytest.raises(BadData), recorded(ws, "tune", ASKED):
        raise BadData("none of it <can> be read")
    assert "none of it &lt;can&gt; be read" in ws.runs_page.read_text()


def test_the_pages_lead_to_each_other_and_never_to_one_that_is_not_there(ws):
    assert links_of(ws, ws.runs_page) == ()
    with recorded(ws, "run", ASKED):
        report = write_page(ws).read_text()
    assert 'href="runs.html"' in report
    assert "all audits" not in report
    assert 'href="index.html"' in ws.runs_page.read_text()
    index = write_audit_pages(ws)
    assert links_of(ws, index) == (("report", "../index.html"), ("all runs", "../runs.html"))
    assert links_of(ws, ws.runs / "kept.html")[1] == ("all runs", "../../reports/runs.html")


def test_a_killed_run_is_crashed_and_its_number_in_other_hands_is_not_taken_for_it(ws):
    script = (
        "import os, sys; from pathlib import Path; from flows.runs import recorded; "
        "from tasks.contracts.run_records import Trigger; from tasks.contracts.workspace import Workspace\n"
        "with recorded(Workspace(Path(sys.argv[1])), 'retrain', Trigger('x')): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, str(ws.root)], check=False)
    path = next(ws.runs.glob("*.json"))
    assert '"state": "running"' in path.read_text()
    assert find_run(ws).state == "crashed"
    heal(ws)
    assert '"state": "crashed"' in path.read_text()

    with recorded(ws, "retrain", ASKED) as mine:
        heal(ws)
        assert find_run(ws, mine.record.id).state == "running"
        earlier = replace(mine.record.owner, started=psutil.Process().create_time() - 60)
        mine.note(owner=earlier)
        assert find_run(ws, mine.record.id).state == "crashed"
        mine.note(owner=replace(earlier, host=f"not {socket.gethostname()}"))
        assert find_run(ws, mine.record.id).state == "running"  # what another machine does is not known here
        heal(ws)  # but who holds the workspace knows that it does nothing
        assert (find_run(ws, mine.record.id).state, find_run(ws, mine.record.id).why) == (
            "crashed",
            f"process {os.getpid()} on not {socket.gethostname()} ended without a word",
        )


@pytest.mark.parametrize("failure", [OSError("disk full"), BrokenArtifact("x.json is no record of a run")])
def test_a_page_that_cannot_be_drawn_in_the_end_is_said_and_changes_no_end(ws, monkeypatch, capsys, failure):
    def draw(_: Workspace) -> None:
        if all(run.state != "running" for run in runs_of(ws)):
            raise failure

    monkeypatch.setattr("flows.runs._draw", draw)
    with recorded(ws, "retrain", ASKED):
        pass
    with pytest.raises(BadData, match="the body's own"), recorded(ws, "retrain", ASKED):
        raise BadData("the body's own")
    assert {run.state for run in runs_of(ws)} == {"done", "failed"}
    assert capsys.readouterr().err.count(f"runs.html is not drawn ({failure}); `graft runs` draws it") == 2


def test_a_broken_record_is_named(ws):
    ws.runs.mkdir(parents=True)
    for text in ("{", "[]", '{"trigger": {}}'):
        (ws.runs / "x.json").write_text(text)
        with pytest.raises(BrokenArtifact, match=r"x\.json is no record"):
            runs_of(ws)


def test_the_latest_comes_first_and_the_door_shows_it(ws, capsys):
    for reason in ("one", "two"):
        with recorded(ws, "retrain", Trigger(reason)) as run:
            run.note(started_at=f"2026-11-26T0{len(runs_of(ws))}:00:00+00:00")
    assert [run.trigger.reason for run in runs_of(ws)] == ["two", "one"]
    assert cli.main(["--workspace", str(ws.root), "runs", "show", "--json"]) == 0
    assert '"reason": "two"' in capsys.readouterr().out
    assert cli.main(["--workspace", str(ws.root), "runs"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"page {ws.runs_page}"
    assert ">two<" in ws.runs_page.read_text()


def test_no_text_of_a_stranger_does_anything_on_the_page_or_in_a_line(ws):
    with recorded(ws, "retrain", ASKED) as run:
        pass
    change = {"added": 3, "removed": 0, "changed": 0, "moved": 1}
    odd = [replace(run.record, trigger=Trigger(text, text), why=text, change=change) for text in HOSTILE.values()]
    page = render_runs(odd)
    assert page.count("<script") == page.count('onerror="') == page.count('onload="') == 0
    assert "3 added, 1 moved" in page
    assert f"document.title=&#39;{MARK}&#39;" in page
    for one in odd:
        assert len(run_line(one).splitlines()) == 1
        assert "\x1b" not in run_line(one)
    assert render_runs(odd) == page
    write_record(ws.runs / "odd.json", replace(odd[0], id="odd"))
    assert find_run(ws, "odd").trigger.reason == HOSTILE["script"]


def test_the_page_of_many_runs_stays_small(ws):
    with recorded(ws, "retrain", ASKED) as run:
        pass
    page = render_runs([run.record] * 5000)
    assert page.count("<time ") == 1000
    assert "5,000" in page
