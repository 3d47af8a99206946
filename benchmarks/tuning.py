"""A sweep of a head's regulariser on cached features beside the frozen forward pass that each point would need."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.networks import BACKBONE, DEFAULTS
from benchmarks.pictures import CLASSES, picture, samples_of
from benchmarks.timing import Cost, Figure, Ratio, compare, take_turns
from tasks.augment.policy import make_policy
from tasks.backbone.catalog import find_entry, weights_folder
from tasks.backbone.features import compute_features
from tasks.backbone.weights import open_entry
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.params import AugmentParams, Params, TrainParams
from tasks.contracts.prepared import Pixels
from tasks.train.model import Head
from tasks.train.settings import recipe_of
from tasks.train.transfer import Task
from tasks.tune.space import with_values
from tasks.tune.trials import Bench

SIDE_PX, IMAGES, TRAIN, ROUNDS = 224, 300, 240, 3
PUBLISHED = BackboneRef(
    "resnet18", "random", "resnet18", "", SIDE_PX, (0.5,) * 3, (0.25,) * 3, 0
)  # as costly as trained
POINTS = tuple(float(decay) for decay in np.geomspace(1e-4, 1.0, 10))
PER_MINUTE = Figure("values/min", lambda seconds: 60 * len(POINTS) / seconds)


def ratios() -> list[Ratio]:
    pixels = np.stack([picture(number, 0, (SIDE_PX, SIDE_PX)) for number in range(IMAGES)])
    refs = (open_entry(find_entry(BACKBONE, weights_folder()), SIDE_PX)[1], PUBLISHED)
    return [ratio for ref in refs for ratio in _of(ref, pixels)]


def _of(ref: BackboneRef, pixels: Pixels) -> list[Ratio]:
    params = Params(train=TrainParams(strategy="feature_extraction", patience=DEFAULTS.epochs, device="cpu"))
    with TemporaryDirectory() as folder:
        bench = Bench(_task(Path(folder), ref, pixels, params), params)
        costs = take_turns(
            {
                "sweep": lambda _number: _sweep(bench, params),
                "pass": lambda _number: compute_features(bench.backbone, ref, pixels),
            },
            ROUNDS,
        )
    epochs, points = params.train.epochs, len(POINTS)
    task = f"{points} values of weight decay, {IMAGES} images, {ref.network} at {ref.input_px} px"
    each = f"beside a frozen forward pass in each of {epochs} epochs, {task}; higher is better"
    once = "beside one such pass for each value, no training counted; higher is better"
    return [
        compare(
            f"{name}, {ref.network}", PER_MINUTE, costs["sweep"], [_times(cost, n) for cost in costs["pass"]], meaning
        )
        for name, n, meaning in (("head sweep", points * epochs, each), ("by one pass", points, once))
    ]


def _sweep(bench: Bench, params: Params) -> None:
    for decay in POINTS:
        bench.train(with_values(params, {"train.weight_decay": decay}), lambda _name, _position: None)


def _task(folder: Path, ref: BackboneRef, pixels: Pixels, params: Params) -> Task:
    return Task(
        root=folder,
        cache=folder / "cache",
        checkpoints=folder / "checkpoints",
        backbone=ref,
        head=Head(CLASSES, dropout=params.train.dropout),
        train=samples_of(pixels, 0, TRAIN),
        val=samples_of(pixels, TRAIN, len(pixels)),
        pixels=pixels,
        policy=make_policy(AugmentParams(), SIDE_PX),
        recipe=recipe_of(params.train, params.seed),
    )


def _times(cost: Cost, times: int) -> Cost:
    """Measured once and multiplied: passes do not depend on each other."""
    return Cost(cost.cpu * times, cost.wall * times)
