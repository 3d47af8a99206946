"""Whether features tell an attribute: a linear probe on two networks' features of the same images, compared in pairs.

Only within classes: features are centred by class, and classes whose images all have one value are left out. Else an
attribute that goes with the class would be read through it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tasks.backbone.scores import assign_folds, ridge_predict
from tasks.bias.attributes import Levels
from tasks.bias.significance import holm
from tasks.contracts.records import Finding, Statistic
from tasks.evaluate.metrics import percentiles, unseen

LEAST_OF_VALUE = 20  # images
TELLS_FROM = 0.05  # of balanced accuracy
_FOLDS, _RESAMPLES = 3, 1000
_HOW = f"ridge probe on class-centred features, {_FOLDS} folds; bootstrap over images that belong together"

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Features:
    """Features (n, d) of the same images by the backbone and by a random network of its layout."""

    backbone: Floats
    random: Floats


def probe(
    features: Features, rows: pd.DataFrame, levels: Sequence[Levels], seed: int
) -> tuple[list[Statistic], list[Finding]]:
    """Balanced accuracy of both networks for each of `levels` of `rows`, and their paired difference."""
    probed = [_probe(features, rows, one, np.random.default_rng([seed, i])) for i, one in enumerate(levels)]
    measured = [i for i, one in enumerate(probed) if one[0].p_value is not None]
    p_values = dict(zip(measured, holm([probed[i][0].p_value or 0.0 for i in measured]), strict=True))
    statistics: list[Statistic] = []
    found = []
    for i, one in enumerate(probed):
        if i not in p_values:
            statistics += one
            continue
        gain = replace(one[0], p_value=p_values[i], correction="Holm over the attributes")
        statistics += [gain, *one[1:]]
        if p_values[i] <= 0.05 and (gain.value or 0.0) >= TELLS_FROM:
            found.append(_finding(levels[i].name, one[1], gain))
    found.sort(key=lambda one: (-(one.statistic.value or 0.0), one.subject))
    return statistics, found


def _probe(features: Features, rows: pd.DataFrame, one: Levels, rng: np.random.Generator) -> list[Statistic]:
    """The difference, the backbone and the random network; where nothing can be told, why."""
    known = one.codes < one.named
    several = pd.Series(one.codes[known]).groupby(rows.loc[known, "label"].to_numpy()).nunique() > 1
    known &= rows["label"].isin(several.index[several]).to_numpy()
    sizes = np.bincount(one.codes[known], minlength=one.named)
    if (sizes >= LEAST_OF_VALUE).sum() < 2:
        why = "not measured: within classes, fewer than two of its values have images enough"
        return [Statistic(f"{one.name}: difference", None, len(rows), status="not_measurable", estimator=why)]
    known &= np.append(sizes >= LEAST_OF_VALUE, [False] * (len(one.names) - one.named))[one.codes]
    targets = np.unique(one.codes[known], return_inverse=True)[1]
    classes, groups = (pd.factorize(rows.loc[known, name].astype(str))[0] for name in ("label", "component"))
    fold_of = assign_folds(targets, groups.astype(str).tolist(), _FOLDS, int(rng.integers(2**31)))
    if fold_of.max() == 0:
        why = "not measured: all images belong together, so none can be held out"
        return [Statistic(f"{one.name}: difference", None, len(targets), status="not_measurable", estimator=why)]
    learned = _evenly(targets, fold_of, rng)
    right = [
        _called(part[known], targets, classes, (fold_of, learned)) == targets
        for part in (features.backbone, features.random)
    ]
    ours, random = _balanced(right, targets, groups, rng)
    gain = ours - random
    # two-sided, by how often a resampled difference has the other sign
    p_value = min(1.0, 2 * (1 + min((gain[1:] <= 0).sum(), (gain[1:] >= 0).sum())) / len(gain))

    def told(what: str, values: Floats, p: float | None = None) -> Statistic:
        low, high = percentiles(values[1:].astype(np.float64))
        if low == high:  # every image had the same outcome: resampling shows no spread, but another may occur
            least = 0.0 if p is None else -1.0
            low, high = max(least, low - unseen(len(targets))), min(1.0, high + unseen(len(targets)))
        return Statistic(f"{one.name}: {what}", float(values[0]), len(targets), low, high, estimator=_HOW, p_value=p)

    return [
        told("difference", gain, p_value),
        told("backbone, balanced accuracy", ours),
        told("random network, balanced accuracy", random),
    ]


def _evenly(targets: Ints, fold_of: Ints, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Images to learn from, in each fold as many of each value: else a rare value is never named."""
    order = rng.permutation(len(targets))
    place = pd.Series(order).groupby([fold_of[order], targets[order]]).cumcount().to_numpy()
    kinds = int(targets.max()) + 1
    sizes = np.bincount(fold_of * kinds + targets, minlength=(int(fold_of.max()) + 1) * kinds).reshape(-1, kinds)
    chosen = np.zeros(len(targets), bool)
    chosen[order] = place < np.where(sizes > 0, sizes, len(targets)).min(axis=1)[fold_of[order]]
    return chosen


def _called(features: Floats, targets: Ints, classes: Ints, folds: tuple[Ints, NDArray[np.bool_]]) -> Ints:
    """The value of each image by a probe on the other folds, after each class's mean there was taken off.

    `folds`: the fold of each image, and whether it may be learned from.
    """
    called = np.full(len(targets), -1, np.int64)
    fold_of, learned = folds
    with threadpool_limits(1, "blas"):  # equal on any number of cores
        for fold in np.unique(fold_of):
            held_out, train = fold_of == fold, (fold_of != fold) & learned
            means = np.stack([_mean(features[train & (classes == k)]) for k in range(classes.max() + 1)])
            centred = features - means[classes]
            called[held_out] = ridge_predict(centred[train], targets[train], centred[held_out])
    return called


def _mean(features: Floats) -> Floats:
    """The mean of each feature; 0 where a class has no image."""
    mean: Floats = features.mean(axis=0) if len(features) else np.zeros(features.shape[1], features.dtype)
    return mean


def _balanced(
    right: Sequence[NDArray[np.bool_]], targets: Ints, groups: Ints, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Balanced accuracy of both networks: first as it is, then of resampled groups of images that belong together."""
    count, kinds = int(groups.max()) + 1, int(targets.max()) + 1
    weights = np.concatenate([np.ones((1, count)), rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)])
    place = groups * kinds + targets
    every = weights @ np.bincount(place, minlength=count * kinds).reshape(count, kinds)
    hits = (weights @ np.bincount(place[one], minlength=count * kinds).reshape(count, kinds) for one in right)
    ours, random = (np.where(every > 0, hit, 0.0) / np.maximum(every, 1.0) for hit in hits)
    there = np.maximum((every > 0).sum(axis=1), 1)
    return ours.sum(axis=1) / there, random.sum(axis=1) / there


def _finding(attribute: str, ours: Statistic, gain: Statistic) -> Finding:
    message = (
        f"The backbone makes {attribute} readable beyond a random network: balanced accuracy {ours.value:.0%}, "
        f"{100 * (gain.value or 0.0):+.1f} points within classes."
    )
    remedy = "Look at the outcomes by this attribute; a head can use what it can read."
    return Finding("inherited_bias", "info", attribute, gain, message, remedy)
