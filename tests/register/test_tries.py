"""Remotes that stumble: what passes by itself is tried again, what does not is said at once."""

import errno
import gc
import http.server
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.errors import BadEnvironment
from tasks.contracts.workspace import Workspace
from tasks.register import registry, tags, tries
from tasks.register.remote import push
from tasks.register.store import opened
from tasks.register.tries import TRIES, git_may_pass, may_pass, tried
from tests.register.test_history import git

# DVC never closes the session of its HTTP remote, of which aiohttp complains when it is collected
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(tries, "FIRST_PAUSE_S", 0.001)


class Answered(Exception):
    """An error of a driver that bears HTTP's status, as aiohttp's does."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class Botocore(Exception):
    def __init__(self, status: int) -> None:
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


PASSING = [
    ConnectionResetError("gone"),
    TimeoutError(),
    OSError(errno.ENETUNREACH, "no way"),
    Answered(503),
    Answered(429),
    Botocore(500),
    caused(BadEnvironment("1 of 3 objects failed"), BrokenPipeError("x")),
    caused(OSError("something"), Answered(502)),
    type("EndpointConnectionError", (type("ConnectionError", (Exception,), {}),), {})("s3"),
]
LASTING = [
    Answered(401),
    Answered(403),
    Answered(404),
    Botocore(403),
    PermissionError("no"),
    FileNotFoundError("no such bucket"),
    OSError(errno.ENOSPC, "full"),
    caused(OSError("something"), Answered(401)),
    type("ClientConnectorCertificateError", (type("ClientSSLError", (ConnectionError,), {}),), {})("not its name"),
    ValueError("bad data"),
    BadEnvironment("DVC has no default remote"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_may_pass(error):
    assert may_pass(error)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_does_not(error):
    assert not may_pass(error)


@pytest.mark.parametrize(
    ("said", "passes"),
    [
        ("ssh: connect to host git.example port 22: Connection timed out", True),
        ("fatal: unable to access 'https://git.example/': Could not resolve host: git.example", True),
        ("error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502", True),
        ("fatal: the remote end hung up unexpectedly", True),
        ("fatal: Authentication failed for 'https://git.example/'", False),
        ("git@git.example: Permission denied (publickey). fatal: Could not read from remote repository.", False),
        ("! [rejected] model@v1.0.0 -> model@v1.0.0 (already exists)", False),
        ("fatal: 'x' does not appear to be a git repository", False),
        ("remote: Repository not found. fatal: the remote end hung up unexpectedly", False),
        ("The requested URL returned error: 403", False),
    ],
)
def test_gits_words(said, passes):
    assert git_may_pass(BadEnvironment(f"git push: {said}")) is passes


@given(failures=st.lists(st.sampled_from([*PASSING, *LASTING]), max_size=6))
def test_tries_end_and_the_last_error_is_the_one_that_is_raised(failures):
    left, calls = list(failures), []

    def work() -> str:
        calls.append(1)
        if left:
            raise left.pop(0)
        return "done"

    first_lasting = next((i for i, one in enumerate(failures) if one in LASTING), len(failures))
    expected = min(first_lasting, TRIES - 1)
    if expected < len(failures):
        with pytest.raises(type(failures[expected])):
            tried("a push", work)
        assert len(calls) == expected + 1
    else:
        assert tried("a push", work) == "done"
        assert len(calls) == len(failures) + 1


def test_each_try_is_a_plain_line(capsys):
    def work() -> None:
        raise ConnectionResetError("gone\x1b[2J\nfar")

    with pytest.raises(ConnectionResetError):
        tried("pushing to the remote", work)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == TRIES - 1
    assert lines[0].startswith("pushing to the remote: gone [2J far; try 2 of 3 in ")


class Shelf(http.server.BaseHTTPRequestHandler):
    """A remote over HTTP that keeps what is posted, and answers the first uploads of `trouble` with its statuses."""

    kept: dict[str, bytes]
    trouble: list[int]
    uploads: list[str]

    def do_GET(self) -> None:
        found = self.kept.get(self.path)
        self.send_response(404 if found is None else 200)
        self.send_header("Content-Length", str(len(found or b"")))
        self.end_headers()
        self.wfile.write(found or b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length")
        data = self.rfile.read(int(length)) if length else b"".join(self.chunks())
        self.uploads.append(self.path)
        status = self.trouble.pop() if self.trouble else 200
        if status == 200:
            self.kept[self.path] = data
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, *_: object) -> None:
        pass


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that leaves in the middle of an answer is none of the test's."""


@pytest.fixture
def shelf(workspace: Workspace) -> Iterator[type[Shelf]]:
    """The workspace's default remote."""
    kind = type("MyShelf", (Shelf,), {"kept": {}, "trouble": [], "uploads": []})
    server = Quiet(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = workspace.root / ".dvc" / "config"
    text = config.read_text().replace("[core]\n", "[core]\n    remote = far\n", 1)
    config.write_text(
        f"{text}['remote \"far\"']\n    url = http://127.0.0.1:{server.server_port}/store\n    jobs = 2\n"
    )
    yield kind
    server.shutdown()
    server.server_close()
    gc.collect()  # here, where the warning about DVC's session is awaited


def first(ws: Workspace) -> registry.Version:
    return registry.find_version(ws, "model@1")


def test_a_flaky_remote_gets_everything_and_gives_it_back(workspace, shelf, capsys, tmp_path):
    shelf.trouble += [503, 500, 429]
    push(workspace, first(workspace))
    said = capsys.readouterr().err
    assert "pushing to the remote: DVC: " in said
    assert f"try 2 of {TRIES} in " in said
    assert "Traceback" not in said
    with opened(workspace) as store:
        assert store.absent(path.removeprefix("/store/files/md5/").replace("/", "") for path in shelf.kept) == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_said_at_once(workspace, shelf, capsys, status):
    shelf.trouble += [status] * 1000
    with pytest.raises(BadEnvironment, match=f"DVC: .* objects failed: .*{status}"):
        push(workspace, first(workspace))
    assert len(shelf.uploads) == len(set(shelf.uploads))  # nothing was sent twice
    said = capsys.readouterr().err
    assert "try 2" not in said
    assert "Traceback" not in said


def test_a_remote_that_stays_ill_is_given_up_after_the_last_try(workspace, shelf, capsys):
    shelf.trouble += [503] * 10_000
    with pytest.raises(BadEnvironment, match="503"):
        push(workspace, first(workspace))
    assert max(map(shelf.uploads.count, shelf.uploads)) == TRIES
    assert f"try {TRIES} of {TRIES}" in capsys.readouterr().err


def test_an_origin_that_hangs_is_a_failure_that_may_pass(tmp_path, monkeypatch):
    git(tmp_path, "init", "--quiet", "here")
    git(tmp_path / "here", "config", "protocol.ext.allow", "always")
    monkeypatch.setattr(tags, "SECONDS_FOR_A_REMOTE", 0.5)
    with pytest.raises(BadEnvironment, match=r"git ls-remote: timed out after 0\.5 s") as caught:
        tags.run_git(tmp_path / "here", "ls-remote", "ext::sleep 20")
    assert git_may_pass(caught.value)


def test_an_origin_that_is_not_there_is_not_asked_again(workspace, shelf, tmp_path, capsys):
    git(workspace.root, "remote", "add", "origin", str(tmp_path / "nowhere.git"))
    with pytest.raises(BadEnvironment, match="does not appear to be a git repository"):
        push(workspace, first(workspace))
    assert "git push: " not in capsys.readouterr().err
