"""What the tests of a running server share: asking it, waiting for it, and finding what it left."""

import json
import time
import urllib.request
from pathlib import Path

from tasks.contracts.workspace import Workspace

PATIENCE_S = 300


def ask(url: str, body: object = None):
    """The answer of the API: of a GET, or of a POST where there is a body."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read() or "null")


def until(found, what: str):
    """What `found` gives as soon as it gives something."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if it := found():
            return it
        time.sleep(0.5)
    raise AssertionError(f"no {what} in {PATIENCE_S} s")


def runs(url: str, flow: str, *states: str):
    """The flow's runs that are in one of these states."""
    wanted = {"flows": {"name": {"any_": [flow]}}, "flow_runs": {"state": {"type": {"any_": states}}}}
    return ask(f"{url}/flow_runs/filter", wanted)


def processes_of(ws: Workspace) -> list[str]:
    """Every process that was told of the workspace's server."""
    mark = f"PREFECT_HOME={ws.private / 'server'}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text())
        except OSError:  # it has ended, or is somebody else's
            continue
    return found
