"""`python -m benchmarks.strategies [--seeds N] [--backbone NAME]`: every strategy on the panel of real image sets.

Prints test accuracy (mean over seeds), the paired difference to plain fine-tuning with its 95 % interval over all
runs, and how soon a strategy reaches what training from scratch reaches at its best on val.
"""

import argparse
import hashlib
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch

from benchmarks.panel import PROBLEMS, SIDE_PX, Pool, Problem, drawn
from tasks.augment.policy import make_policy
from tasks.backbone.catalog import find_entry, weights_folder
from tasks.backbone.network import TransferNet
from tasks.backbone.weights import open_entry
from tasks.contracts.csv_text import csv_text
from tasks.contracts.environment import prepare_environment
from tasks.contracts.files import write_text
from tasks.contracts.model_records import Epoch
from tasks.contracts.params import AugmentParams, TrainParams
from tasks.contracts.progress import QUIET, progress
from tasks.train.data import Samples
from tasks.train.model import Head
from tasks.train.predictor import predict
from tasks.train.settings import recipe_of
from tasks.train.strategies import FeatureExtraction, FineTuning, Scratch, Strategy
from tasks.train.transfer import Task, rank, transfer

EACH = (10, 50)
PLAIN = "plain"
STRATEGIES: dict[str, Strategy] = {
    "scratch": Scratch(),
    "probe": FeatureExtraction(),
    PLAIN: FineTuning(0),
    "first stage frozen": FineTuning(1),
    "gradual": FineTuning(0, gradual=True),
    "probe first": FineTuning(0, probe_first=True),
    "probe first, gradual": FineTuning(0, probe_first=True, gradual=True),
    "interpolated": FineTuning(0, probe_first=True, interpolate=True),
    "layer decay .7": FineTuning(0, layer_decay=0.7),
    "norms frozen": FineTuning(0, norms_adapt=False),
    "probe first, layer decay .7": FineTuning(0, probe_first=True, layer_decay=0.7),
    "first stage frozen, layer decay .7": FineTuning(1, layer_decay=0.7),
}
AUTO = ("probe", "layer decay .7", "scratch")  # what `auto` chooses from with the default params


@dataclass(frozen=True)
class Trial:
    """One training: on what, how it did on val and on test, and its share of the epochs until scratch was reached."""

    problem: str
    each: int
    seed: int
    strategy: str
    val: tuple[float, float]
    test: float
    seconds: float
    history: tuple[Epoch, ...]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strategies", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--backbone", default="embedded/formula_resnet18")
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--write", type=Path, metavar="CSV", help="every single run")
    asked = parser.parse_args()
    prepare_environment()
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(cores, get_context("spawn")) as pool:
        jobs = [
            pool.submit(_tried, name, each, seed, asked)
            for seed in range(asked.seeds)
            for name in PROBLEMS
            for each in EACH
        ]
        trials = [trial for job in progress(as_completed(jobs), len(jobs), "panel", "sets") for trial in job.result()]
    table = pd.DataFrame([vars(trial) for trial in trials])
    if asked.write:
        figures = table.drop(columns="history")
        write_text(asked.write, csv_text(tuple(figures.columns), figures.itertuples(index=False)))
    print(_accuracies(table).to_string(float_format="{:.1f}".format))
    print(_differences(table).to_string(float_format="{:+.2f}".format))
    print(_speed(table).to_string(float_format="{:.2f}".format))
    return 0


def _tried(name: str, each: int, seed: int, asked: argparse.Namespace) -> list[Trial]:
    os.environ[QUIET] = "1"
    torch.set_num_threads(1)
    problem = PROBLEMS[name]()
    train, val = drawn(problem, each, seed)
    found = []
    with TemporaryDirectory() as folder:
        task = task_of(problem, (train, val), seed, (asked.backbone, Path(folder)))
        for strategy in asked.strategies:
            started = time.perf_counter()
            trained = transfer(task, STRATEGIES[strategy])
            seconds = time.perf_counter() - started
            accuracy = test_accuracy(trained.net, task, problem.test)
            history = trained.fitted.history
            found.append(Trial(name, each, seed, strategy, rank(trained.on_val), accuracy, seconds, history))
        chosen = [one for one in found if one.strategy in AUTO]
        if len(chosen) == len(AUTO):
            found.append(Trial(**{**vars(max(chosen, key=lambda one: one.val)), "strategy": "auto"}))
    return found


def task_of(problem: Problem, pools: tuple[Pool, Pool], seed: int, where: tuple[str, Path]) -> Task:
    name, folder = where
    _, ref = open_entry(find_entry(name, weights_folder()), SIDE_PX)
    pixels = np.concatenate([pool.pixels for pool in pools])
    train, val = pools
    params = TrainParams()
    return Task(
        root=folder,
        cache=folder / "cache",
        checkpoints=folder / f"checkpoints{seed}",
        backbone=ref,
        head=Head(problem.classes, dropout=params.dropout),
        train=_samples(pixels, train, 0),
        val=_samples(pixels, val, len(train)),
        pixels=pixels,
        policy=make_policy(AugmentParams(policy="light"), SIDE_PX),
        recipe=recipe_of(params, seed),
    )


def _samples(pixels: np.ndarray, pool: Pool, first: int) -> Samples:
    rows = np.arange(first, first + len(pool))
    hashes = tuple(hashlib.sha256(pixels[row].tobytes()).hexdigest() for row in rows)
    return Samples(rows, pool.targets, np.ones(len(rows), np.float32), hashes, pool.targets)


def test_accuracy(net: TransferNet, task: Task, test: Pool) -> float:
    with torch.random.fork_rng():
        called = predict(net, task.backbone, test.pixels).argmax(axis=1)
    return 100 * float((called == test.targets).mean())


def _accuracies(table: pd.DataFrame) -> pd.DataFrame:
    found = table.pivot_table(index="strategy", columns=["problem", "each"], values="test", sort=False)
    found["mean", ""] = found.mean(axis=1)
    return found


def _differences(table: pd.DataFrame) -> pd.DataFrame:
    """Percentage points against plain fine-tuning, paired by problem, size and seed; t interval over all pairs."""
    wide = table.pivot_table(index=["problem", "each", "seed"], columns="strategy", values="test", sort=False)
    against = wide.sub(wide[PLAIN], axis=0).drop(columns=PLAIN)
    half = 2.02 * against.std() / np.sqrt(len(against))
    rows = {"to plain": against.mean(), "low": against.mean() - half, "high": against.mean() + half}
    if "scratch" in wide:
        by_problem = wide.sub(wide["scratch"], axis=0).groupby(["problem", "each"]).mean()
        rows["least to scratch on any problem"] = by_problem.min()
    return pd.DataFrame(rows)


def _speed(table: pd.DataFrame) -> pd.DataFrame:
    """The share of scratch's epochs to its best accuracy on val that a strategy takes to reach the same."""
    keyed = table.set_index(["problem", "each", "seed", "strategy"])["history"]
    found = []
    for (problem, each, seed, name), history in keyed.items():
        goal = keyed.get((problem, each, seed, "scratch"))
        if goal is None or name == "scratch":
            continue
        best = max(epoch.val_accuracy for epoch in goal)
        took = next(epoch.epoch for epoch in goal if epoch.val_accuracy == best)
        ours = next((epoch.epoch for epoch in history if epoch.val_accuracy >= best), None)
        found.append({"strategy": name, "reached": ours is not None, "share": ours / took if ours else np.nan})
    by_name = pd.DataFrame(found).groupby("strategy", sort=False)
    return pd.DataFrame({"reached": by_name["reached"].mean(), "median share of its epochs": by_name["share"].median()})


if __name__ == "__main__":
    sys.exit(main())
