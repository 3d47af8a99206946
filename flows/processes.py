"""Processes that outlive the command that starts them: known by pid and start time, so that no other is ever ended."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SECONDS_TO_END = 20.0  # after SIGTERM; a server writes its last events meanwhile
SECONDS_BETWEEN_LOOKS = 0.1
LARGEST_LOG_BYTES = 10_000_000


@dataclass(frozen=True)
class Process:
    """A process of this boot: `started` is in clock ticks since `boot`, whatever the clock says."""

    pid: int
    started: int
    boot: str

    @property
    def alive(self) -> bool:
        """Whether it runs; a zombie does not, and another process that got its pid is not it."""
        return _boot() == self.boot and _started(self.pid) == self.started


def spawn(command: list[str], environment: dict[str, str], folder: Path, log: Path) -> Process:
    """Start a command in a session of its own, away from this terminal; what it says goes to the end of `log`."""
    if log.is_file() and log.stat().st_size > LARGEST_LOG_BYTES:
        log.replace(log.with_suffix(".old.log"))
    with log.open("ab") as out:
        started = subprocess.Popen(  # noqa: S603
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    ticks = _started(started.pid)
    started.returncode = 0  # it is not waited for: Popen would warn of that
    return Process(started.pid, -1 if ticks is None else ticks, _boot())


def end(process: Process, seconds: float = SECONDS_TO_END) -> None:
    """Ask a process to end and wait; what is left of it and of all that it started is killed after `seconds`."""
    family = [process, *_descendants(process)]
    _signal(process, signal.SIGTERM)
    until = time.monotonic() + seconds
    while any(one.alive for one in family) and time.monotonic() < until:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        family += [one for one in _descendants(process) if one not in family]
    for one in family:
        _signal(one, signal.SIGKILL)
    while any(one.alive for one in family):
        time.sleep(SECONDS_BETWEEN_LOOKS)


def values_of(variable: str) -> dict[int, str]:
    """Who was told what by this environment variable: its value by process id, of all processes that may be asked."""
    mark = os.fsencode(f"{variable}=")
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is somebody else's
            for one in (folder / "environ").read_bytes().split(b"\0"):
                if one.startswith(mark):
                    found[int(folder.name)] = os.fsdecode(one.removeprefix(mark))
    return found


def hidden(word: str) -> list[int]:
    """The processes with this word in their command that `values_of` may not ask: those of other users."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if os.fsencode(word) in (folder / "cmdline").read_bytes():
                try:
                    (folder / "environ").read_bytes()
                except PermissionError:
                    found.append(int(folder.name))
    return found


def last_line(log: Path) -> str:
    """The last line of a log that says something."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")


def _descendants(process: Process) -> list[Process]:
    if not process.alive:
        return []
    children: dict[int, list[Process]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (found := _parent_and_start(int(folder.name))):
            children.setdefault(found[0], []).append(Process(int(folder.name), found[1], process.boot))
    family = [process]
    for one in family:  # grows while it is walked
        family += children.get(one.pid, [])
    return family[1:]


def _signal(process: Process, which: signal.Signals) -> None:
    if process.alive:
        with suppress(ProcessLookupError):
            os.kill(process.pid, which)


def _started(pid: int) -> int | None:
    found = _parent_and_start(pid)
    return found[1] if found else None


def _parent_and_start(pid: int) -> tuple[int, int] | None:
    """The parent of a process and its start in clock ticks since boot; None where there is none, or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else (int(fields[1]), int(fields[19]))  # fields 3, 4 and 22 of proc(5)


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
