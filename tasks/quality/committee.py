"""Linear classifiers on frozen features, each of which saw another half of the images."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import log_softmax

from tasks.backbone.scores import assign_folds

REPEATS = 8  # each judges every image once, from the other half: different enough to show chance as chance
_RIDGE = 1e-3  # of the features' own unit variance; matters only where a class is constant
_ROWS_AT_ONCE = 512
_ROUNDING = 1e-12  # of a column's power in all rows: what may be left of a constant where sums are taken off sums

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]
Names = NDArray[np.str_]


@dataclass(frozen=True)
class Discriminant:
    """Linear discriminant analysis of k classes by d features: `middle` (d,), `weights` (d, k), `offsets` (k,)."""

    middle: Floats
    weights: Floats
    offsets: Floats

    def log_probabilities(self, features: Floats) -> Floats:
        """Of each class for each row of `features` (n, d): shape (n, k), float32."""
        scores = (features - self.middle) @ self.weights + self.offsets
        return cast(Floats, log_softmax(scores, axis=1).astype(np.float32))


@dataclass(frozen=True)
class Committee:
    """`halves` (REPEATS, n): the half that each image is in; `members`: of each repeat the two that judge a half."""

    halves: Ints
    members: tuple[tuple[Discriminant, Discriminant], ...]

    def judge(self, features: Floats, rows: Ints) -> Iterator[Floats]:
        """Log-probabilities (rows, k) of each repeat, by the member that did not see the image."""
        chosen = features[rows]
        for half, pair in zip(self.halves[:, rows], self.members, strict=True):
            scores = np.empty((len(rows), len(pair[0].offsets)), np.float32)
            for side, member in enumerate(pair):
                scores[half == side] = member.log_probabilities(chosen[half == side])
            yield scores


def elect(features: Floats, labels: Ints, components: Names, seed: int) -> Committee:
    """Members for `features` (n, d) and `labels` (n,), 0 to k - 1; a component (n,) is never split over halves.

    The products of the columns, which cost the most, are those of all rows less those of the other half.
    """
    classes = int(labels.max()) + 1
    middle = features.mean(axis=0, dtype=np.float64)
    centred = features - middle
    everyone = moments(centred, labels, np.arange(len(labels)), classes)
    scale = np.diagonal(everyone.products) / len(labels)
    groups = np.unique(components, return_inverse=True)[1].tolist()
    halves, members = [], []
    for repeat in range(REPEATS):
        half = assign_folds(labels, groups, 2, seed=seed * REPEATS + repeat)
        first, second = (np.flatnonzero(half == side) for side in (0, 1))
        known = moments(centred, labels, first, classes)
        of_first = _learned(centred, labels, first, known, (middle, scale))
        of_second = _learned(centred, labels, second, everyone - known, (middle, scale))
        halves.append(half)
        members.append((of_second, of_first))  # a half is judged by the member that saw the other
    return Committee(np.stack(halves), tuple(members))


def discriminant(features: Floats, labels: Ints, classes: int) -> Discriminant:
    """Learn `classes` from `features` (n, d) and `labels` (n,); a class without images is never called.

    One covariance for all classes, shrunk as in Ledoit and Wolf, 2004, so that it serves with fewer images than
    features.
    """
    middle = features.mean(axis=0, dtype=np.float64)
    centred = features - middle
    every = np.arange(len(labels))
    known = moments(centred, labels, every, classes)
    return _learned(centred, labels, every, known, (middle, np.diagonal(known.products) / len(labels)))


@dataclass(frozen=True)
class Moments:
    """Of rows: how many are of each class (k,), their sums (k, d), and the products of the columns (d, d)."""

    counts: Ints
    sums: Floats
    products: Floats

    def __sub__(self, other: "Moments") -> "Moments":
        return Moments(self.counts - other.counts, self.sums - other.sums, self.products - other.products)


def moments(features: Floats, labels: Ints, rows: Ints, classes: int) -> Moments:
    """The moments of some `rows` of `features` (n, d) and `labels` (n,)."""
    members = csr_array((np.ones(len(rows)), (labels[rows], rows)), shape=(classes, len(features)))
    products = np.zeros((features.shape[1],) * 2)
    for some in _pieces(rows):
        block = features[some]
        products += block.T @ block
    return Moments(np.bincount(labels[rows], minlength=classes), members @ features, products)


def _pieces(rows: Ints) -> list[Ints]:
    """Of so many rows that what is made of them stays in the processor's cache."""
    return np.array_split(rows, range(_ROWS_AT_ONCE, len(rows), _ROWS_AT_ONCE))


def _learned(features: Floats, labels: Ints, rows: Ints, known: Moments, every: tuple[Floats, Floats]) -> Discriminant:
    """From some `rows` of `features` (n, d), whose moments are `known`.

    `every`: of all rows, the means (d,) that were taken off the features, and the power (d,) that is left.
    """
    n, counts, (origin, scale) = len(rows), known.counts, every
    middle = known.sums.sum(axis=0) / n
    variance = np.diagonal(known.products) / n - middle**2
    spread = np.where(variance > _ROUNDING * scale, np.sqrt(np.maximum(variance, 0)), 1.0)
    means = known.sums / np.maximum(counts, 1)[:, None]
    within = (known.products - means.T @ known.sums) / np.outer(spread, spread)
    lengths = [(((features[some] - means[labels[some]]) / spread) ** 2).sum(axis=1) for some in _pieces(rows)]
    covariance = shrunk_covariance(within, np.concatenate(lengths))
    covariance *= n / max(1, n - int(np.count_nonzero(counts)))
    covariance[np.diag_indices_from(covariance)] += _RIDGE
    standard = np.where(counts[:, None] > 0, (means - middle) / spread, 0.0)
    weights = np.linalg.solve(covariance, standard.T)
    offsets = np.log(np.maximum(counts, 1) / n) - (standard.T * weights).sum(axis=0) / 2
    return Discriminant(origin + middle, weights / spread[:, None], np.where(counts > 0, offsets, -np.inf))


def shrunk_covariance(products: Floats, lengths: Floats) -> Floats:
    """The covariance (d, d) of centred rows (n, d), drawn to a multiple of the identity as Ledoit and Wolf, 2004.

    By the `products` of their columns (d, d) and their squared `lengths` (n,). scikit-learn's `ledoit_wolf` gives the
    same; it multiplies the squared rows too, of which only the sum is needed: the fourth powers of the lengths.
    """
    n, d = len(lengths), len(products)
    covariance = products / n
    mean = float(np.trace(covariance)) / d
    size = float((covariance**2).sum())
    noise = (float((lengths**2).mean()) - size) / n  # of the entries, summed
    apart = size - d * mean**2  # from the multiple of the identity
    share = min(max(noise, 0.0) / apart, 1.0) if apart > 0 else 0.0
    covariance *= 1 - share
    covariance[np.diag_indices_from(covariance)] += share * mean
    return cast(Floats, covariance)


def class_means(features: Floats, labels: Ints, classes: int) -> Floats:
    """The mean of `features` (n, d) of each class: (classes, d); zeros where a class has no image."""
    n = len(labels)
    members = csr_array((np.ones(n), (labels, np.arange(n))), shape=(classes, n))
    means: Floats = members @ features
    means /= np.maximum(np.bincount(labels, minlength=classes), 1)[:, None]
    return means
