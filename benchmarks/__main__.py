"""`python -m benchmarks [--write] [NAME ...]`: one table of ratios, by CPU time and by the clock.

Absolute figures depend on the machine and its load; the ratios, taken side by side, much less.
"""

import argparse
import importlib
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.timing import Pair, Ratio
from tasks.contracts.environment import prepare_environment
from tasks.contracts.files import write_record
from tasks.contracts.progress import QUIET, doing

NAMES = ("scan", "frozen", "partial", "batches", "tuning", "drawing", "orchestration")
RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True)
class Results:
    """What is written: the ratios, and on what they were measured."""

    machine: str
    cores: int
    python: str
    torch: str
    ratios: tuple[Ratio, ...]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--write", action="store_true", help=f"also write {RESULTS.name}")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.names) - set(NAMES)):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(NAMES)}")
    prepare_environment()
    ratios = [ratio for name in asked.names or NAMES for ratio in _measured(name)]
    print(_table(ratios))
    if asked.write:
        write_record(RESULTS, _results(ratios))
    return 0


def _measured(name: str) -> list[Ratio]:
    with doing(f"measuring {name}"):
        os.environ[QUIET] = "1"  # the stages' own lines would cut up ours
        try:
            found: list[Ratio] = importlib.import_module(f"benchmarks.{name}").ratios()
        finally:
            del os.environ[QUIET]
    return found


def _table(ratios: list[Ratio]) -> str:
    head = ("name", "ours", "reference", "unit of CPU time", "ratio", "by the clock", "what it means")
    rows = [head, *(_cells(ratio) for ratio in ratios)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _cells(ratio: Ratio) -> tuple[str, ...]:
    cpu = ratio.cpu
    figures = (f"{cpu.ours:.3g}", f"{cpu.reference:.3g}", ratio.unit, _span(cpu), _span(ratio.wall))
    return (ratio.name, *figures, ratio.meaning)


def _span(pair: Pair) -> str:
    return f"{pair.ratio:.2f} ({pair.low:.2f} to {pair.high:.2f})"


def _results(ratios: list[Ratio]) -> Results:
    import torch  # not at the top: the environment comes first

    cores = len(os.sched_getaffinity(0))
    return Results(platform.machine(), cores, platform.python_version(), torch.__version__, tuple(ratios))


if __name__ == "__main__":
    sys.exit(main())
