"""`python -m benchmarks.backbones [--seeds N] [--backbones NAME ...]`: backbones on a panel of real images.

For each backbone test accuracy from raw pixels, random frozen features, its own frozen features, fine-tuned, from
scratch at a tuned learning rate and under `auto`, and the paired differences that answer whether it is of use. A run
that was interrupted goes on. `--weights FILE --network NAME` judges a file of one's own by its frozen features.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

from benchmarks.arms import ARMS, EACH, PANEL, Cell, Job, run
from benchmarks.figures import card, differences, means
from benchmarks.plot import drawing
from tasks.backbone.catalog import Entry, embedded_entries, find_entry, local_entry, weights_folder
from tasks.contracts.environment import prepare_environment
from tasks.contracts.files import replacing
from tasks.contracts.progress import progress

_LEARNING = ("fine_tuned", "scratch")
_LEDGER = Path(".graft/benchmarks/backbones.jsonl")


def main() -> int:
    asked = _asked()
    prepare_environment()
    if asked.weights:
        entries = [local_entry(asked.network, str(asked.weights.absolute()), Path("/"))]
    else:
        entries = [find_entry(name, weights_folder()) for name in asked.backbones]
    cells = measure(entries, asked.arms, asked.sets, (asked.seeds, _LEDGER))
    for entry in entries:
        table = cells[cells["backbone"] == entry.name]
        print(f"\n{entry.name}: test accuracy in %, and its 95 % t interval over {asked.seeds} seeds\n")
        print(means(table))
        print("\nPercentage points, paired by seed\n")
        print(differences(table))
        if asked.cards and entry.source == "embedded":
            _write_card(entry, table, asked.seeds)
    if asked.write:
        (asked.write / "backbones.svg").write_text(drawing(cells), encoding="utf-8")
    return 0


def measure(entries: Sequence[Entry], arms: Sequence[str], sets: Sequence[str], rest: tuple[int, Path]) -> pd.DataFrame:
    """Every test accuracy in a row, with its backbone, problem, each, seed and arm; `rest`: seeds and the ledger."""
    jobs = [
        Job(arm, name, sizes, entry, *rest)
        for name in sets
        for arm in arms
        for entry in (entries[:1] if arm == "raw" else entries)
        for sizes in ([(each,) for each in EACH] if arm in _LEARNING else [EACH])
    ]
    jobs.sort(key=lambda job: -job.cost)
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn")) as pool:
        running = [pool.submit(run, job) for job in jobs]
        cells = [cell for job in progress(as_completed(running), len(jobs), "panel", "jobs") for cell in job.result()]
    cells.sort(key=lambda cell: (list(PANEL).index(cell.problem), cell.each, cell.seed))
    return pd.DataFrame([row for cell in cells for row in _rows(cell, entries)])


def _write_card(entry: Entry, table: pd.DataFrame, seeds: int) -> None:
    """The figures into the card beside the weights."""
    path = entry.file.with_suffix(".json")
    known = json.loads(path.read_text(encoding="utf-8"))
    panel = {"command": f"python -m benchmarks.backbones --seeds {seeds}", **card(table)}
    with replacing(path) as part:
        part.write_text(json.dumps({**known, "panel": panel}, indent=2) + "\n", encoding="utf-8")


def _rows(cell: Cell, entries: Sequence[Entry]) -> list[dict[str, object]]:
    """Raw pixels are the same beside every backbone."""
    names = [entry.name for entry in entries] if cell.arm == "raw" else [cell.backbone]
    shared = {"problem": cell.problem, "each": cell.each, "seed": cell.seed, "arm": cell.arm}
    return [{"backbone": name, **shared, "test": cell.score.test, "val": cell.score.val} for name in names]


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backbones", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--backbones", nargs="+", metavar="NAME", default=[one.name for one in embedded_entries()])
    parser.add_argument("--arms", nargs="+", choices=ARMS)
    parser.add_argument("--sets", nargs="+", choices=PANEL, default=list(PANEL))
    parser.add_argument("--weights", type=Path, metavar="FILE", help="a safetensors file, by its frozen features")
    parser.add_argument("--network", help="that these are weights of, such as resnet18-w32")
    parser.add_argument("--write", type=Path, metavar="DIR", help="a folder for the drawing, backbones.svg")
    parser.add_argument("--cards", action="store_true", help="write the figures into the cards of embedded backbones")
    asked = parser.parse_args()
    if bool(asked.weights) != bool(asked.network):
        parser.error("--weights and --network go together")
    asked.arms = asked.arms or [arm for arm in ARMS if not (asked.weights and arm in _LEARNING)]
    if asked.cards and (asked.weights or set(asked.arms) != set(ARMS) or set(asked.sets) != set(PANEL)):
        parser.error("a card has the figures of a whole panel: no --weights, --arms or --sets beside --cards")
    if asked.weights and set(asked.arms) & set(_LEARNING):
        parser.error("a file of one's own is judged frozen; give it a card in tasks/backbone/embedded to have it tuned")
    return asked


if __name__ == "__main__":
    sys.exit(main())
