"""`python -m benchmarks.memory [IMAGES ...]`: the peak memory of `graft stage quality`, by the number of images.

Each stage runs in a process of its own, on distinct JPEGs of 160 x 120.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.pictures import write_jpegs
from flows.workspaces import init
from tasks.contracts.environment import prepare_environment

SIZES = (2_000, 50_000)
SIZE = (160, 120)


def main() -> int:
    prepare_environment()
    for images in [int(text) for text in sys.argv[1:]] or SIZES:
        with TemporaryDirectory() as folder:
            ws = init(Path(folder) / "ws", write_jpegs(Path(folder) / "photos", images, SIZE))
            _stage(ws.root, "ingest")
            started = time.perf_counter()
            peak = _stage(ws.root, "quality")
            print(f"{images:>7,} images: {peak:5.0f} MB, {time.perf_counter() - started:.0f} s")
    return 0


def _stage(root: Path, name: str) -> float:
    """Run one stage; its peak resident memory in MB, shared pages counted once for it has one process."""
    command = [str(Path(sys.executable).parent / "graft"), "--quiet", "--workspace", str(root), "stage", name]
    running = subprocess.Popen(command)
    _, status, usage = os.wait4(running.pid, 0)
    if status:
        raise RuntimeError(f"graft stage {name} failed")
    return usage.ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
