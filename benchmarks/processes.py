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
    """CPU seconds of all its threads, seconds on the clock, the most resident memory, and the exit status."""

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
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0
