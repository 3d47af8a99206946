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
    """Members for `features` (n, d) and `labels` (n,), 0 to k - 1; a component (n,) is never split over halves."""
    classes = int(labels.max()) + 1
    halves, members = [], []
    for repeat in range(REPEATS):
        half = assign_folds(labels, components.tolist(), 2, seed=seed * REPEATS + repeat)
        first, second = (discriminant(features[half != side], labels[half != side], classes) for side in (0, 1))
        halves.append(half)
        members.append((first, second))
    return Committee(np.stack(halves), tuple(members))


def discriminant(features: Floats, labels: Ints, classes: int) -> Discriminant:
    """Learn `classes` from `features` (n, d) and `labels` (n,); a class without images is never called.

    One covariance for all classes, shrunk as in Ledoit and Wolf, 2004, so that it serves with fewer images than
    features.
    """
    middle, spread = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    spread[spread == 0] = 1
    inputs = (features - middle) / spread
    counts, means = np.bincount(labels, minlength=classes), class_means(inputs, labels, classes)
    covariance = shrunk_covariance(inputs - means[labels])
    covariance *= len(features) / max(1, len(features) - int(np.count_nonzero(counts)))
    covariance[np.diag_indices_from(covariance)] += _RIDGE
    weights = np.linalg.solve(covariance, means.T)
    offsets = np.log(np.maximum(counts, 1) / len(features)) - (means.T * weights).sum(axis=0) / 2
    return Discriminant(middle, weights / spread[:, None], np.where(counts > 0, offsets, -np.inf))


def shrunk_covariance(centred: Floats) -> Floats:
    """The covariance (d, d) of `centred` rows (n, d), drawn to a multiple of the identity as Ledoit and Wolf, 2004.

    scikit-learn's `ledoit_wolf` gives the same; it multiplies the squared rows too, of which only the sum is needed:
    the fourth powers of the rows' lengths. That took five times as long, and was most of the check of labels.
    """
    n, d = centred.shape
    covariance = centred.T @ centred / n
    mean = float(np.trace(covariance)) / d
    size = float((covariance**2).sum())
    noise = (float(((centred**2).sum(axis=1) ** 2).mean()) - size) / n  # of the entries, summed
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
