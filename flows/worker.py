"""A worker for a server that is somewhere else: it takes the runs of one pool and works on this clone.

A deployment names the workspace by its path on the machine that deployed it. A worker elsewhere has its own path, and
says so to the runs that it starts.
"""

import os
import socket
import sys
from argparse import Namespace
from typing import TYPE_CHECKING, NoReturn

from flows.clone import CLONE
from flows.operating import address_of, ask
from tasks.contracts.errors import BadUsage
from tasks.contracts.progress import say
from tasks.contracts.workspace import Workspace

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient


def work(arguments: Namespace) -> NoReturn:
    """Become Prefect's worker, in the foreground: for an init system, a container or a terminal."""
    from flows.commands import ready
    from flows.server import slug

    ws = ready(arguments)
    pool = arguments.pool or slug(ws)
    url = address_of(ws)
    known = ask(ws, url, _pools)
    if pool not in known:
        there = f"it has {', '.join(known)}" if known else "it has none"
        raise BadUsage(f"{url} has no pool {pool} ({there}); `graft deploy` makes the workspace's")
    say(f"a worker of the pool {pool} at {url}, on {ws.root}; stop with Ctrl-C")
    command = ["-m", "prefect", "worker", "start", "--pool", pool, "--type", "process"]
    command += ["--name", socket.gethostname(), "--install-policy", "never"]
    command += ["--with-healthcheck"] if arguments.healthcheck else []
    os.chdir(ws.root)  # this process becomes another; its runs start where their workspace is
    os.execve(sys.executable, [sys.executable, *command], environment(ws, url))  # noqa: S606


def environment(ws: Workspace, url: str) -> dict[str, str]:
    """What the worker and the runs that it starts are told. The server's key, where there is one, is the user's."""
    from flows.server import HOST, SAID_TO_RUNS

    return os.environ | {
        **SAID_TO_RUNS,
        CLONE: str(ws.root),
        "PREFECT_API_URL": url,
        "PREFECT_HOME": str(ws.private / "prefect"),
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_WORKER_WEBSERVER_HOST": os.environ.get("PREFECT_WORKER_WEBSERVER_HOST", HOST),  # not to everybody
    }


async def _pools(client: "PrefectClient") -> list[str]:
    return sorted(pool.name for pool in await client.read_work_pools())
