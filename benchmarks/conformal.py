"""`python -m benchmarks.conformal [--seeds N] [--redraws N] [--sets NAME ...]`: do sets hold what they promise?

For each image set, over seeds that draw the images anew and train on them: how often a set holds the right class, how
large it is, by three scores and by what they are calibrated on; how much better val looks than test; and the log-loss
and the calibration error before and after temperature scaling. With `--redraws` each network is judged so many times,
with its images of promotion and test divided anew: 33 images decide by chance, 20 networks or not.
"""

import argparse
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.outputs import STRATEGIES, Cell, Ints, given
from tasks.calibrate.conformal import least_images, plausible, quantile
from tasks.calibrate.temperature import Floats, fit_temperature, probabilities
from tasks.contracts.environment import prepare_environment
from tasks.contracts.progress import progress
from tasks.evaluate.metrics import bin_of

COVERAGES = (0.9, 0.95)
CALIBRATED_ON = {"val": ("val",), "promotion": ("promotion",), "both": ("val", "promotion")}
_SETS = ("digits", "surfaces", "letters", "photographs", "faces")
_PENALTY = 0.1  # of RAPS, for each class after the first


def lac(found: Floats, _uniform: Floats) -> Floats:
    """1 less the probability: Sadinle et al., 2019."""
    return 1 - found


def aps(found: Floats, uniform: Floats) -> Floats:
    """The probability of all classes down to this one, a random part of it left out: Romano et al., 2020."""
    order = np.argsort(-found, axis=1)
    down_to = np.take_along_axis(np.take_along_axis(found, order, 1).cumsum(axis=1), np.argsort(order, axis=1), 1)
    return down_to - uniform * found


def raps(found: Floats, uniform: Floats) -> Floats:
    """APS with a penalty on classes after the first: Angelopoulos et al., 2021."""
    rank = np.argsort(np.argsort(-found, axis=1), axis=1)
    return aps(found, uniform) + _PENALTY * rank


SCORES: dict[str, Callable[[Floats, Floats], Floats]] = {"LAC": lac, "APS": aps, "RAPS": raps}
OURS = "LAC, border drawn (ours)"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conformal", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--sets", nargs="+", default=list(_SETS))
    parser.add_argument("--backbone", default="embedded/formula_resnet18_small")
    parser.add_argument("--strategy", choices=STRATEGIES, default="frozen")
    parser.add_argument("--redraws", type=int, default=1)
    asked = parser.parse_args()
    prepare_environment()
    cells = [Cell(name, asked.backbone, asked.strategy, seed) for name in asked.sets for seed in range(asked.seeds)]
    found = [_of(cell, asked.redraws) for cell in progress(cells, len(cells), "sets", "trainings")]
    sets = pd.DataFrame([row for one in found for row in one[0]])
    keys = ["coverage", "score", "on", "set"]
    print(sets.groupby(keys, sort=False).mean(numeric_only=True).unstack("set").to_string(float_format="{:.3f}".format))
    spread = sets.groupby(["coverage", "score", "on"], sort=False).mean(numeric_only=True)
    print(f"\nmean over sets\n{spread.to_string(float_format='{:.3f}'.format)}")
    scaled = pd.DataFrame([one[1] for one in found])
    print(f"\n{scaled.groupby('set', sort=False).mean(numeric_only=True).to_string(float_format='{:.3f}'.format)}")
    return 0


def _of(cell: Cell, redraws: int) -> tuple[list[dict[str, object]], dict[str, object]]:
    splits = {name: (one.logits.astype(np.float64), targets) for name, (one, targets) in given(cell).splits.items()}
    temperature = fit_temperature(*splits["val"])
    rng = np.random.default_rng([cell.seed, 13])
    rows = [
        {"set": cell.problem, "coverage": coverage, "score": score, "on": on, **held}
        for drawn in (splits, *(_redrawn(splits, rng) for _ in range(redraws - 1)))
        for coverage in COVERAGES
        for score in (OURS, *SCORES)
        for on in CALIBRATED_ON
        if (held := _sets(drawn, temperature, (coverage, score, on), rng))
    ]
    accuracies = {name: _accuracy(*splits[name]) for name in ("val", "promotion", "test")}
    logits, targets = splits["test"]
    scaled: dict[str, object] = {"set": cell.problem, **accuracies, "temperature": temperature}
    for when, by in (("before", 1.0), ("after", temperature)):
        found = probabilities(logits, by)
        scaled[f"log-loss {when}"] = float(-np.log(found[np.arange(len(targets)), targets]).mean())
        scaled[f"error {when}"] = _calibration_error(found, targets)
    return rows, scaled


def _redrawn(splits: dict[str, tuple[Floats, Ints]], rng: np.random.Generator) -> dict[str, tuple[Floats, Ints]]:
    """The same with other images of those that no training saw in promotion and in test."""
    both = [np.concatenate(pair) for pair in zip(splits["promotion"], splits["test"], strict=True)]
    order, size = rng.permutation(len(both[1])), len(splits["promotion"][1])
    promotion, test = ((both[0][some], both[1][some]) for some in (order[:size], order[size:]))
    return {**splits, "promotion": promotion, "test": test}


def _sets(
    splits: dict[str, tuple[Floats, Ints]], temperature: float, what: tuple[float, str, str], rng: np.random.Generator
) -> dict[str, float]:
    """Coverage, size and share of single classes on test; nothing where there are too few images."""
    coverage, score, on = what
    if score == OURS:
        return _drawn(splits, temperature, (coverage, on), rng)

    def scored(logits: Floats) -> Floats:
        return SCORES[score](probabilities(logits, temperature), rng.random((len(logits), 1)))

    of_right = [
        scored(logits)[np.arange(len(targets)), targets] for logits, targets in map(splits.get, CALIBRATED_ON[on])
    ]
    threshold = quantile(np.concatenate(of_right), coverage)
    if threshold is None:
        return {}
    logits, targets = splits["test"]
    return _told(scored(logits) <= threshold, targets)


def _drawn(
    splits: dict[str, tuple[Floats, Ints]], temperature: float, what: tuple[float, str], rng: np.random.Generator
) -> dict[str, float]:
    """The same for ours."""
    coverage, on = what
    of_right = [
        lac(probabilities(logits, temperature), logits)[np.arange(len(targets)), targets]
        for logits, targets in map(splits.get, CALIBRATED_ON[on])
    ]
    scores, (logits, targets) = np.concatenate(of_right), splits["test"]
    if len(scores) < least_images(coverage):
        return {}
    return _told(plausible(probabilities(logits, temperature), scores, coverage, rng.random(len(logits))), targets)


def _told(held: NDArray[np.bool_], targets: Ints) -> dict[str, float]:
    sizes = held.sum(axis=1)
    right = held[np.arange(len(targets)), targets]
    return {"held": right.mean(), "classes": sizes.mean(), "single": (sizes == 1).mean()}


def _accuracy(logits: Floats, targets: Ints) -> float:
    return float((logits.argmax(axis=1) == targets).mean())


def _calibration_error(found: Floats, targets: Ints) -> float:
    confidence, right = found.max(axis=1), found.argmax(axis=1) == targets
    gaps = np.bincount(bin_of(confidence), confidence - right)
    return float(np.abs(gaps).sum() / len(targets))


if __name__ == "__main__":
    sys.exit(main())
