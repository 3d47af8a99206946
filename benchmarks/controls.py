"""`python -m benchmarks.controls [--seeds N]`: a probe on random networks, settled on the images or on drawn clouds.

The control of `graft select` is a network with random weights whose batch norms were settled on drawn clouds, so that
it is the same for all data. It is to be no weaker than one that was settled on the images themselves.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.panel import PROBLEMS, SIDE_PX, Pool, drawn
from tasks.backbone.catalog import find_entry, weights_folder
from tasks.backbone.features import compute_features
from tasks.backbone.network import Backbone
from tasks.backbone.random_control import random_control
from tasks.backbone.scores import ridge_predict, settle_batch_norm
from tasks.backbone.weights import build_network, open_entry
from tasks.contracts.model_records import BackboneRef

EACH = 50  # training images of a class

Make = Callable[[BackboneRef, int, Pool], Backbone]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.controls", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="default: 5")
    seeds = parser.parse_args().seeds
    print(f"{'accuracy on test, %':<24}{'images':>9}{'clouds':>9}")
    rows = [[accuracy(name, make, seeds) for make in (on_the_images, on_clouds)] for name in PROBLEMS]
    for name, (images, clouds) in zip((*PROBLEMS, "mean"), [*rows, np.mean(rows, axis=0)], strict=True):
        print(f"{name:<24}{100 * images:>9.1f}{100 * clouds:>9.1f}")
    return 0


def accuracy(name: str, make: Make, seeds: int) -> float:
    """The mean over seeds, which draw the training images and the weights."""
    problem, found = PROBLEMS[name](), []
    ref = open_entry(find_entry("formula_resnet18", weights_folder()), SIDE_PX)[1]
    for seed in range(seeds):
        train, _ = drawn(problem, EACH, seed)
        network = make(ref, seed, train)
        inputs = [compute_features(network, ref, pool.pixels) for pool in (train, problem.test)]
        found.append((ridge_predict(inputs[0], train.targets, inputs[1]) == problem.test.targets).mean())
    return float(np.mean(found))


def on_the_images(ref: BackboneRef, seed: int, train: Pool) -> Backbone:
    network = build_network(replace(ref, source="random"), seed)
    settle_batch_norm(network, ref, train.pixels)
    return network


def on_clouds(ref: BackboneRef, seed: int, train: Pool) -> Backbone:  # noqa: ARG001
    with TemporaryDirectory() as folder:
        return random_control(ref, seed, Path(folder))[0]


if __name__ == "__main__":
    sys.exit(main())
