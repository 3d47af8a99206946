"""Starting the processes that share one training, and hearing of what went wrong in one of them.

They find each other as those of torchrun do, by RANK, WORLD_SIZE and so on in the environment, so torchrun may start
them as well, on one machine or on several.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing

from tasks.contracts import errors
from tasks.contracts.errors import GraftError
from tasks.contracts.progress import QUIET

_PARENT = "GRAFT_PARENT_PID"
_SAID = "graft-error "
_SECONDS_BETWEEN_LOOKS = 0.05
_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def run_joined(module: str, arguments: Sequence[object], processes: int) -> None:
    """Run `python -m module arguments` in so many processes on this machine; where one fails, all end.

    Raises what the first one that failed raised.
    """
    shared = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(_free_port()),
        "WORLD_SIZE": str(processes),
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // processes)),
    }
    command = [sys.executable, "-m", module, *map(str, arguments)]
    running = []
    try:
        for rank in range(processes):
            own = {_PARENT: str(os.getpid()), "RANK": str(rank), "LOCAL_RANK": str(rank)} | (
                {QUIET: "1"} if rank else {}
            )
            environment = os.environ | shared | own
            running.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))  # noqa: S603
        while any(process.poll() is None for process in running) and not any(process.poll() for process in running):
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        if failed := [process for process in running if process.poll()]:
            raise _error_of(failed[0])
    finally:
        for process in running:
            process.kill()  # where one failed the others wait for it
            process.communicate()


def answer(work: Callable[[], None]) -> None:
    """Do `work` in a process of `run_joined`; a failure that a user can act on is handed to who started it.

    It ends when its parent does.
    """
    ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
    if os.environ.get(_PARENT, str(os.getppid())) != str(os.getppid()):
        os._exit(1)  # it died before this was asked for
    try:
        _work(work)
    except GraftError as error:
        sys.stdout.write(_SAID + json.dumps([type(error).__name__, str(error)]) + "\n")
        sys.stdout.flush()
        os._exit(error.exit_code)  # the others wait for this one: it cannot take leave of them


def _work(work: Callable[[], None]) -> None:
    try:
        work()
    except OSError as error:  # a full disk, a folder that may not be written to
        raise errors.BadEnvironment(str(error)) from None


def _error_of(process: "subprocess.Popen[str]") -> GraftError:
    for line in process.stdout or ():
        if line.startswith(_SAID):
            name, message = json.loads(line.removeprefix(_SAID))
            error: GraftError = getattr(errors, name)(message)
            return error
    return GraftError(f"a training process ended with {process.returncode}; the lines above say why")


def _free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
