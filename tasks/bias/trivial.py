"""What a trivial model scores: one that sees only trivial features, or only a picture of 16 px.

Within the training split, by cross-validation, it says what there is to be learned without looking at the subject; from
the training to the validation split, what of it holds there. A real model is to be judged against these, not against
chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from tasks.bias.significance import FAMILIES, LEVEL
from tasks.contracts.prepared import Pixels
from tasks.contracts.records import Finding, Statistic
from tasks.evaluate.metrics import wilson

THUMBNAIL_PX = 16
THUMBNAIL_CODE = 1  # raised when a small picture changes
MIN_FALL = 0.1  # of the accuracy from train to val, beyond what the intervals allow
MIN_IMAGES = 20
_FOLDS = 5
_RATES = 4  # two models, within train and from train to val
_CORRECTION = f"Bonferroni over {_RATES} rates and {len(FAMILIES)} families; binomial, against the largest class"
_SHRINKAGE = 100.0  # of the ridge, on standardised inputs: some hundred of them for sometimes few images

Floats = NDArray[np.float64]
Texts = NDArray[np.str_]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Split:
    """What a trivial model sees of a split: inputs (n, d), labels (n,), and which images belong together (n,)."""

    inputs: Floats
    labels: Texts
    groups: Texts

    @property
    def majority(self) -> float:
        """The share of the largest class."""
        return (
            float(np.unique(self.labels, return_counts=True)[1].max() / len(self.labels)) if len(self.labels) else 0.0
        )


@dataclass(frozen=True)
class Score:
    """Accuracy by cross-validation in train and from train to val, and what naming the largest class would give.

    `balanced` are both as means over the classes: train is sampled evenly over classes and val is not, so only these
    compare the two.
    """

    sees: str
    within: Statistic
    across: Statistic
    majority_within: float
    majority_across: float
    balanced: tuple[Statistic, Statistic] | None = None

    @property
    def falls(self) -> bool:
        """Whether something is learned in train that does not hold in val."""
        if self.balanced is None:
            return False
        within, across = self.balanced
        apart = (within.low or 0.0) > (across.high or 1.0)
        return _more_than_chance(self.within) and apart and (within.value or 0.0) - (across.value or 0.0) >= MIN_FALL


def trivial_model(sees: str, train: Split, val: Split) -> Score:
    """The score of a ridge classifier on the inputs, which are called `sees`."""
    within, across = f"accuracy from {sees} within train", f"accuracy from {sees}, train to val"
    majorities = (train.majority, val.majority)
    estimator = f"ridge classifier, {_FOLDS} folds that keep groups together, Wilson"
    folds = min(_FOLDS, len(np.unique(train.groups)))
    if len(np.unique(train.labels)) < 2 or folds < 2 or not train.inputs.shape[1]:
        return Score(sees, _nothing(within, train, estimator), _nothing(across, val, "ridge classifier"), *majorities)
    inside, outside = _nothing(within, train, estimator), _nothing(across, val, "ridge classifier, Wilson")
    right_within, right_across = np.zeros(0, bool), np.zeros(0, bool)
    if len(train.labels) >= MIN_IMAGES:
        right_within = _right_when_held_out(train, folds)
        inside = _rate(within, int(right_within.sum()), train, estimator)
    if len(val.labels):
        right_across = _right(fitted(train.inputs, train.labels), val.inputs, val.labels)
        outside = _rate(across, int(right_across.sum()), val, "ridge classifier, Wilson")
    shared = np.intersect1d(train.labels, val.labels)
    if not (len(right_within) and len(right_across) and len(shared)):
        return Score(sees, inside, outside, *majorities)
    balanced = (_balanced(within, right_within, train, shared), _balanced(across, right_across, val, shared))
    return Score(sees, inside, outside, *majorities, balanced)


def fitted(inputs: Floats, labels: Texts) -> Pipeline:
    """The ridge classifier of every trivial model, on standardised inputs (n, d)."""
    return make_pipeline(StandardScaler(), RidgeClassifier(alpha=_SHRINKAGE)).fit(inputs, labels)


def thumbnails(pixels: Pixels, rows: Sequence[int]) -> Floats:
    """Pictures of THUMBNAIL_PX a side as vectors, in [0, 255]."""
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    small = [cv2.resize(pixels[row], size, interpolation=cv2.INTER_AREA).ravel() for row in rows]
    return np.array(small, dtype=np.float64).reshape(len(small), 3 * THUMBNAIL_PX**2)


def model_findings(scores: Sequence[Score]) -> list[Finding]:
    """How far a model gets that sees no subject, if further than naming the largest class; and what falls."""
    found = []
    for one in scores:
        if one.balanced and one.falls:
            within, across = one.balanced
            message = (
                f"{one.sees} name the class of {within.value:.0%} of the training images (mean over the classes), "
                f"but only {across.value:.0%} in val: what gives the label away in train is not there in val"
            )
            remedy = "find what differs between the splits: another camera, source or treatment of the files"
            found.append(Finding("trivial_model_falls", "warn", "split", within, message, remedy))
        if one.across.value is not None and _more_than_chance(one.across):
            message = (
                f"{one.sees} alone name the class of {one.across.value:.0%} of the validation images "
                f"(largest class: {one.majority_across:.0%})"
            )
            remedy = "judge the trained model against this, not against chance"
            found.append(Finding("trivial_model", "info", "label", one.across, message, remedy))
    return found


def _right_when_held_out(train: Split, folds: int) -> Bools:
    right = np.zeros(len(train.labels), bool)
    for fit, held in GroupKFold(folds).split(train.inputs, train.labels, train.groups):
        if len(np.unique(train.labels[fit])) > 1:
            model = fitted(train.inputs[fit], train.labels[fit])
            right[held] = _right(model, train.inputs[held], train.labels[held])
    return right


def _right(model: Pipeline, inputs: Floats, labels: Texts) -> Bools:
    right: Bools = model.predict(inputs) == labels
    return right


def _balanced(name: str, right: Bools, split: Split, classes: Texts) -> Statistic:
    """The mean over `classes` of how often each is named rightly, with the interval from Wilson's of each."""
    of_classes = [split.labels == label for label in classes]
    rates = [wilson("", int(right[own].sum()), int(own.sum())) for own in of_classes]
    values, low, high = (np.array([getattr(one, end) for one in rates]) for end in ("value", "low", "high"))
    mean = float(values.mean())
    below, above = (float(np.linalg.norm(values - end)) / len(classes) for end in (low, high))
    estimator = f"mean over {len(classes)} classes; MOVER from Wilson intervals (Donner and Zou 2012)"
    n = int(sum(own.sum() for own in of_classes))
    return Statistic(f"balanced {name}", mean, n, mean - below, mean + above, estimator=estimator)


def _rate(name: str, hits: int, split: Split, estimator: str) -> Statistic:
    """With the p-value of so many hits if each image were named as surely as by always naming the largest class."""
    n = len(split.labels)
    rate = wilson(name, hits, n)
    p_value = min(1.0, _RATES * len(FAMILIES) * float(binom.sf(hits - 1, n, split.majority)))
    return Statistic(
        name, rate.value, n, rate.low, rate.high, estimator=estimator, p_value=p_value, correction=_CORRECTION
    )


def _more_than_chance(rate: Statistic) -> bool:
    return rate.p_value is not None and rate.p_value <= LEVEL


def _nothing(name: str, split: Split, estimator: str) -> Statistic:
    few = 0 < len(split.labels) < MIN_IMAGES
    return Statistic(
        name, None, len(split.labels), status="too_small" if few else "not_measurable", estimator=estimator
    )
