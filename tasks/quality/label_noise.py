"""How likely each label is wrong, from class probabilities that never saw it.

A low probability of the given label means a wrong label or a hard image, and features alone cannot tell these two
apart. So two noise models are fitted, and the truth is expected between them: in one a clear image under another label
is a wrong label, in the other a share of the images is so hard that the classifier errs with confidence.
"""

import math
from dataclasses import dataclass, fields
from typing import cast

import numpy as np
from cleanlab.filter import find_label_issues
from numpy.typing import NDArray
from scipy.special import softmax
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tasks.quality.committee import REPEATS, Committee, Floats, Ints, Names, class_means, elect

_CELLS = 20_000_000  # images times classes at once: 80 MB
_ROWS_AT_ONCE = 500
_STEPS = 8  # of sharpness within a factor of _HARD
_HARD = 3.0  # how much less sharp the probabilities of hard images are
_SHARPNESS = _HARD ** (np.arange(-5 * _STEPS, 1.5 * _STEPS) / _STEPS)
_FITTED_ROWS, _FITTED_CELLS = 4_000, 500_000  # enough for three numbers; more would cost time alone
_ROUNDS = 100
_NOTHING = 1e-6  # EM comes near zero, but never to it
_TINY = 1e-300

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Doubts:
    """For each of n images: the class called from its features, and how likely the given label is wrong.

    `most` and `least` (n,) are that chance by the two noise models; `given` (n,) is the probability of the given label.
    `confident` (n,) is True where confident learning counts the label as an error, `stable` (n,) where all repeats but
    one at most called the same class.
    """

    called: Ints
    given: Floats
    most: Floats
    least: Floats
    confident: Bools
    stable: Bools


def doubts(features: Floats, labels: Ints, components: Names, seed: int) -> Doubts:
    """Doubts about `labels` (n,), 0 to k - 1, by `features` (n, d); a component (n,) is never split over halves.

    Each class needs images in two components or more. Confident learning: Northcutt et al., 2021, by cleanlab. Very
    many classes are compared in blocks of like ones, so that memory stays bounded.
    """
    blocks = _blocks(features, labels)
    if len(blocks) == 1:
        return _doubts(features, labels, components, seed)
    found: dict[str, NDArray[np.generic]] = {}
    for classes in blocks:
        rows = np.flatnonzero(np.isin(labels, classes))
        here, codes = np.unique(labels[rows], return_inverse=True)
        block = _doubts(features[rows], codes.astype(np.int64), components[rows], seed)
        for field in fields(Doubts):
            values = here[block.called] if field.name == "called" else getattr(block, field.name)
            found.setdefault(field.name, np.empty(len(labels), values.dtype))[rows] = values
    return Doubts(**found)  # type: ignore[arg-type]


def _blocks(features: Floats, labels: Ints) -> list[Ints]:
    """The classes, in one block where images times classes fit; else in order along the axis that parts them most."""
    classes = int(labels.max()) + 1
    blocks = math.ceil(math.sqrt(len(labels) * classes / _CELLS))
    if blocks <= 1:
        return [np.arange(classes)]
    means = class_means(features, labels, classes)
    centred = means - means.mean(axis=0)
    axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    return [np.sort(block) for block in np.array_split(np.argsort(centred @ axis, kind="stable"), blocks)]


def _doubts(features: Floats, labels: Ints, components: Names, seed: int) -> Doubts:
    with threadpool_limits(1, "blas"):  # equal on any number of cores
        committee = elect(features, labels, components, seed)
        models = _noise_models(committee, features, labels)
        heard = _consult(committee, features, labels, models)
    most, least = (model.wrong(given) for model, given in zip(models, heard.given, strict=True))
    confident = find_label_issues(labels, heard.probabilities, filter_by="confident_learning", n_jobs=1)
    return Doubts(
        called=heard.probabilities.argmax(axis=1).astype(np.int64),
        given=heard.given[0],
        most=most,
        least=np.minimum(most, least),
        confident=np.asarray(confident, bool),
        stable=heard.agreeing >= REPEATS - 1,
    )


@dataclass(frozen=True)
class _Noise:
    """A label is drawn from all `classes` alike with chance `random`, else from the image's clean probabilities.

    Those are softmax(sharpness * score) (Guo et al., 2017), mixed over `parts`, pairs of share and sharpness.
    """

    random: float
    classes: int
    parts: tuple[tuple[float, float], ...]

    def clean(self, scores: Floats) -> Floats:
        """Class probabilities (n, k) from the log-probabilities of one repeat."""
        total = sum(share for share, _ in self.parts)
        return cast(Floats, sum(share / total * softmax(sharpness * scores, axis=1) for share, sharpness in self.parts))

    def wrong(self, given: Floats) -> Floats:
        """How likely labels of these clean probabilities (n,) are wrong."""
        uniform = self.random / self.classes
        return cast(Floats, uniform * (1 - given) / np.maximum(uniform + (1 - self.random) * given, _TINY))


def _noise_models(committee: Committee, features: Floats, labels: Ints) -> tuple[_Noise, _Noise]:
    """Without and with hard images, whose probabilities are less sharp by _HARD, fitted by maximum likelihood."""
    classes = int(labels.max()) + 1
    most = min(len(labels), _FITTED_ROWS, max(1, _FITTED_CELLS // classes))
    rows = np.linspace(0, len(labels) - 1, most).astype(np.int64)
    given = np.zeros((len(_SHARPNESS), most))
    for scores in committee.judge(features, rows):
        below = scores - scores.max(axis=1, keepdims=True)
        own = below[np.arange(most), labels[rows]]
        given += [np.exp(s * own) / np.exp(s * below).sum(axis=1) for s in _SHARPNESS]
    sharp, unsharp = given[_STEPS:] / REPEATS, given[:-_STEPS] / REPEATS
    random = np.full_like(sharp, 1 / classes)
    plain, careful = np.stack([random, sharp], axis=1), np.stack([random, sharp, unsharp], axis=1)
    return _fitted(plain, classes), _fitted(careful, classes)


def _fitted(parts: Floats, classes: int) -> _Noise:
    """The most likely model; `parts` (sharpness, random and clean parts, rows) are probabilities of the given label.

    The shares by EM for each sharpness of a grid.
    """
    shares = np.full(parts.shape[:2], 0.1)
    shares[:, 1] = 1 - 0.1 * (parts.shape[1] - 1)
    for _ in range(_ROUNDS):
        apiece = 1 / np.maximum(_mixed(shares, parts), _TINY) / parts.shape[2]
        shares = shares * (parts @ apiece[:, :, None])[:, :, 0]
    likelihood = np.log(np.maximum(_mixed(shares, parts), _TINY)).mean(axis=1)
    best = int(likelihood.argmax())
    random, *clean = (float(share) if share > _NOTHING else 0.0 for share in shares[best])
    if not any(clean):
        clean[0] = 1.0  # labels that are chance throughout do not say how the clean parts are mixed
    sharpness = (float(_SHARPNESS[best + _STEPS]), float(_SHARPNESS[best]))
    return _Noise(random, classes, tuple(zip(clean, sharpness, strict=False)))


def _mixed(shares: Floats, parts: Floats) -> Floats:
    """The probability (sharpness, rows) of each given label by all parts (sharpness, parts, rows) in these shares."""
    return cast(Floats, (shares[:, None] @ parts)[:, 0])


@dataclass(frozen=True)
class _Heard:
    """What the committee says by the first of two noise models: clean `probabilities` (n, k), how many repeats agree.

    `given` (2, n): the clean probability of the given labels by either model. All are means of probabilities over the
    repeats: where one member doubts, the mean does.
    """

    probabilities: Floats
    agreeing: Ints
    given: Floats


def _consult(committee: Committee, features: Floats, labels: Ints, models: tuple[_Noise, _Noise]) -> _Heard:
    n = len(labels)
    heard = _Heard(np.empty((n, models[0].classes), np.float32), np.empty(n, np.int64), np.empty((2, n)))
    for start in range(0, n, _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, n))
        views = [[model.clean(scores) for model in models] for scores in committee.judge(features, rows)]
        plain, careful = np.mean(views, axis=0)
        own = np.arange(len(rows)), labels[rows]
        heard.probabilities[rows] = plain
        heard.given[:, rows] = plain[own], careful[own]
        heard.agreeing[rows] = sum(view[0].argmax(axis=1) == plain.argmax(axis=1) for view in views)
    return heard
