"""A small tuning: three classes, a network of width 8, seconds for a trial. Run as a program it is a search to kill."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np

from tasks.augment.policy import make_policy
from tasks.contracts.params import AugmentParams, FineTuningParams, Params, TrainParams
from tasks.train.settings import recipe_of
from tasks.train.transfer import Task
from tasks.tune.budget import Room, Standing
from tasks.tune.records import TuningReport
from tasks.tune.tuning import Limits, Tuning, tune
from tests.conftest import SIDE_PX
from tests.train.tiny import HEAD, REF, pictures


def tuning(folder: Path, *, seed: int = 0, **changes) -> Tuning:
    train = {"strategy": "feature_extraction", "epochs": 3, "batch_size": 16, "device": "cpu", **changes}
    params = Params(seed=seed, train=TrainParams(**train, fine_tuning=FineTuningParams(frozen_stages=2)))
    (pixels, samples), (more, val) = pictures(12, 1), pictures(8, 2)
    task = Task(
        root=folder,
        cache=folder / "cache",
        checkpoints=folder / "never",
        backbone=REF,
        head=replace(HEAD, dropout=params.train.dropout),
        train=samples,
        val=replace(val, rows=val.rows + len(pixels)),
        pixels=np.concatenate([pixels, more]),
        policy=make_policy(AugmentParams(), SIDE_PX),
        recipe=recipe_of(params.train, seed),
    )
    return Tuning(task, params, "ab" * 32, folder / "trials")


def only(strategy: str, asked: Tuning, limits: Limits, clock=time.monotonic) -> TuningReport:
    """The search where each trial but the present setting's is of one strategy, so that tests are quick."""

    def turn(_heads: Standing, _fine: Standing, _scratch: Standing, room: Room) -> str | None:
        return strategy if room.trials >= 1 and room.seconds > 0 else None

    with mock.patch("tasks.tune.tuning.next_strategy", turn):
        return tune(asked, limits, clock)


if __name__ == "__main__":
    folder, strategy, trials = sys.argv[1:]
    only(strategy, tuning(Path(folder), strategy=strategy), Limits(trials=int(trials)))
