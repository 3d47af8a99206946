"""`python -m benchmarks.memory [IMAGES ...]`: peak memory by the number of images, distinct JPEGs of 160 x 120.

Of reading and comparing them alone (`benchmarks/checkers.py`), and of the whole `graft stage quality`, which also looks
for wrong labels, with torch, and holds the contract, with Great Expectations. Each is a process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.pictures import write_jpegs
from benchmarks.processes import watch
from flows.workspaces import init
from tasks.contracts.environment import prepare_environment
from tasks.contracts.progress import QUIET

SIZES = (2_000, 50_000)
SIZE = (160, 120)


def main() -> int:
    prepare_environment()
    for images in [int(text) for text in sys.argv[1:]] or SIZES:
        with TemporaryDirectory() as folder:
            ws = init(Path(folder) / "ws", write_jpegs(Path(folder) / "photos", images, SIZE))
            graft = [str(Path(sys.executable).parent / "graft"), "--quiet", "--workspace", str(ws.root), "stage"]
            alone = [sys.executable, "-m", "benchmarks.checkers", "graft", str(ws.raw), str(ws.root / "found.json")]
            _peak([*graft, "ingest"])
            print(f"{images:>7,} images: read and compared {_peak(alone)}, whole stage {_peak([*graft, 'quality'])}")
    return 0


def _peak(command: list[str]) -> str:
    spent = watch(subprocess.Popen(command, env=os.environ | {QUIET: "1"}))
    if spent.status:
        raise RuntimeError(f"{' '.join(command)} failed")
    return f"{spent.peak_megabytes:,.0f} MB in {spent.seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
