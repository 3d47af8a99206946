"""What another process costs, from its start to its end."""

import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

_EVERY_SECONDS = 0.02


@dataclass(frozen=True)
class Spent:
    """CPU seconds and most resident memory, both with its children, seconds on the clock, and the exit status."""

    cpu_seconds: float
    seconds: float
    peak_megabytes: float
    status: int


def watch(running: "subprocess.Popen[bytes]") -> Spent:
    """Wait for the end. The peak is read as it goes: what the kernel says afterwards counts the parent's memory too."""
    started, peak = time.perf_counter(), 0.0
    while True:
        peak = max(peak, _peak_megabytes(running.pid))
        pid, status, usage = os.wait4(running.pid, os.WNOHANG)
        if pid:
            seconds = time.perf_counter() - started
            return Spent(usage.ru_utime + usage.ru_stime, seconds, peak, os.waitstatus_to_exitcode(status))
        time.sleep(_EVERY_SECONDS)


def _peak_megabytes(pid: int) -> float:
    """The peaks of a process and of its children that live now, added up."""
    return sum(_own_peak_megabytes(one) for one in (pid, *_children(pid)))


def _own_peak_megabytes(pid: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", _read(f"/proc/{pid}/status"))
    return int(found[1]) / 1024 if found else 0.0


def _children(pid: int) -> list[int]:
    stats = {int(place.name): _read(f"{place}/stat") for place in Path("/proc").glob("[0-9]*")}
    return [child for child, stat in stats.items() if stat and int(stat.rsplit(")", 1)[1].split()[1]) == pid]


def _read(path: str) -> str:
    """Nothing where the process has ended meanwhile."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""
