"""How good a classifier's probabilities are, each number with its 95 % interval.

Intervals: Wilson, 1927 for rates; the bootstrap (Efron, 1979) over images for the rest. Calibration error as in
Guo et al., 2017: equal-width bins of the top class's confidence.
"""

from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from tasks.contracts.model_records import CalibrationBin, ClassScore, Scores
from tasks.contracts.records import Statistic

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BINS = 15
_Z = NormalDist().inv_cdf(0.975)
_SMALLEST = float(np.finfo(np.float64).tiny)
_CELLS_AT_ONCE = 2_000_000


def scores(
    probabilities: Floats, targets: Ints, classes: Sequence[str], rng: np.random.Generator, resamples: int
) -> Scores:
    """All scores of `probabilities` (n, k), rows adding up to 1, against `targets` (n,), indices into `classes`.

    A class without images has n = 0 and None for what cannot be measured; it takes no part in macro-F1.
    """
    called = probabilities.argmax(axis=1).astype(np.int64)
    confidence = probabilities.max(axis=1)
    right = called == targets
    loss = -np.log(np.maximum(probabilities[np.arange(len(targets)), targets], _SMALLEST))
    bins = bin_of(confidence)
    samples = Samples(len(targets), len(classes), resamples, int(rng.integers(2**63)))
    return Scores(
        accuracy=wilson("accuracy", int(right.sum()), len(targets)),
        macro_f1=_macro_f1(targets, called, len(classes), samples),
        log_loss=_mean_loss(loss, samples),
        calibration_error=calibration_error(bins, confidence - right, samples),
        per_class=_per_class(targets, called, classes),
        confusion=_confusion(targets, called, len(classes)),
        calibration=calibration_bins(confidence, right),
    )


def wilson(name: str, hits: int, n: int) -> Statistic:
    """The rate `hits / n` with its Wilson score interval; not measurable where n is 0."""
    if n == 0:
        return not_measured(name, "Wilson")
    rate, spread = hits / n, _Z * _Z / n
    middle = (rate + spread / 2) / (1 + spread)
    half = _Z * np.sqrt(rate * (1 - rate) / n + spread / (4 * n)) / (1 + spread)
    low = 0.0 if hits == 0 else float(middle - half)
    high = 1.0 if hits == n else float(middle + half)
    return Statistic(name, rate, n, low, high, estimator="Wilson")


def unseen(n: int) -> float:
    """How frequent, at most, an outcome is that none of `n` images had: the exact 97.5 % bound."""
    return float(1 - 0.025 ** (1 / n))


def percentiles(values: Floats) -> tuple[float, float]:
    """The ends of the percentile interval of a bootstrap."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


NO_CONTROL = "not measured: no control was trained (train.control)"


def not_measured(name: str, estimator: str, n: int = 0) -> Statistic:
    """A statistic that says that there is no number."""
    return Statistic(name, None, n, status="not_measurable", estimator=estimator)


def counts_of(keys: Ints, kinds: int, weights: Floats | None = None) -> Floats:
    """For each row of `keys` (rows, n) with values below `kinds`: how often each occurs, shape (rows, kinds)."""
    rows = len(keys)
    flat = (keys + np.arange(rows)[:, None] * kinds).ravel()
    total = np.bincount(flat, None if weights is None else weights.ravel(), minlength=rows * kinds)
    return total.reshape(rows, kinds).astype(np.float64)


def bin_of(confidence: Floats) -> Ints:
    """Which of the BINS equal-width bins each confidence in [0, 1] falls in; the last one holds 1 too."""
    edges = np.arange(1, BINS) / BINS
    return np.searchsorted(edges, confidence, side="right").astype(np.int64)


def calibration_bins(confidence: Floats, right: NDArray[np.bool_]) -> tuple[CalibrationBin, ...]:
    """Mean confidence and accuracy of the predictions in each bin; None in an empty one."""
    bins = bin_of(confidence)
    return tuple(_calibration_bin(i, confidence[bins == i], right[bins == i]) for i in range(BINS))


class Samples:
    """The same bootstrap samples of n images for every score, made piecewise so that memory stays flat."""

    def __init__(self, n: int, kinds: int, resamples: int, seed: int) -> None:
        self.n, self.resamples, self._seed = n, resamples, seed
        self._piece = max(1, _CELLS_AT_ONCE // max(n, kinds, BINS))

    def __iter__(self) -> Iterator[Ints]:
        """Yield pieces of shape (some samples, n): the images drawn."""
        rng = np.random.default_rng(self._seed)
        for done in range(0, self.resamples, self._piece):
            yield rng.integers(self.n, size=(min(self._piece, self.resamples - done), self.n))

    def measure(self, score: Callable[[Ints], Floats]) -> Floats:
        """`score` of each sample, shape (resamples, ...)."""
        return np.concatenate([score(drawn) for drawn in self])

    def estimator(self, kind: str) -> str:
        """How the interval is made, in words."""
        return f"{kind} bootstrap over images, {self.resamples} resamples"


def _macro_f1(targets: Ints, called: Ints, kinds: int, samples: Samples) -> Statistic:
    """The mean F1 of the classes that have images; the interval takes the classes that each sample has."""
    if not samples.n:
        return not_measured("macro_f1", samples.estimator("percentile"))
    hits = np.where(called == targets, targets, kinds)  # misses go to a column of their own, which is dropped

    def score(drawn: Ints) -> Floats:
        actual = counts_of(targets[drawn], kinds)
        both = actual + counts_of(called[drawn], kinds)
        f1 = 2 * counts_of(hits[drawn], kinds + 1)[:, :kinds] / np.maximum(both, 1)
        present: Floats = np.where(actual > 0, f1, 0).sum(axis=1) / (actual > 0).sum(axis=1)
        return present

    value = float(score(np.arange(samples.n)[None])[0])
    low, high = percentiles(samples.measure(score))
    if low == high:
        # All right or all wrong: resampling shows no spread, but the other may be this frequent.
        low, high = max(0.0, low - unseen(samples.n)), min(1.0, high + unseen(samples.n))
    return Statistic("macro_f1", value, samples.n, low, high, estimator=samples.estimator("percentile"))


def _mean_loss(loss: Floats, samples: Samples) -> Statistic:
    """The mean negative log-likelihood in nats."""
    estimator = samples.estimator("percentile")
    if not samples.n:
        return not_measured("log_loss", estimator)
    low, high = percentiles(samples.measure(lambda drawn: loss[drawn].mean(axis=1)))
    return Statistic("log_loss", float(loss.mean()), samples.n, low, high, estimator=estimator)


def calibration_error(bins: Ints, gaps: Floats, samples: Samples) -> Statistic:
    """The share-weighted mean of |confidence - accuracy| of the bins.

    Noise alone raises it, and resampling raises it once more, so the percentile interval has an honest upper end
    only. The lower end takes off what the resampled bins stray from ours, which bounds the noise (the triangle
    inequality): the interval of a calibrated model reaches 0.
    """
    estimator = f"{BINS} equal-width bins; {samples.estimator('bias-aware')}"
    if not samples.n:
        return not_measured("calibration_error", estimator)

    ours = counts_of(bins[None], BINS, gaps[None])

    def score(drawn: Ints) -> Floats:
        theirs = counts_of(bins[drawn], BINS, gaps[drawn])
        both: Floats = np.abs(np.stack([theirs, theirs - ours])).sum(axis=2).T / samples.n
        return both

    value = float(np.abs(ours).sum() / samples.n)
    errors, strayed = samples.measure(score).T
    low = max(0.0, value - float(np.quantile(strayed, 0.975)))
    high = max(value, float(np.quantile(errors, 0.975)))
    return Statistic("calibration_error", value, samples.n, low, high, estimator=estimator)


def _per_class(targets: Ints, called: Ints, classes: Sequence[str]) -> tuple[ClassScore, ...]:
    if not len(targets):
        return tuple(ClassScore(label, 0, None, wilson("recall", 0, 0), None) for label in classes)
    kinds = np.arange(len(classes))
    precision, _, f1, support = precision_recall_fscore_support(targets, called, labels=kinds, zero_division=np.nan)
    hits = np.bincount(targets[called == targets], minlength=len(classes))
    return tuple(
        ClassScore(
            label=label,
            n=int(support[i]),
            precision=None if np.isnan(precision[i]) else float(precision[i]),
            recall=wilson("recall", int(hits[i]), int(support[i])),
            f1=float(f1[i]) if support[i] else None,
        )
        for i, label in enumerate(classes)
    )


def _confusion(targets: Ints, called: Ints, kinds: int) -> tuple[tuple[int, ...], ...]:
    if not len(targets):
        return ((0,) * kinds,) * kinds
    table = confusion_matrix(targets, called, labels=np.arange(kinds))
    return tuple(tuple(int(cell) for cell in row) for row in table)


def _calibration_bin(index: int, confidence: Floats, right: NDArray[np.bool_]) -> CalibrationBin:
    low, high, n = index / BINS, (index + 1) / BINS, len(confidence)
    if not n:
        return CalibrationBin(low, high, 0, None, None)
    return CalibrationBin(low, high, n, float(confidence.mean()), float(right.mean()))
