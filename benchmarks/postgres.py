"""A Postgres of one's own on loopback, in a folder that goes with it; it may be killed and started again."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

HOST, NAME = "127.0.0.1", "prefect"


@dataclass(frozen=True)
class Postgres:
    """A database server in `folder`, which belongs to `user` where this process is root: it refuses to be root."""

    folder: Path
    port: int
    user: str | None

    @property
    def address(self) -> str:
        """What `operate.database` takes."""
        return f"postgresql://{NAME}@{HOST}:{self.port}/{NAME}"

    def start(self) -> None:
        """Start it, also on what a killed one left; returns when it takes connections."""
        self._control("-o", f"-p {self.port} -k {self.folder} -h {HOST}", "start")

    def stop(self) -> None:
        """End it where it runs."""
        with suppress(subprocess.CalledProcessError):
            self._control("-m", "fast", "stop")

    def kill(self) -> None:
        """SIGKILL to the server and every process of it, at once."""
        kill_family(int((self.folder / "db" / "postmaster.pid").read_text().split()[0]))

    def call(self, program: str, *arguments: str) -> None:
        """Run one of Postgres' own programs as the user who owns the folder."""
        command = [str(shutil.which(program)), *arguments]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, user=self.user)

    def _control(self, *arguments: str) -> None:
        self.call("pg_ctl", "-D", f"{self.folder}/db", "-l", f"{self.folder}/log", "-w", *arguments)


def is_installed() -> bool:
    """Whether this machine has Postgres' programs."""
    return bool(shutil.which("initdb") and shutil.which("pg_ctl"))


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A running one with an empty database; it is stopped and removed at the end."""
    user = "nobody" if os.geteuid() == 0 else None
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if user:
            shutil.chown(folder, user)
        server = Postgres(Path(folder), free_port(), user)
        server.call("initdb", "-D", f"{folder}/db", "-U", NAME, "-A", "trust")
        server.start()
        try:
            server.call("createdb", "-h", HOST, "-p", str(server.port), "-U", NAME, NAME)
            yield server
        finally:
            server.stop()


def kill_family(pid: int) -> None:
    """SIGKILL to a process and all that it started, itself first; returns when they are gone."""
    first = psutil.Process(pid)
    family = [first, *first.children(recursive=True)]
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(family, timeout=10)


def free_port() -> int:
    """A port of loopback that nobody listens at now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])
