"""What wakes a watch from outside: git hooks beside others, and signed requests over HTTP."""

import http.client
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import pytest

from flows import cli, doctor, hooks, retraining, webhook
from flows import watch as watching
from flows.server import slug
from flows.workspaces import git, init
from tasks.contracts.errors import BadEnvironment, BadUsage
from tasks.contracts.run_records import Trigger
from tasks.contracts.workspace import Workspace
from tests.flows.conftest import commit

SECRET = b"a secret of more than sixteen"
THEIRS = "#!/bin/bash\necho theirs >> said.txt\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Workspace:
    return init(tmp_path_factory.mktemp("signals") / "flowers")


@pytest.fixture
def ws(made, tmp_path) -> Workspace:
    subprocess.run(["cp", "-a", str(made.root), str(tmp_path / "it's a copy")], check=True)
    return Workspace(tmp_path / "it's a copy")


@pytest.fixture
def door(ws, tmp_path, monkeypatch) -> Path:
    """A `graft` that writes down how it was called, in place of the one beside this Python."""
    script = tmp_path / "bin" / "graft"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho "$2 $4 $5 git:$GIT_INDEX_FILE" >> {tmp_path}/calls\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    return tmp_path / "calls"


def wait_for(what) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def test_a_commit_has_graft_look_and_other_hooks_go_on(ws, door):
    mine = ws.root / ".git" / "hooks" / "post-commit"
    mine.write_text(THEIRS)
    assert {path.name for path in hooks.install(ws)} == {"post-commit", "post-merge"}
    assert hooks.install(ws) == []
    assert mine.read_text().startswith(THEIRS)
    commit(ws, "one")
    wait_for(door.exists)
    assert door.read_text() == f"{ws.root} watch --once git:\n"
    assert (ws.root / "said.txt").read_text() == "theirs\n"
    assert {path.name for path in hooks.remove(ws)} == {"post-commit", "post-merge"}
    assert mine.read_text() == THEIRS
    assert not mine.with_name("post-merge").exists()
    assert hooks.remove(ws) == []


def test_a_commit_in_the_place_of_an_unattended_run_is_looked_at_by_nobody(ws, door):
    hooks.install(ws)
    place = Workspace(ws.worktrees / "x1")
    git(ws, "worktree", "add", "--quiet", "--detach", str(place.root))
    commit(place, "of the run")
    commit(ws, "of a person")
    wait_for(door.exists)
    time.sleep(0.2)
    assert len(door.read_text().splitlines()) == 1


def test_a_commit_of_a_run_is_looked_at_by_nobody(ws, door, monkeypatch):
    hooks.install(ws)
    monkeypatch.setenv("GRAFT_RUN_ID", "x1")
    commit(ws, "of the run")
    monkeypatch.delenv("GRAFT_RUN_ID")
    commit(ws, "of a person")
    wait_for(door.exists)
    time.sleep(0.2)
    assert len(door.read_text().splitlines()) == 1


def test_a_hook_in_another_language_is_left_alone(ws):
    mine = ws.root / ".git" / "hooks" / "post-merge"
    mine.write_text("#!/usr/bin/env python3\nprint('theirs')\n")
    with pytest.raises(BadUsage, match="no shell script"):
        hooks.install(ws)
    assert not mine.with_name("post-commit").exists()


def test_lines_of_an_earlier_graft_are_said_and_replaced(ws, door, capsys):
    hooks.install(ws)
    mine = ws.root / ".git" / "hooks" / "post-commit"
    assert hooks.stale(ws) == []
    text = mine.read_text()
    mine.write_text(THEIRS + text.removeprefix("#!/bin/sh\n").replace("--quiet watch", "watch --old") + "echo last\n")
    assert hooks.stale(ws) == [mine]
    (check,) = doctor._hooks(ws)
    assert (check.verdict, check.remedy) == ("warn", "`graft watch --install-hook` replaces them")
    assert cli.main(["--workspace", str(ws.root), "watch", "--once", "--here"]) == 3  # there are no data
    assert "post-commit in git's hooks: not this graft's lines" in capsys.readouterr().err
    assert hooks.install(ws) == [mine]
    assert (hooks.stale(ws), list(doctor._hooks(ws)), mine.read_text().count("graft watch >>>")) == ([], [], 1)
    commit(ws, "one")
    wait_for(door.exists)
    assert door.read_text() == f"{ws.root} watch --once git:\n"
    assert hooks.remove(ws)[0] == mine
    assert mine.read_text() == THEIRS + "echo last\n"


def test_lines_that_are_cut_short_take_nobody_elses_with_them(ws):
    hooks.install(ws)
    mine = ws.root / ".git" / "hooks" / "post-merge"
    cut = mine.read_text().replace("# <<< graft watch <<<\n", "echo theirs\n")
    mine.write_text(cut)
    assert hooks.stale(ws) == [mine]
    other = mine.with_name("post-commit").read_text()
    for change in (hooks.install, hooks.remove):
        with pytest.raises(BadUsage, match="take graft's lines out by hand"):
            change(ws)
        assert (mine.read_text(), mine.with_name("post-commit").read_text()) == (cut, other)


@pytest.fixture
def hangups():
    """They end what is started, also where these tests run under `nohup`, which hands on that it ignores them."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        *((script, None) for script in ("kill -9 $$", "kill -TERM $$", "kill -HUP $$", "exit 130", "exit 143")),
        *((script, True) for script in ("kill -SEGV $$", "kill -ABRT $$")),
        ("exit 4", False),
        *((f"exit {code}", True) for code in (0, 1, 3, 5)),
    ],
)
@pytest.mark.usefixtures("hangups")
def test_a_run_that_is_ended_from_outside_is_not_done(ws, monkeypatch, tmp_path, capsys, script, answer):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    act = retraining._act(ws, here=True)
    assert retraining._again(act)(Trigger("one more")) is answer
    assert ("and is started again later" in capsys.readouterr().err) == (answer is None)


@pytest.mark.parametrize("script", ["kill -9 $$", "exit 143", "kill -SEGV $$"])
def test_a_look_that_ends_promises_no_other_run(ws, monkeypatch, tmp_path, capsys, script):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(watching, "look_once", lambda *_: watching.Due("key", Trigger("one more")))
    assert cli.main(["--workspace", str(ws.root), "watch", "--once", "--here"]) == 4
    said = capsys.readouterr().err
    assert "graft: the run " in said
    assert "later" not in said


def test_hooks_go_where_git_looks_for_them(ws):
    git(ws, "config", "core.hooksPath", "own hooks")
    assert hooks.install(ws) == [ws.root / "own hooks" / name for name in hooks.HOOKS]
    assert cli.main(["--workspace", str(ws.root), "watch", "--install-hook", "--remove-hook"]) == 2


class Answers(http.server.BaseHTTPRequestHandler):
    """The few answers of a Prefect server that a watch asks for; `said` has the paths, `gives` what is there."""

    said: ClassVar[list[str]] = []
    gives: ClassVar[dict[str, object]] = {}

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.removeprefix("/api")
        self.said.append(path)
        found = path in self.gives
        body = json.dumps(self.gives.get(path)).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def prefect(monkeypatch):
    """A server that answers as `Answers` says."""
    Answers.said, Answers.gives = [], {"/health": True}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
        yield Answers
        server.shutdown()
        thread.join()


def test_a_server_is_told_where_it_has_the_deployment_and_nothing_to_do(made, prefect, monkeypatch, capsys):
    here = []
    monkeypatch.setattr(retraining, "_run_here", lambda _, trigger: here.append(trigger) or True)
    act, trigger = retraining._act(made, here=False), Trigger("3 files added")
    assert act(trigger) is True
    assert here == [trigger]
    assert f"has no deployment retrain/{slug(made)}; the run is here" in capsys.readouterr().err
    prefect.gives |= {f"/deployments/name/retrain/{slug(made)}": {"id": "1"}, "/flow_runs/count": 1, "/events": None}
    assert act(trigger) is False
    assert "/events" not in prefect.said
    prefect.gives["/flow_runs/count"] = 0
    assert act(trigger) is None
    assert prefect.said.count("/events") == 1
    del prefect.gives["/events"]
    assert act(trigger) is False
    assert "not now: the Prefect server at" in capsys.readouterr().err
    assert here == [trigger]


@pytest.fixture
def place():
    """A webhook with its address, and the looks that came of it."""
    looks = []
    with webhook.serving(("127.0.0.1", 0), SECRET, looks.append) as address:
        yield address.removeprefix("http://"), looks


def post(place, body: bytes, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(place, timeout=30)
    try:
        connection.request("POST", "/../../etc/passwd", body, headers)
        answer = connection.getresponse()
        assert answer.read() == b""
        return answer.status
    finally:
        connection.close()


def signed(body: bytes) -> dict[str, str]:
    return {webhook.SIGNATURE: webhook.sign(body, SECRET)}


def test_only_what_is_signed_whole_is_heard(place):
    address, looks = place
    body = b'{"ref": "refs/heads/main"}'
    assert post(address, body, signed(body)) == 202
    assert looks == ["a signed request came in"]
    wrong = [
        {},
        {webhook.SIGNATURE: "sha256="},
        {webhook.SIGNATURE: webhook.sign(body, b"another secret altogether")},
        signed(body + b" "),
        {webhook.SIGNATURE: "sha256=\xe9"},
    ]
    assert [post(address, body, headers) for headers in wrong] == [401] * len(wrong)
    assert len(looks) == 1
    # the signature is that of GitHub's own documentation of its webhooks
    expected = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert webhook.sign(b"Hello, World!", b"It's a Secret to Everybody") == expected


def test_what_is_too_large_too_vague_or_no_post_is_refused(place):
    address, looks = place
    assert post(address, b"", {"Content-Length": "10000000000"}) == 413
    assert post(address, b"", {"Content-Length": str(webhook.MOST_BYTES + 1)}) == 413
    assert post(address, b"", {"Content-Length": "-1"}) == 411
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("GET", "/")
    assert connection.getresponse().status == 501
    connection.close()
    assert looks == []


def test_a_flood_is_told_to_stop_and_afterwards_the_door_is_open(monkeypatch):
    now = [0.0]
    allowance = webhook.Allowance(3, 1.0, lambda: now[0])
    assert [allowance.take() for _ in range(5)] == [True, True, True, False, False]
    now[0] = 2.5
    assert [allowance.take() for _ in range(3)] == [True, True, False]
    monkeypatch.setattr(webhook, "_BURST", 2)
    with webhook.serving(("127.0.0.1", 0), SECRET, lambda _: None) as address:
        found = [post(address.removeprefix("http://"), b"x", signed(b"x")) for _ in range(4)]
    assert found[:2] == [202, 202]
    assert 429 in found


def test_who_connects_and_says_nothing_keeps_nobody_out(place):
    address, looks = place
    host, port = address.split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(webhook._MOST_AT_ONCE - 1)]
    half = socket.create_connection((host, int(port)))
    half.sendall(b"POST / HTTP/1.1\r\nContent-Len")
    half.close()
    wait_for(lambda: _tried(address) == 202)
    for one in silent:
        one.close()
    assert looks


def _tried(address) -> int:
    try:
        return post(address, b"x", signed(b"x"))
    except OSError:
        return 0


def test_a_place_that_is_taken_and_a_secret_that_is_none_are_said(place, monkeypatch):
    host, port = place[0].split(":")
    with pytest.raises(BadEnvironment, match="cannot listen"), webhook.serving((host, int(port)), SECRET, print):
        pass
    monkeypatch.setenv("GRAFT_TEST_SECRET", "short")
    for variable in (None, "GRAFT_TEST_SECRET", "GRAFT_TEST_NOTHING"):
        with pytest.raises(BadUsage):
            webhook.secret_of(variable)
    os.environ["GRAFT_TEST_SECRET"] = SECRET.decode()
    assert webhook.secret_of("GRAFT_TEST_SECRET") == SECRET
