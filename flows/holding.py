"""One run at a time in a workspace: a lock that says who holds it, and that the kernel frees when its owner dies."""

import fcntl
import getpass
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from tasks.contracts.errors import BadEnvironment
from tasks.contracts.progress import say
from tasks.contracts.workspace import Workspace

SECONDS_BETWEEN_TRIES = 1.0
SECONDS_TO_SAY = 0.5  # from taking the lock to the name in it
NOBODY = "another run"
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))


class Held(BadEnvironment):
    """Another run works in the workspace."""


@contextmanager
def only_run(ws: Workspace, *, wait: bool = False) -> Iterator[None]:
    """Hold the workspace for one run; the operating system frees it when the process ends, however it ends.

    Raises Held, which names the holder, where another run holds it, unless this one is to `wait` for its turn. One
    waits at a time: what comes while another waits is refused too, or short intervals would pile up runs.
    """
    ws.private.mkdir(exist_ok=True)
    (ws.private / ".gitignore").write_text("*\n", encoding="utf-8")
    with (ws.private / "run.lock").open("a+", encoding="utf-8") as file:
        if not _take(file):
            if not wait:
                raise Held(f"{ws.root} is in use by {_holder(file)}; wait until it ends")
            _wait(ws, file)
        file.truncate(0)
        json.dump(_here(), file)
        file.flush()
        yield


def _wait(ws: Workspace, file: TextIO) -> None:
    """Wait until the lock in `file` is ours. Raises Held where another run waits for it already."""
    with (ws.private / "waiting.lock").open("a+", encoding="utf-8") as place:
        if not _take(place):
            raise Held(f"{ws.root} is in use by {_holder(file)}, and another run waits for its turn already")
        say(f"waiting for {_holder(file)}")
        while not _take(file):
            time.sleep(SECONDS_BETWEEN_TRIES)


def age(seconds: float) -> str:
    """A span of time in whole words: `2 hours and 5 minutes`. What a clock that was set back makes negative is none."""
    parts = []
    left = int(max(seconds, 0))
    for unit, length in _UNITS:
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count} {unit}{'' if count == 1 else 's'}")
    return " and ".join(parts[:2]) or "less than a minute"


def _take(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise BadEnvironment(
            f"{file.name} cannot be locked ({error.strerror}); graft needs a file system with flock"
        ) from None
    return True


def _here() -> dict[str, Any]:
    try:
        owner = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as containers have
        owner = f"user {os.getuid()}"
    return {"owner": owner, "pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}


def _holder(file: TextIO) -> str:
    """Who holds it, in words; one that has only just taken it is given a moment to say."""
    until = time.monotonic() + SECONDS_TO_SAY
    while (said := _said(file)) == NOBODY and time.monotonic() < until:
        time.sleep(0.02)
    return said


def _said(file: TextIO) -> str:
    file.seek(0)
    try:
        found = json.loads(file.read())
        since = age(time.time() - found["since"])
        return f"{found['owner']}, process {found['pid']} on {found['host']}, for {since}"
    except (ValueError, KeyError, TypeError):
        return NOBODY
