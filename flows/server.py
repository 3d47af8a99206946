"""A Prefect server and a worker of the workspace's own, in the background: started, found, healed and stopped.

Both listen on this machine only. What is running is in `.graft/server/state.json`; the logs lie beside it.
"""

import fcntl
import hashlib
import json
import os
import re
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from flows.clone import CLONE
from flows.processes import Process, end, last_line, spawn
from tasks.contracts.errors import BadEnvironment
from tasks.contracts.files import write_text
from tasks.contracts.params import OperateParams
from tasks.contracts.progress import say
from tasks.contracts.workspace import Workspace

HOST = "127.0.0.1"
SECONDS_TO_START = 240.0  # 13 s on two idle cores; migrations of a new database and other work make it longer
SECONDS_TO_ANSWER = 60.0  # of one that is running: it may be busy
SECONDS_OF_PATIENCE = 10.0  # with one request; where nothing listens the answer comes at once
SECONDS_BETWEEN_LINES = 10.0
HEARTBEAT_SECONDS = 30  # the shortest that Prefect allows
DATABASE = "PREFECT_API_DATABASE_CONNECTION_URL"  # a user's own wins: a password belongs there, not in params.yaml
RETRIED, RETRIED_CODES = "PREFECT_CLIENT_RETRY_EXTRA_CODES", "500"  # a server without its database says 500
SAID_TO_RUNS = {  # by whoever starts a worker, to it and to the runs that it starts
    RETRIED: RETRIED_CODES,
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
    "PREFECT_LOGGING_EXTRA_LOGGERS": "graft",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_WORKER_QUERY_SECONDS": "5",
    "DO_NOT_TRACK": "1",
}
UNSAID = (
    CLONE,
    "PREFECT_API_KEY",
    "PREFECT_PROFILE",
    "PREFECT_API_AUTH_STRING",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
)


@dataclass(frozen=True)
class State:
    """What `graft up` started. `url` is the API's; the UI is at the same place without `/api`."""

    port: int
    url: str
    server: Process
    worker: Process | None = None

    @property
    def ui(self) -> str:
        """The address for a browser."""
        return self.url.removesuffix("/api")


def slug(ws: Workspace) -> str:
    """The workspace's name on a server: its folder's, and some digits of its whole path, as two may be called alike."""
    name = re.sub(r"[^a-z0-9]+", "-", ws.root.name.lower()).strip("-") or "workspace"
    return f"{name[:40]}-{hashlib.sha256(os.fsencode(ws.root)).hexdigest()[:6]}"


def unattended(ws: Workspace) -> str:
    """The tag of runs that nobody waits for at a terminal."""
    return f"{slug(ws)}-unattended"


def folder(ws: Workspace) -> Path:
    """Where database, state and logs of the server lie."""
    return ws.private / "server"


def state_of(ws: Workspace) -> State | None:
    """What was started and not stopped since, running or not; None where nothing was, or its record is no record."""
    try:
        found = json.loads((folder(ws) / "state.json").read_text(encoding="utf-8"))
        worker = found["worker"]
        return State(found["port"], found["url"], Process(**found["server"]), Process(**worker) if worker else None)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def address(ws: Workspace) -> str | None:
    """The API of the workspace's own server, where its process runs; whether it answers is for the caller to ask."""
    state = state_of(ws)
    return state.url if state and state.server.alive else None


def answers(url: str, seconds: float = SECONDS_OF_PATIENCE) -> bool:
    """Whether a Prefect API is healthy there."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=seconds) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def start_server(ws: Workspace, params: OperateParams) -> State:
    """A server that answers: the one that runs, or a new one in place of what is left of it.

    Raises BadEnvironment with the last line of its log where it ends or does not answer in time.
    """
    if before := state_of(ws):
        url = before.url
        if before.server.alive and _wait(lambda: answers(url), SECONDS_TO_ANSWER):
            return before
        if before.server.alive:
            say(f"the server at {before.ui} does not answer; it is started anew")
        stop(ws)
    port = _port(params.port)
    url = f"http://{HOST}:{port}/api"
    command = ["-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    state = State(port, url, _spawn(ws, command, "server", environment(ws, params, url)))
    _write(ws, state)
    say(f"starting a Prefect server at {state.ui}")
    if not _wait(lambda: answers(url), SECONDS_TO_START, state.server, "server"):
        stop(ws)
        log = folder(ws) / "server.log"
        raise BadEnvironment(f"the Prefect server did not start; {log} ends with: {last_line(log)}")
    return state


def own_worker() -> str:
    """What the worker of `graft up` is called on its server; that of `graft worker` bears the name of its host."""
    return f"{socket.gethostname()} (graft up)"


def start_worker(ws: Workspace, params: OperateParams, state: State) -> State:
    """A worker that takes runs from the workspace's pool, which must exist."""
    command = [
        "-m",
        "prefect",
        "worker",
        "start",
        "--pool",
        slug(ws),
        "--type",
        "process",
        "--name",
        own_worker(),
    ]
    worker = _spawn(ws, [*command, "--install-policy", "never"], "worker", environment(ws, params, state.url))
    state = State(state.port, state.url, state.server, worker)
    _write(ws, state)
    return state


def wait_for_worker(ws: Workspace, state: State, is_online: Callable[[], bool]) -> None:
    """Wait until the server has heard of the worker. Raises BadEnvironment where it ends before."""
    if not state.worker or not _wait(is_online, SECONDS_TO_START, state.worker, "worker"):
        log = folder(ws) / "worker.log"
        raise BadEnvironment(f"the Prefect worker did not start; {log} ends with: {last_line(log)}")


def stop_worker(ws: Workspace) -> State | None:
    """End the worker and its runs where it runs; returns the state without it where it did."""
    state = state_of(ws)
    if not (state and state.worker and state.worker.alive):
        return None
    end(state.worker)
    state = State(state.port, state.url, state.server)
    _write(ws, state)
    return state


def stop(ws: Workspace) -> list[str]:
    """End the worker, its runs and the server, and forget them; returns which of them were running."""
    state = state_of(ws)
    stopped = []
    for name, process in (("worker", state.worker), ("server", state.server)) if state else ():
        if process and process.alive:
            end(process)
            stopped.append(name)
    (folder(ws) / "state.json").unlink(missing_ok=True)
    return stopped


@contextmanager
def alone(ws: Workspace) -> Iterator[None]:
    """One `graft up`, `down` or `deploy` of a workspace at a time: a second one waits."""
    folder(ws).mkdir(parents=True, exist_ok=True)
    (ws.private / ".gitignore").write_text("*\n", encoding="utf-8")
    with (folder(ws) / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def environment(ws: Workspace, params: OperateParams, url: str) -> dict[str, str]:
    """What server, worker and the runs that it starts are told; nothing of it reaches another machine.

    Pages of other sites may not talk to the API through a browser.
    """
    home = folder(ws)
    ui = url.removesuffix("/api")
    kept = {name: value for name, value in os.environ.items() if name not in UNSAID}
    database = os.environ.get(DATABASE) or params.database or f"sqlite+aiosqlite:///{home / 'prefect.db'}"
    return kept | {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": url,
        DATABASE: database,
        "PREFECT_API_DATABASE_TIMEOUT": "60",  # seconds; Prefect's 10 are too few for SQLite on a busy machine
        "PREFECT_SERVER_API_HOST": HOST,
        "PREFECT_SERVER_API_PORT": url.rpartition(":")[2].removesuffix("/api"),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"{ui},{ui.replace(HOST, 'localhost')}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # of Prefect's 100 planned runs, all that fell due while the server was down would be made up for at once;
        # with so many late ones its writes to SQLite were seen to lock each other out for good
        "PREFECT_SERVER_SERVICES_SCHEDULER_MAX_RUNS": "10",
        # kept in memory, as is usual, the turn of a run that died with the server would never be free again
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_UI_STATIC_DIRECTORY": str(home / "ui"),
        **SAID_TO_RUNS,
    }


def _spawn(ws: Workspace, command: list[str], name: str, variables: dict[str, str]) -> Process:
    return spawn([sys.executable, *command], variables, ws.root, folder(ws) / f"{name}.log")


def _write(ws: Workspace, state: State) -> None:
    write_text(folder(ws) / "state.json", json.dumps(asdict(state), indent=2) + "\n")


def _port(wanted: int) -> int:
    """The port that params name, or a free one where it is taken, which is said."""
    for port in (wanted, 0):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            try:
                listener.bind((HOST, port))
            except OSError:
                continue
            found = int(listener.getsockname()[1])
            if found != wanted:
                say(f"port {wanted} is in use; taking {found}")
            return found
    raise BadEnvironment(f"no port of {HOST} is free")


def _wait(ready: Callable[[], bool], seconds: float, process: Process | None = None, what: str = "") -> bool:
    """Whether it gets `ready` in time, and before `process` ends."""
    started = said = time.monotonic()
    while not ready():
        now = time.monotonic()
        if now - started > seconds or (process and not process.alive):
            return False
        if what and now - said > SECONDS_BETWEEN_LINES:
            said = now
            say(f"waiting for the {what}: {now - started:.0f} s")
        time.sleep(0.25)
    return True
