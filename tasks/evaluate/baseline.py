"""What a model that cannot see the subject gets right of the test split: the candidate is to beat the best of these.

They are those that `bias` knows: a ridge classifier on trivial features (file, tones, sharpness), one on a picture of
16 px, and naming the most frequent class. Which is the best is decided on val; the test split only tells.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from tasks.backbone.cache import FOLDER, remembered
from tasks.bias.features import trivial_features
from tasks.bias.trivial import THUMBNAIL_CODE, THUMBNAIL_PX, fitted, thumbnails
from tasks.contracts.images import PIXELS_VERSION
from tasks.contracts.prepared import Pixels
from tasks.contracts.records import Finding, Statistic
from tasks.contracts.samples import usable
from tasks.evaluate.comparison import accuracy_difference
from tasks.evaluate.evaluation import HeldOut
from tasks.evaluate.findings import trivial_findings
from tasks.evaluate.metrics import Floats, Ints, not_measured, wilson

MOST_IMAGES = 4000  # of train, the same number of each class as far as they go
_FEATURES, _SMALL = "trivial features of file and picture", f"pictures of {THUMBNAIL_PX} px"


@dataclass(frozen=True)
class Against:
    """The accuracy of the best trivial model, the candidate's minus that, and what follows."""

    accuracy: Statistic
    difference: Statistic
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Baseline:
    """What the best trivial model looks at, and the class that it names for each test image: (n,), -1 for none."""

    sees: str
    called: Ints


def best_baseline(
    split: HeldOut, checked: pd.DataFrame, prepared: Pixels, cache: Path | None = None
) -> Baseline | None:
    """The best on val of the trivial models, with its answers on the test images; None without training images.

    Where val has no image or they are equal, naming the most frequent class is the one: it needs nothing.
    """
    if split.majority is None:
        return None
    images = checked[checked["pixels"] >= 0]
    train, val = _learned(usable(images, "train"), split.classes), usable(images, "val").iloc[:MOST_IMAGES]
    named = split.classes[split.majority]
    always = Baseline("nothing, always the most frequent class", np.full(len(split.rows), split.majority))
    if train["label"].nunique() < 2 or not len(val) or not len(split.rows):
        return always
    labels, best, most = val["label"].to_numpy(dtype=str), always, float((val["label"] == named).mean())
    place = {label: i for i, label in enumerate(split.classes)}
    for sees, inputs in _inputs(pd.concat([train, val, split.rows], ignore_index=True), prepared, cache).items():
        if not inputs.shape[1]:
            continue
        model = fitted(inputs[: len(train)], train["label"].to_numpy(dtype=str))
        called = model.predict(inputs[len(train) :])
        right = float((called[: len(val)] == labels).mean())
        if right > most:
            codes = np.array([place.get(str(one), -1) for one in called[len(val) :]], np.int64)
            best, most = Baseline(sees, codes), right
    return best


def against_baseline(
    split: HeldOut, candidate: Floats, baseline: Baseline | None, rng: np.random.Generator, resamples: int
) -> Against:
    """The candidate's probabilities (n, k) held against the baseline's answers, image by image."""
    if baseline is None:
        why = "not measured: there are no training images"
        return Against(not_measured("accuracy", why), not_measured("accuracy_difference", why), ())
    right = baseline.called == split.targets
    found = wilson(f"accuracy from {baseline.sees}", int(right.sum()), len(right))
    difference = accuracy_difference(candidate.argmax(axis=1) == split.targets, right, rng, resamples)
    return Against(found, difference, tuple(trivial_findings(baseline.sees, difference)))


def _inputs(images: pd.DataFrame, prepared: Pixels, cache: Path | None) -> dict[str, Floats]:
    """What each trivial model sees of the images, (n, d)."""
    features = trivial_features(images, prepared, cache)
    table = np.column_stack([*features.values()]) if features else np.empty((len(images), 0))
    return {_FEATURES: table, _SMALL: _small(images, prepared, cache)}


def _small(images: pd.DataFrame, prepared: Pixels, cache: Path | None) -> Floats:
    """Their small pictures, (n, d), remembered by content where there is a cache."""
    rows = images["pixels"].to_numpy(np.int64)
    if cache is None:
        return thumbnails(prepared, rows.tolist())
    made_of = f"{prepared.shape[1]} px {PIXELS_VERSION}, cv2 {cv2.__version__}"
    key = f"pictures {THUMBNAIL_CODE} of {THUMBNAIL_PX} px, of {made_of}"
    found = remembered(
        cache / FOLDER,
        key,
        images["sha256"].tolist(),
        lambda at: thumbnails(prepared, rows[at].tolist()).astype(np.uint8),  # whole numbers of a byte each
    )
    return found.astype(np.float64)


def _learned(train: pd.DataFrame, classes: tuple[str, ...]) -> pd.DataFrame:
    """The training images to learn from, by content, as evenly over the classes as they go."""
    known = train[train["label"].isin(classes)]
    each = max(1, MOST_IMAGES // len(classes))
    return known[known.groupby("label").cumcount() < each].reset_index(drop=True)
