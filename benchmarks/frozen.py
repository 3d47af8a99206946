"""A head on cached features beside the loop that sends every image through the frozen backbone in every epoch."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.networks import LARGE_PX, Trial, large_trial, pictures, recipe
from benchmarks.pictures import picture, samples_of
from benchmarks.timing import SECONDS, Ratio, compare, take_turns
from tasks.backbone.features import Rows, cached_features
from tasks.contracts.prepared import Pixels
from tasks.train.data import ImageBatches, RowBatches, Samples
from tasks.train.loop import fit
from tasks.train.strategies import FeatureExtraction

IMAGES, TRAIN, EPOCHS, ROUNDS, CHANGED = 300, 240, 20, 2, 0.05


def ratios() -> list[Ratio]:
    cached, plain, pixels = (
        large_trial(FeatureExtraction()),
        large_trial(FeatureExtraction()),
        pictures(IMAGES, LARGE_PX),
    )
    altered = [_with_changes(pixels, number) for number in range(ROUNDS + 1)]
    with TemporaryDirectory() as folder:
        caches = Path(folder)
        _head(cached, pixels, caches / "filled")
        costs = take_turns(
            {
                "cold": lambda number: _head(cached, pixels, caches / f"cold{number}"),
                "naive": lambda _number: _naive(plain, pixels),
                "changed": lambda number: _head(cached, altered[number], caches / "filled"),
            },
            ROUNDS,
        )
    task = (
        f"of the cost of a frozen forward pass in each of {EPOCHS} epochs, {IMAGES} images of {LARGE_PX} px, ResNet-18"
    )
    return [
        compare("frozen head", SECONDS, costs["cold"], costs["naive"], f"share {task}; lower is better"),
        compare(
            f"frozen head, {CHANGED:.0%} changed",
            SECONDS,
            costs["changed"],
            costs["naive"],
            "the same where the cache knows the other images; lower is better",
        ),
    ]


def _head(of: Trial, pixels: Pixels, cache: Path) -> None:
    def features(samples: Samples) -> RowBatches:
        rows = cached_features(of.net.backbone, of.ref, Rows(pixels, samples.rows), samples.sha256, cache)
        return RowBatches(samples, (rows,))

    of.whole(EPOCHS)
    train, val = (features(samples) for samples in _splits(pixels))
    fit(of.head(), train, val, recipe(EPOCHS))


def _naive(of: Trial, pixels: Pixels) -> None:
    train, val = (ImageBatches(samples, pixels, of.ref) for samples in _splits(pixels))
    fit(of.whole(EPOCHS), train, val, recipe(EPOCHS))


def _splits(pixels: Pixels) -> tuple[Samples, Samples]:
    return samples_of(pixels, 0, TRAIN), samples_of(pixels, TRAIN, len(pixels))


def _with_changes(pixels: Pixels, number: int) -> Pixels:
    """Other pictures at a few places, new ones for each round, so that no cache has seen them."""
    altered = pixels.copy()
    for place in np.linspace(0, len(pixels) - 1, round(len(pixels) * CHANGED)).astype(int):
        altered[place] = picture(int(place), 1 + number, (LARGE_PX, LARGE_PX))
    return altered
