"""`python -m benchmarks.quality [--peers PYTHON] [--seed N]`: graft's data check beside cleanvision and imagededup.

All see the same folders, planted from a seed: one with copies, its twin without any, one with faulty pictures and one
with broken files. Each checker runs in a process of its own on one core; its imports count. The peers come from
another environment: `uv venv peers && uv pip install --python peers/bin/python cleanvision==0.3.7 imagededup`, then
`--peers peers/bin/python`.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from benchmarks import broken, checkers, copies, faults
from benchmarks.measures import score
from benchmarks.processes import Spent, watch

IMAGES, FRESH_SEED = 2000, 211
_PEERS = ("cleanvision", "imagededup")


@dataclass(frozen=True)
class Answer:
    """What a checker found in a folder, and what that took; `error` is its last line where it gave up."""

    found: dict[str, Any]
    spent: Spent
    error: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__)
    parser.add_argument("--peers", type=Path, help="the Python in which cleanvision and imagededup are installed")
    parser.add_argument("--seed", type=int, default=FRESH_SEED)
    parser.add_argument("--images", type=int, default=IMAGES)
    asked = parser.parse_args()
    pythons = {"graft": Path(sys.executable)} | (dict.fromkeys(_PEERS, asked.peers) if asked.peers else {})
    with TemporaryDirectory() as folder:
        _compare_copies(Path(folder), pythons, asked.seed, asked.images)
        _compare_faults(Path(folder) / "faults", pythons, asked.seed)
        _compare_broken(Path(folder) / "broken", pythons, asked.seed)
    return 0


def _compare_copies(folder: Path, pythons: dict[str, Path], seed: int, images: int) -> None:
    truth = copies.plant(folder / "copies", seed, images)
    twin = copies.plant(folder / "twin", seed, images, copies=False)
    rows = {}
    for name, python in pythons.items():
        answer, null = (_asked(name, python, folder / part) for part in ("copies", "twin"))
        if answer.error or null.error:
            raise RuntimeError(f"{name} gave up: {answer.error or null.error}")
        rows[name] = {
            "images per CPU s": round(images / answer.spent.cpu_seconds),
            "peak MB": round(answer.spent.peak_megabytes),
            **_recalls(truth, answer.found["pairs"]),
            "false pairs": _false_pairs(truth, answer.found["pairs"]),
            "of flat pictures": _false_pairs(truth, answer.found["pairs"], flat=True),
            "false in the twin": _false_pairs(twin, null.found["pairs"]),
        }
    print(f"Copies, {images:,} images, seed {seed}; recall of pairs by kind\n{pd.DataFrame(rows).to_string()}\n")


def _asked(name: str, python: Path, folder: Path) -> Answer:
    out = folder.parent / f"{folder.name}.{name}.json"
    command = [str(python), "-m", "benchmarks.checkers"] if name == "graft" else [str(python), checkers.__file__]
    log = out.with_suffix(".log")
    with log.open("wb") as stderr:
        environment = os.environ | {"GRAFT_QUIET": "1", "OMP_NUM_THREADS": "1"}
        command = [*command, name, str(folder), str(out)]
        spent = watch(subprocess.Popen(command, stdout=stderr, stderr=stderr, env=environment))
    if spent.status:
        return Answer({"pairs": [], "flags": {}}, spent, log.read_text().strip().splitlines()[-1][:100])
    return Answer(json.loads(out.read_text()), spent)


def _recalls(truth: copies.Planted, pairs: list[list[str]]) -> dict[str, float]:
    """By kind, of all, and of those across the splits."""
    found = {tuple(sorted(pair)) for pair in pairs}
    hit = pd.Series([pair in found for pair in zip(truth.pairs["a"], truth.pairs["b"], strict=True)])
    return {
        **hit.groupby(truth.pairs["kind"]).mean().round(3).to_dict(),
        "all": round(hit.mean(), 3),
        "across splits": round(hit[truth.pairs["across"]].mean(), 3),
    }


def _false_pairs(truth: copies.Planted, pairs: list[list[str]], *, flat: bool = False) -> int:
    """Between pictures of which none is flat, or one at least is."""
    known = set(zip(truth.pairs["a"], truth.pairs["b"], strict=True))
    what = dict(zip(truth.files["path"], truth.files["what"], strict=True))
    wrong = {tuple(sorted(pair)) for pair in pairs} - known
    return sum(flat == ("flat" in {what[a], what[b]}) for a, b in wrong)


def _compare_faults(folder: Path, pythons: dict[str, Path], seed: int) -> None:
    truth = faults.plant(folder, seed, faults.Plan())
    rows = {}
    for name, python in pythons.items():
        flags = _asked(name, python, folder).found["flags"]
        if not flags:  # imagededup looks for copies only
            continue
        for one in score(truth, [frozenset(flags.get(path, ())) for path in truth["path"]]):
            if one.planted and (name == "graft" or one.reason in checkers.WORDS.values()):
                rows[one.reason, name] = {"recall": round(one.recall, 3), "precision": round(one.precision, 3)}
    print(f"Faults, {len(truth):,} images, seed {seed}\n{pd.DataFrame(rows).T.sort_index().to_string()}\n")


def _compare_broken(folder: Path, pythons: dict[str, Path], seed: int) -> None:
    truth = broken.plant(folder, seed)
    for name, python in pythons.items():
        answer = _asked(name, python, folder)
        if answer.error or name != "graft":
            seen = answer.error or f"no error; {len(answer.found['flags']):,} of {len(truth):,} files in its table"
            print(f"Broken files, {name}: {seen}")
            continue
        print(f"Broken files, graft:\n{broken.table(truth, answer.found['flags']).to_string()}")
    print(f"Random damage inside JPEGs: {broken.unseen(seed)}")


if __name__ == "__main__":
    sys.exit(main())
