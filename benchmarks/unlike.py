"""`python -m benchmarks.unlike [--seeds N] [--sets NAME ...]`: which detector tells what is unlike training images?

Each gets the limit that 5 % of the held-back images (val and promotion) may exceed. Printed are, in %, false flags on
test images and flags on strangers (benchmarks/strangers.py), means over seeds.
"""

import argparse
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax
from sklearn.covariance import LedoitWolf

from benchmarks.outputs import STRATEGIES, Cell, given, images_of
from tasks.calibrate.calibration import FALSE_FLAGS
from tasks.calibrate.conformal import quantile
from tasks.calibrate.looks import looks_of
from tasks.calibrate.unlike import familiar
from tasks.contracts.environment import prepare_environment
from tasks.contracts.progress import progress
from tasks.train.predictor import Outputs

Floats = NDArray[np.floating]
Score = Callable[[str], Floats]  # of a split or a kind of stranger: how strange each image is

_SETS = ("digits", "letters", "surfaces", "photographs", "faces")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unlike", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", nargs="+", default=list(_SETS))
    parser.add_argument("--backbone", default="embedded/formula_resnet18_small")
    parser.add_argument("--strategy", choices=STRATEGIES, default="frozen")
    asked = parser.parse_args()
    prepare_environment()
    cells = [Cell(name, asked.backbone, asked.strategy, seed) for name in asked.sets for seed in range(asked.seeds)]
    rows = [row for cell in progress(cells, len(cells), "detectors", "trainings") for row in _flags(cell)]
    table = pd.DataFrame(rows).pivot_table(
        index="detector", columns=["set", "kind"], values="flagged", sort=False, aggfunc="mean"
    )
    for name, part in table.T.groupby(level="set", sort=False):
        print(f"\n{name}\n{part.droplevel('set').T.to_string(float_format='{:.1f}'.format)}")
    means = pd.DataFrame(rows).groupby(["detector", "kind"], sort=False)["flagged"].mean().unstack("kind")
    print(f"\nmean over sets\n{means.to_string(float_format='{:.1f}'.format)}")
    return 0


def _flags(cell: Cell) -> list[dict[str, object]]:
    found, images = given(cell), images_of(cell)
    made = {name: one for name, (one, _) in found.splits.items()} | found.strangers
    looks = {name: looks_of(pixels) for name, pixels in images.items()}
    rows: list[dict[str, object]] = []
    for detector, score in _detectors(made, looks, found.splits["train"][1]).items():
        limit = quantile(np.concatenate([score("val"), score("promotion")]), 1 - FALSE_FLAGS)
        if limit is None:
            continue
        kinds = {"false flags": "test"} | {kind: kind for kind in found.strangers}
        for kind, name in kinds.items():
            flagged = 100 * float((score(name) > limit).mean())
            rows.append({"detector": detector, "set": cell.problem, "kind": kind, "flagged": flagged})
    return rows


def _detectors(made: dict[str, Outputs], looks: dict[str, Floats], targets: NDArray[np.int64]) -> dict[str, Score]:
    """The rivals, and ours at the end."""
    near = familiar(made["train"].features, looks["train"], targets)
    width = made["train"].features.shape[1]
    middle, scale = near.middle[:width], near.scale[:width]

    def standardised(name: str) -> Floats:
        return (made[name].features - middle) * scale

    def both(name: str) -> Floats:
        return (np.hstack([made[name].features, looks[name]]) - near.middle) * near.scale

    seen, of_both, unit = standardised("train"), both("train"), _unit(made["train"].features)
    by_class, overall = _mahalanobis(seen, targets), _mahalanobis(seen, np.zeros_like(targets))
    of_both_by_class = _mahalanobis(of_both, targets)
    return {
        "1 - highest probability": lambda name: 1 - softmax(made[name].logits, axis=1).max(axis=1),
        "energy": lambda name: -logsumexp(made[name].logits, axis=1),
        "relative Mahalanobis": lambda name: by_class(standardised(name)) - overall(standardised(name)),
        "Mahalanobis by class": lambda name: by_class(standardised(name)),
        "kNN, unit length": lambda name: _nearest(unit, _unit(made[name].features)),
        "kNN, standardised": lambda name: _nearest(seen, standardised(name)),
        "looks alone, kNN": lambda name: _nearest(of_both[:, width:], both(name)[:, width:]),
        "both, Mahalanobis by class": lambda name: of_both_by_class(both(name)),
        "both, kNN in all numbers": lambda name: _nearest(of_both, both(name)),
        "both, Mahalanobis in components (ours)": lambda name: near.distances(made[name].features, looks[name]),
    }


def _mahalanobis(seen: Floats, groups: NDArray[np.int64]) -> Callable[[Floats], Floats]:
    """Squared, to the nearest of the groups' means, with one covariance (Lee et al., 2018), shrunk."""
    means = np.stack([seen[groups == group].mean(axis=0) for group in range(groups.max() + 1)])
    values, axes = np.linalg.eigh(LedoitWolf().fit(seen - means[groups]).covariance_)
    whiten = axes / np.sqrt(values)
    return lambda rows: np.min([(((rows - mean) @ whiten) ** 2).sum(axis=1) for mean in means], axis=0)


def _nearest(seen: Floats, rows: Floats) -> Floats:
    squared = (rows**2).sum(1)[:, None] + (seen**2).sum(1) - 2 * rows @ seen.T
    return np.sqrt(np.maximum(squared.min(axis=1), 0))


def _unit(rows: Floats) -> Floats:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


if __name__ == "__main__":
    sys.exit(main())
