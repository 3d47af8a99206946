"""`python -m benchmarks.kills [--kills N] [--workers 0 1 4]`: trainings that are killed at random moments and resumed.

Each must end with the bytes of the one that nobody killed. Every step writes a checkpoint, so that many kills fall
into its writing. The processes are forked from one that has loaded the libraries and computed nothing.
"""

import argparse
import hashlib
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from benchmarks.pictures import CLASSES, picture, samples_of
from tasks.augment.policy import make_policy
from tasks.contracts.environment import prepare_environment
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.params import AugmentParams
from tasks.contracts.progress import QUIET
from tasks.contracts.workspace import Workspace
from tasks.pretrain.own import read_own
from tasks.pretrain.plan import Place, Plan, Source
from tasks.pretrain.pretrain import train
from tasks.train.loop import Recipe
from tasks.train.model import Head
from tasks.train.strategies import FeatureExtraction, FineTuning, Scratch, Strategy, fingerprint, whole
from tasks.train.transfer import Task, transfer

SIDE_PX, TRAIN, VAL, OWN = 32, 45, 15, 260
CASES: dict[str, tuple[Strategy, dict[str, object]]] = {
    "probe": (FeatureExtraction(), {"epochs": 30, "ema": 0.9, "mixup": 0.2}),
    "gradual": (FineTuning(1, gradual=True, layer_decay=0.8), {"ema": 0.9, "mixup": 0.2, "cutmix": 1.0}),
    "probe, then tuned": (FineTuning(2, probe_first=True, interpolate=True, l2_sp=0.1, norms_adapt=False), {}),
    "groups": (Scratch(), {"sampling": "group_balanced", "group_dro": 0.05, "clip_norm": 1.0, "at_once": 5}),
}
PRETRAININGS: dict[str, Source] = {"drawn": "drawn", "without labels": "unlabelled"}


@dataclass(frozen=True)
class Tally:
    """Of one case: kills, those that fell into a checkpoint's writing, trainings finished, those with other bytes."""

    kills: int
    writing: int
    finished: int
    unequal: int


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 4])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", nargs="+", choices=[*CASES, *PRETRAININGS], default=[*CASES, *PRETRAININGS])
    asked = parser.parse_args()
    prepare_environment()
    importlib.import_module("albumentations")  # once, not in every child
    os.environ[QUIET] = "1"
    rng = np.random.default_rng(asked.seed)
    cases = [(name, workers) for name in asked.cases for workers in (asked.workers if name in CASES else [1])]
    unequal = 0
    for name, workers in cases:
        tally = killed(name, workers, -(-asked.kills // len(cases)), rng)
        unequal += tally.unequal
        print(
            f"{name:<18} {workers} workers: {tally.kills} kills, {tally.writing} while a checkpoint was written; "
            f"{tally.finished} trainings ended, {tally.unequal} with other bytes",
            flush=True,
        )
    return 1 if unequal else 0


def killed(name: str, workers: int, kills: int, rng: np.random.Generator) -> Tally:
    """Kill trainings of a case until there were `kills`, and let each go on until it ends."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        started = time.monotonic()
        expected = _in_child(lambda: _trained(name, workers, place / "whole"), None)
        seconds = time.monotonic() - started
        done = writing = finished = unequal = 0
        while done < kills:
            checkpoints, result = place / f"run{finished}", None
            while result is None:
                after = rng.uniform(0, seconds) if done < kills else None
                result = _in_child(lambda at=checkpoints: _trained(name, workers, at), after)
                if result is None:
                    done += 1
                    writing += any(checkpoints.rglob("*.part"))
            finished += 1
            unequal += result != expected
    return Tally(done, writing, finished, unequal)


def _in_child(work: Callable[[], str], kill_after: float | None) -> str | None:
    """What `work` returns, from a process of its own; None where that was killed before it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, work().encode())
        os._exit(0)
    os.close(writing)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    if status and kill_after is None:
        raise RuntimeError(f"the training failed with {status}")
    return said or None


def _trained(name: str, workers: int, folder: Path) -> str:
    """The hash of all that a case ends with."""
    if name in PRETRAININGS:
        return _pretrained(PRETRAININGS[name], folder)
    strategy, changes = CASES[name]
    pixels = np.stack([picture(number, 0, (SIDE_PX, SIDE_PX)) for number in range(TRAIN + VAL)])
    values: dict[str, object] = {
        "epochs": 4, "batch_size": 15, "learning_rate": 3e-3, "patience": 9, "seed": 0, "device": torch.device("cpu"),
        "weight_decay": 0.05, "label_smoothing": 0.1,
    }  # fmt: skip
    task = Task(
        root=folder,
        cache=folder / "cache",
        checkpoints=folder / "checkpoints",
        backbone=BackboneRef("tiny", "random", "resnet18-w8", "", SIDE_PX, (0.5,) * 3, (0.25,) * 3, 0),
        head=Head(CLASSES, dropout=0.2),
        train=samples_of(pixels, 0, TRAIN),
        val=samples_of(pixels, TRAIN, TRAIN + VAL),
        pixels=pixels,
        policy=make_policy(AugmentParams(policy="light"), SIDE_PX),
        recipe=Recipe(**(values | changes)),  # type: ignore[arg-type]
        workers=workers,
        seconds_between=0,
    )
    found = transfer(task, strategy)
    frozen = [part.__class__(part.name, part.modules, None) for part in whole("all", found.net)]
    return hashlib.sha256(f"{fingerprint(frozen)} {found}".encode()).hexdigest()


def _pretrained(source: Source, folder: Path) -> str:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # else there is a process for each core
    place = Place(Workspace(folder / "ws"), "net")
    plan = Plan("resnet18-w8", source, SIDE_PX, images=1_000, seed=0, batch_size=50)
    if source != "drawn":
        plan = replace(plan, data=str(folder / "pictures"))
        (folder / "pictures").mkdir(parents=True, exist_ok=True)
        for number in range(OWN):
            Image.fromarray(picture(number, 0, (SIDE_PX, SIDE_PX))).save(folder / "pictures" / f"{number}.png")
        read_own(place.ws, folder / "pictures", place.private, SIDE_PX, labelled=False)
    return train(place, plan, seconds_between=0).sha256


if __name__ == "__main__":
    sys.exit(main())
