"""Scores that no frequent class can carry: balanced accuracy, and how well probabilities rank images (AUROC).

Balanced accuracy is the mean recall of the classes. The AUROC of a class is the chance that an image of it gets a
higher probability of it than an image of another class, ties counted half (Hanley and McNeil, 1982); over all classes
their plain mean, one against the rest. A class without test images takes no part, and `estimator` says so.
"""

from dataclasses import dataclass

import numpy as np

from tasks.contracts.records import Statistic
from tasks.evaluate.metrics import Floats, Ints, Samples, counts_of, not_measured, percentiles, unseen

MOST_CELLS = 1_000_000_000  # images times classes times resamples; beyond, there are fewer resamples
_FEWEST = 100


@dataclass(frozen=True)
class Ranking:
    """Both scores over all classes, and the AUROC of each class in their order."""

    balanced_accuracy: Statistic
    auroc: Statistic
    per_class: tuple[Statistic, ...]


def ranking(probabilities: Floats, targets: Ints, rng: np.random.Generator, resamples: int) -> Ranking:
    """The scores of `probabilities` (n, k), rows adding up to 1, against `targets` (n,), places of classes."""
    n, kinds = probabilities.shape
    seed = int(rng.integers(2**63))
    fewer = min(resamples, max(_FEWEST, MOST_CELLS // max(1, n * kinds)))
    every = Samples(n, kinds, resamples, seed)
    return Ranking(
        _balanced_accuracy(targets, probabilities.argmax(axis=1), kinds, every),
        *_aurocs(probabilities, targets, Samples(n, kinds, fewer, seed)),
    )


def balanced_accuracy(targets: Ints, right: Ints, kinds: int, drawn: Ints) -> Floats:
    """Of each row of `drawn` (rows, m), places of images, the mean recall of the classes that it has."""
    actual = counts_of(targets[drawn], kinds)
    hits = counts_of(np.where(right, targets, kinds)[drawn], kinds + 1)[:, :kinds]
    recall: Floats = (hits / np.maximum(actual, 1)).sum(axis=1) / (actual > 0).sum(axis=1)
    return recall


def _balanced_accuracy(targets: Ints, called: Ints, kinds: int, samples: Samples) -> Statistic:
    there = int((np.bincount(targets, minlength=kinds) > 0).sum())
    estimator = f"mean recall of {_of(there, kinds)}; {samples.estimator('percentile')}"
    if not samples.n:
        return not_measured("balanced_accuracy", estimator)
    right = (called == targets).astype(np.int64)
    value = float(balanced_accuracy(targets, right, kinds, np.arange(samples.n)[None])[0])
    low, high = percentiles(samples.measure(lambda drawn: balanced_accuracy(targets, right, kinds, drawn)))
    return _spread("balanced_accuracy", value, (low, high), samples.n, estimator)


def _aurocs(probabilities: Floats, targets: Ints, samples: Samples) -> tuple[Statistic, tuple[Statistic, ...]]:
    """Over all classes, and of each."""
    kinds = probabilities.shape[1]
    sizes = np.bincount(targets, minlength=kinds)
    able = np.flatnonzero((sizes > 0) & (sizes < len(targets)))
    estimator = f"one against the rest, mean of {_of(len(able), kinds)}; {samples.estimator('percentile')}"
    if kinds == 2:
        estimator = f"of the two classes; {samples.estimator('percentile')}"
    alone = [
        not_measured("auroc", "not measured: the class has no test image, or no other has", int(size)) for size in sizes
    ]
    if not len(able):
        return not_measured("auroc", "not measured: it takes test images of two classes", samples.n), tuple(alone)
    orders = [_Order(probabilities[:, k], targets == k) for k in able]
    values = np.array([order.auroc(np.ones((1, samples.n)))[0] for order in orders])

    def score(drawn: Ints) -> Floats:
        weights = counts_of(drawn, samples.n)
        return np.stack([order.auroc(weights) for order in orders], axis=1)

    drawn = samples.measure(score)
    for k, value, column in zip(able, values, drawn.T, strict=True):
        own = f"against the rest; {samples.estimator('percentile')}"
        ends = percentiles(column[np.isfinite(column)])
        few = int(min(sizes[k], len(targets) - sizes[k]))
        alone[k] = _spread("auroc", float(value), ends, int(sizes[k]), own, few)
    measured = np.isfinite(drawn)
    means = np.where(measured, drawn, 0.0).sum(axis=1) / np.maximum(measured.sum(axis=1), 1)
    ends = percentiles(means[measured.any(axis=1)])
    return _spread("auroc", float(values.mean()), ends, samples.n, estimator), tuple(alone)


class _Order:
    """The images in the order of their probability of one class: the AUROC of any weights of them is two sums."""

    def __init__(self, scores: Floats, own: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> None:
        self._order = np.argsort(scores, kind="stable")
        ranked = scores[self._order]
        self._own = own[self._order]
        self._first = np.searchsorted(ranked, ranked, side="left")[self._own]  # where equal scores begin
        self._after = np.searchsorted(ranked, ranked, side="right")[self._own]  # and where they are over

    def auroc(self, weights: Floats) -> Floats:
        """Of each row of `weights` (rows, n), how often an image counts; NaN where a side has none."""
        ranked = weights[:, self._order]
        ours = ranked[:, self._own]
        below = np.zeros((len(ranked), ranked.shape[1] + 1))
        np.cumsum(np.where(self._own, 0.0, ranked), axis=1, out=below[:, 1:])
        pairs = ours.sum(axis=1) * below[:, -1]
        won = (ours * (below[:, self._first] + below[:, self._after])).sum(axis=1) / 2
        found: Floats = np.where(pairs > 0, won / np.maximum(pairs, 1), np.nan)
        return found


def _spread(  # noqa: PLR0913
    name: str, value: float, ends: tuple[float, float], n: int, estimator: str, few: int | None = None
) -> Statistic:
    """Where the bootstrap sees no spread, as wide as `few` images (n, if not given) allow."""
    low, high = ends
    if low == high:
        low, high = max(0.0, low - unseen(few or n)), min(1.0, high + unseen(few or n))
    return Statistic(name, value, n, low, high, estimator=estimator)


def _of(there: int, kinds: int) -> str:
    return f"{kinds} classes" if there == kinds else f"the {there} of {kinds} classes that have test images"
