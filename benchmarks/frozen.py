"""A head on cached features beside the loop that sends every image through the frozen backbone in every epoch."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from benchmarks.networks import LARGE_PX, Trial, large_trial, pictures, recipe
from benchmarks.pictures import picture, samples_of
from benchmarks.timing import SECONDS, Ratio, compare, take_turns
from tasks.backbone.features import Rows, cached_features
from tasks.backbone.network import to_input
from tasks.contracts.prepared import Pixels
from tasks.train.data import RowBatches, Samples, split_evenly
from tasks.train.loop import fit
from tasks.train.strategies import FeatureExtraction

IMAGES, TRAIN, EPOCHS, ROUNDS, CHANGED = 1000, 800, 20, 1, 0.05


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
    """The loop as it is usually written: every epoch sends every image through, in float32."""
    train, val = _splits(pixels)
    plan, head = recipe(EPOCHS), of.net.head
    of.net.backbone.eval()
    optimizer = torch.optim.AdamW(head.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    for epoch in range(EPOCHS):
        head.train()
        for part in split_evenly(np.random.default_rng(epoch).permutation(len(train)), plan.batch_size):
            loss = functional.cross_entropy(
                head(_features(of, pixels, train, part)), torch.from_numpy(train.targets[part])
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        head.eval()
        with torch.no_grad():
            for part in split_evenly(np.arange(len(val)), plan.batch_size):
                head(_features(of, pixels, val, part))


@torch.no_grad()
def _features(of: Trial, pixels: Pixels, samples: Samples, part: NDArray[np.int64]) -> Tensor:
    images = torch.from_numpy(pixels[samples.rows[part]])
    found: Tensor = of.net.backbone(to_input(images, of.ref.input_px, of.ref.mean, of.ref.std))
    return found


def _splits(pixels: Pixels) -> tuple[Samples, Samples]:
    return samples_of(pixels, 0, TRAIN), samples_of(pixels, TRAIN, len(pixels))


def _with_changes(pixels: Pixels, number: int) -> Pixels:
    """Other pictures at a few places, new ones for each round, so that no cache has seen them."""
    altered = pixels.copy()
    for place in np.linspace(0, len(pixels) - 1, round(len(pixels) * CHANGED)).astype(int):
        altered[place] = picture(int(place), 1 + number, (LARGE_PX, LARGE_PX))
    return altered
