"""Which class a changed picture passes for, by a Gaussian model of the classes that has not seen the picture.

Linear discriminant analysis with a shrunk covariance (Ledoit and Wolf, 2004); distances are squared Mahalanobis ones,
as in Lee et al., 2018. Out of fold throughout: no picture is judged by a model that was made with it or its kin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from tasks.backbone.scores import assign_folds

FOLDS = 5
TYPICAL = 0.95  # so many of the real pictures of a class lie nearer to it than its limit
CLEAR = 0.1  # so many of them are less clearly of their class than its other limit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class _Model:
    """One fold's: `into` (p, p), `middle` and `spread` (p,) make the covariance within classes 1; `means` (k, p)."""

    middle: Floats
    spread: Floats
    into: Floats
    means: Floats

    def place(self, values: Floats) -> Floats:
        """Values (m, p) in the space where distances are measured."""
        placed: Floats = ((values - self.middle) / self.spread) @ self.into
        return placed


@dataclass(frozen=True)
class Reference:
    """The real pictures: `fold_of` and `targets` (n,), `distances` (n, k) out of fold, and what is usual of a class.

    `farthest` (k,): how far from its class a real picture may lie. `least_lead` (k, k): [c, d], by how much a real
    picture of d is nearer to d than to c.
    """

    models: tuple[_Model, ...]
    fold_of: Ints
    targets: Ints
    distances: Floats
    farthest: Floats
    least_lead: Floats

    @cached_property
    def recognised(self) -> Bools:
        """Whether each picture is nearest to its own class, (n,)."""
        right: Bools = self.distances.argmin(axis=1) == self.targets
        return right

    @cached_property
    def confused(self) -> Bools:
        """Whether each real picture passes for another class as it is, (n, k)."""
        return _passes(self, np.arange(len(self.targets)), self.distances)


def learn(values: Floats, targets: Ints, groups: Sequence[str], seed: int) -> Reference:
    """The reference for `values` (n, p) of classes `targets` (n,), 0 to k - 1, none empty.

    `groups` (n,) name the pictures that belong together: they are never on both sides of a fold.
    """
    kinds = int(targets.max()) + 1
    fold_of = assign_folds(targets, groups, FOLDS, seed)
    models = tuple(
        _fitted(values[fold_of != fold], targets[fold_of != fold], kinds) for fold in range(fold_of.max() + 1)
    )
    distances = np.empty((len(targets), kinds))
    for fold, model in enumerate(models):
        held_out = fold_of == fold
        distances[held_out] = _squared(model.place(values[held_out]), model.means)
    farthest, least_lead = np.empty(kinds), np.empty((kinds, kinds))
    for kind in range(kinds):
        own = distances[targets == kind]
        with np.errstate(invalid="ignore"):  # a class that a fold's model has never seen is infinitely far
            farthest[kind] = np.quantile(own[:, kind], TYPICAL)
            least_lead[:, kind] = np.quantile(own - own[:, [kind]], CLEAR, axis=0)
    return Reference(models, fold_of, targets, distances, farthest, least_lead)


@dataclass(frozen=True)
class Judged:
    """Of m changed pictures: `turned` (m, k), whether each passes for each other class; `kept` (m,), still its own."""

    turned: Bools
    kept: Bools


def judge(reference: Reference, rows: Ints, views: Floats) -> Judged:
    """What the pictures at `rows` (m,) have become; `views` (m, p) are the values of the changed ones.

    One passes for d where it is nearest to d, as clearly and as near as real pictures of d are; and where also a model
    that was shown such changed pictures of its class, and may know them by what the change leaves behind (grain, blur,
    a hole), still finds it nearer to the real ones of d.
    """
    targets, fold_of = reference.targets[rows], reference.fold_of[rows]
    distances = np.empty((len(rows), len(reference.farthest)))
    to_changed = np.full(len(rows), -np.inf)  # without other changed pictures of its class nothing can be said
    for fold, model in enumerate(reference.models):
        placed, held_out = model.place(views), fold_of == fold
        distances[held_out] = _squared(placed[held_out], model.means)
        for kind in np.unique(targets[held_out]):
            others, own = placed[~held_out & (targets == kind)], held_out & (targets == kind)
            if len(others):
                to_changed[own] = _squared(placed[own], others.mean(axis=0)[None])[:, 0]
    turned = _passes(reference, rows, distances) & (distances < to_changed[:, None])
    return Judged(turned, distances.argmin(axis=1) == targets)


def _passes(reference: Reference, rows: Ints, distances: Floats) -> Bools:
    targets = reference.targets[rows]
    nearest = distances.argmin(axis=1)[:, None] == np.arange(distances.shape[1])
    with np.errstate(invalid="ignore"):
        lead = distances[np.arange(len(rows)), targets][:, None] - distances
        clear = lead >= reference.least_lead[targets]
    passes: Bools = nearest & clear & (distances <= reference.farthest)
    passes[np.arange(len(rows)), targets] = False
    return passes


def _fitted(values: Floats, targets: Ints, kinds: int) -> _Model:
    middle, spread = values.mean(axis=0), values.std(axis=0)
    spread[spread == 0] = 1
    scaled = (values - middle) / spread
    means = np.full((kinds, values.shape[1]), np.inf)
    for kind in np.unique(targets):
        means[kind] = scaled[targets == kind].mean(axis=0)
    covariance, _ = ledoit_wolf(scaled - means[targets], assume_centered=True)
    into = np.linalg.inv(np.linalg.cholesky(covariance)).T
    seen = np.isfinite(means[:, 0])
    placed = np.full_like(means, np.inf)
    placed[seen] = means[seen] @ into
    return _Model(middle, spread, into, placed)


def _squared(placed: Floats, means: Floats) -> Floats:
    """Squared distances (m, k)."""
    with np.errstate(invalid="ignore"):
        return np.stack([((placed - mean) ** 2).sum(axis=1) for mean in means], axis=1)
