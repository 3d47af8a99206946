"""`PYTHONPATH=. python -m benchmarks.fastai [--seeds N]`: its `fine_tune` beside ours, where fastai is installed.

On the panel, from the same weights of the same network and head; fastai may train for as much CPU time as graft took.
Its rates, schedule and freezing are its own, its augmentation is `aug_transforms` without mirrors, as ours is.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import torch
from fastai.vision.all import (
    DataLoaders,
    LabelSmoothingCrossEntropyFlat,
    Learner,
    Normalize,
    TensorCategory,
    TensorImage,
    accuracy,
    aug_transforms,
    params,
)

from benchmarks.panel import PROBLEMS, Pool, drawn
from benchmarks.strategies import EACH, task_of, test_accuracy
from tasks.backbone.weights import build_backbone
from tasks.contracts.params import TrainParams
from tasks.contracts.progress import QUIET
from tasks.train.model import fresh_net
from tasks.train.settings import strategies_of
from tasks.train.transfer import Task, transfer

_TRIAL_EPOCHS = 2


class _Images:
    """A pool as fastai reads it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def __len__(self) -> int:
        return len(self._pool)

    def __getitem__(self, place: int) -> tuple[TensorImage, TensorCategory]:
        pixels = torch.from_numpy(self._pool.pixels[place]).permute(2, 0, 1).float() / 255
        return TensorImage(pixels), TensorCategory(int(self._pool.targets[place]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--backbone", default="embedded/formula_resnet18")
    asked = parser.parse_args()
    os.environ[QUIET] = "1"
    torch.set_num_threads(1)
    rows = []
    for seed in range(asked.seeds):
        for name in PROBLEMS:
            rows += [_compared(name, each, seed, asked.backbone) for each in EACH]
            sys.stderr.write(f"{rows[-1]}\n")
    table = pd.DataFrame(rows)
    difference = table["graft"] - table["fastai"]
    half = 2.02 * difference.std() / np.sqrt(len(difference))
    print(table.groupby(["problem", "each"], sort=False).mean(numeric_only=True).drop(columns="seed").round(1))
    low, high = difference.mean() - half, difference.mean() + half
    print(f"graft - fastai: {difference.mean():+.2f} points ({low:+.2f} to {high:+.2f})")
    return 0


def _compared(name: str, each: int, seed: int, backbone: str) -> dict[str, object]:
    problem = PROBLEMS[name]()
    train, val = drawn(problem, each, seed)
    with TemporaryDirectory() as folder:
        task = task_of(problem, (train, val), seed, (backbone, Path(folder)))
        started = time.process_time()
        (strategy,) = strategies_of(TrainParams(strategy="fine_tuning"))
        ours = transfer(task, strategy)
        seconds = time.process_time() - started
        net, theirs, epochs = _fastai(task, (train, val), seconds)
        return {
            "problem": name,
            "each": each,
            "seed": seed,
            "graft": test_accuracy(ours.net, task, problem.test),
            "fastai": test_accuracy(net, task, problem.test),
            "graft CPU s": seconds,
            "fastai CPU s": theirs,
            "fastai epochs": epochs,
        }


def _fastai(task: Task, pools: tuple[Pool, Pool], seconds: float) -> tuple[torch.nn.Module, float, int]:
    """Its network after `fine_tune` for about so many CPU seconds."""
    started = time.process_time()
    _fine_tuned(task, pools, _TRIAL_EPOCHS - 1)  # and one epoch frozen
    epochs = max(1, round(seconds / (time.process_time() - started) * _TRIAL_EPOCHS) - 1)
    started = time.process_time()
    net = _fine_tuned(task, pools, epochs)
    return net, time.process_time() - started, epochs


def _fine_tuned(task: Task, pools: tuple[Pool, Pool], epochs: int) -> torch.nn.Module:
    ref, recipe = task.backbone, task.recipe
    net = fresh_net(build_backbone(ref, task.root), task.head, recipe.seed)
    normalize = Normalize.from_stats(ref.mean, ref.std, cuda=False)
    batch_tfms = [*aug_transforms(do_flip=False, size=ref.input_px), normalize]
    torch.manual_seed(recipe.seed)
    loaders = DataLoaders.from_dsets(
        *(_Images(pool) for pool in pools), bs=recipe.batch_size, after_batch=batch_tfms, num_workers=0, device="cpu"
    )
    loss = LabelSmoothingCrossEntropyFlat(eps=recipe.label_smoothing)
    learner = Learner(loaders, net, loss, splitter=lambda m: [params(m.backbone), params(m.head)], metrics=accuracy)
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(epochs, task.recipe.learning_rate)
    return learner.model.eval()


if __name__ == "__main__":
    sys.exit(main())
