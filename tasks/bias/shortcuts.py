"""What gives a class away without looking at the picture's content: trivial features, a trivial model, overlays."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tasks.bias.overlay import GRID, MIN_IMAGES, Overlay, place_of
from tasks.contracts.prepared import Pixels
from tasks.contracts.records import Finding, Severity, Statistic
from tasks.evaluate.metrics import wilson

CONTAINER = ("width", "height", "aspect")  # how a picture was made or stored, never what it shows
GIVES_AWAY = 0.95  # an AUC from which a container feature alone all but names the class
THUMBNAIL_PX = 4
MODEL_NAME = "trivial model accuracy"
_STRONGEST = 10
_CORNERS = {"top_left": (0, 0), "top_right": (0, 1), "bottom_left": (1, 0), "bottom_right": (1, 1)}
_SIDE_PX = 64
_CORNER_PX = 16

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class BestFeature:
    """The trivial feature that best tells one class from the rest; `auc` >= 0.5 whichever way it points."""

    label: int
    images: int
    feature: str
    auc: float
    p_value: float


def trivial_features(images: pd.DataFrame, pixels: Pixels) -> dict[str, Floats]:
    """Per image of `images` (columns `pixels`, `width`, `height`, perhaps `bytes`): name -> values (n,).

    Means and deviations of the channels, mean and edge energy of each corner, size, aspect and bytes.
    """
    rows = [_pixel_features(pixels[row]) for row in images["pixels"]]
    table = {name: np.array([one[name] for one in rows]) for name in rows[0]} if rows else {}
    for name in ("width", "height", "bytes"):
        if name in images:
            table[name] = images[name].to_numpy(dtype=np.float64, na_value=np.nan)
    if {"width", "height"} <= table.keys():
        table["aspect"] = table["width"] / table["height"]
    return {name: values for name, values in table.items() if np.isfinite(values).all()}


def best_features(
    features: dict[str, Floats], labels: Codes, permutations: int, rng: np.random.Generator
) -> list[BestFeature]:
    """For each class of at least MIN_IMAGES images its best feature, one-vs-rest.

    The p-value is family-wise: the null is the largest standardised AUC over classes and features when the labels
    are permuted (Westfall and Young, 1993).
    """
    counts = np.bincount(labels)
    large = (counts >= MIN_IMAGES) & (counts < len(labels))
    if not large.any() or not features:
        return []
    names = list(features)
    ranks = pd.DataFrame(features).rank().to_numpy()
    observed = _standardised(ranks, labels, counts)[large]
    null = np.array(
        [np.abs(_standardised(ranks, rng.permutation(labels), counts)[large]).max() for _ in range(permutations)]
    )
    spread = _spread(counts)[large]
    best = np.abs(observed).argmax(axis=1)
    return [
        BestFeature(
            label=int(label),
            images=int(counts[label]),
            feature=names[best[place]],
            auc=float(0.5 + abs(observed[place, best[place]]) * spread[place]),
            p_value=float((1 + (null >= abs(observed[place, best[place]])).sum()) / (1 + permutations)),
        )
        for place, label in enumerate(np.flatnonzero(large))
    ]


def trivial_model(pixels: Pixels, train: pd.DataFrame, val: pd.DataFrame) -> Statistic:
    """Accuracy on `val` of a logistic regression on 4 x 4 thumbnails, fitted on `train` (`pixels` and `label`)."""
    estimator = f"logistic regression on {THUMBNAIL_PX} x {THUMBNAIL_PX} thumbnails, train -> val, Wilson"
    if val.empty or train["label"].nunique() < 2:
        return Statistic(MODEL_NAME, None, len(val), status="not_measurable", estimator=estimator)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(_thumbnails(pixels, train["pixels"]), train["label"].to_numpy(dtype=str))
    hits = int((model.predict(_thumbnails(pixels, val["pixels"])) == val["label"].to_numpy(dtype=str)).sum())
    rate = wilson(MODEL_NAME, hits, len(val))
    return Statistic(rate.name, rate.value, rate.n, rate.low, rate.high, estimator=estimator)


def feature_statistic(best: BestFeature, classes: Sequence[str]) -> Statistic:
    """A class's best trivial feature as a statistic."""
    name = f"trivial feature for {classes[best.label]}"
    estimator = f"one-vs-rest AUC of {best.feature}, the best of all; max-statistic permutation p"
    return Statistic(name, best.auc, best.images, estimator=estimator, p_value=best.p_value)


def overlay_statistic(overlay: Overlay, classes: Sequence[str]) -> Statistic:
    """A class's most suspicious tile as a statistic."""
    name = f"fixed pattern in {classes[overlay.label]}, {place_of(overlay.tile)}"
    estimator = "agreement of edge directions in the best tile less elsewhere; max-statistic permutation p"
    return Statistic(name, overlay.excess, overlay.images, estimator=estimator, p_value=overlay.p_value)


def overlay_findings(overlays: Sequence[Overlay], classes: Sequence[str], paths: Sequence[str]) -> list[Finding]:
    """A finding for each suspicious overlay, the strongest first; `paths` are those of the images that were scanned."""
    found = []
    for overlay in (one for one in overlays if one.suspicious):
        label, place = classes[overlay.label], place_of(overlay.tile)
        # objects are often centred, so in the middle a fixed pattern may well be the object itself
        central = all(GRID // 4 <= index < GRID - GRID // 4 for index in overlay.tile)
        severity: Severity = "info" if central else "warn"
        message = f"images of {label} share a fixed pattern at the {place}: a watermark, logo or caption?"
        remedy = "crop it away or paint it over, or add images of this class without it"
        evidence = tuple(paths[i] for i in overlay.strongest[:_STRONGEST])
        statistic = overlay_statistic(overlay, classes)
        found.append(Finding("fixed_overlay", severity, label, statistic, message, remedy, evidence))
    return found


def feature_findings(best: Sequence[BestFeature], classes: Sequence[str]) -> list[Finding]:
    """A finding for each class that its images' size or shape alone gives away; colours may differ by nature."""
    found = []
    for one in best:
        if one.feature in CONTAINER and one.auc >= GIVES_AWAY and one.p_value <= 0.05:
            label = classes[one.label]
            message = f"the {one.feature} of the file alone tells {label} from the rest (AUC {one.auc:.2f})"
            remedy = "bring all classes to one size and shape before training, or collect them in the same way"
            statistic = feature_statistic(one, classes)
            found.append(Finding("size_gives_class_away", "warn", label, statistic, message, remedy))
    return found


def model_findings(accuracy: Statistic, majority: float) -> list[Finding]:
    """Says how far thumbnails alone go, where that is further than always naming the largest class."""
    if accuracy.value is None or accuracy.low is None or accuracy.low <= majority:
        return []
    message = (
        f"{accuracy.value:.0%} of the validation images can be named from 16 colours (largest class: {majority:.0%})"
    )
    remedy = "judge the trained model against this, not against chance"
    return [Finding("trivial_model", "info", "label", accuracy, message, remedy)]


def _pixel_features(image: Pixels) -> dict[str, float]:
    small = cv2.resize(image, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA).astype(np.float64)
    grey = small.mean(axis=2)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_64F, 1, 0), cv2.Sobel(grey, cv2.CV_64F, 0, 1))
    out = {}
    for channel, name in enumerate(("red", "green", "blue")):
        out[f"mean_{name}"], out[f"deviation_{name}"] = small[..., channel].mean(), small[..., channel].std()
    for name, (bottom, right) in _CORNERS.items():
        rows, columns = (slice(-_CORNER_PX, None) if far else slice(_CORNER_PX) for far in (bottom, right))
        out[f"{name}_mean"], out[f"{name}_edges"] = grey[rows, columns].mean(), edges[rows, columns].mean()
    return {name: float(value) for name, value in out.items()}


def _thumbnails(pixels: Pixels, rows: "pd.Series[int]") -> Floats:
    """Thumbnails as vectors: (len(rows), 48) in [0, 255]."""
    size = (THUMBNAIL_PX, THUMBNAIL_PX)
    return np.stack([cv2.resize(pixels[row], size, interpolation=cv2.INTER_AREA).ravel() for row in rows]).astype(
        np.float64
    )


def _spread(counts: Codes) -> Floats:
    """The standard deviation of a one-vs-rest AUC under the null, by class (ties neglected)."""
    n, own = counts.sum(), counts.astype(np.float64)
    spread: Floats = np.sqrt((n + 1) / (12 * np.maximum(own * (n - own), 1.0)))
    return spread


def _standardised(ranks: Floats, labels: Codes, counts: Codes) -> Floats:
    """(AUC - 1/2) / spread of every feature for every class: ranks (n, F), labels (n,) -> (K, F)."""
    member = (labels == np.arange(len(counts))[:, None]).astype(np.float64)
    own = counts[:, None].astype(np.float64)
    wins = member @ ranks - own * (own + 1) / 2
    auc = wins / np.maximum(own * (counts.sum() - own), 1.0)
    standardised: Floats = (auc - 0.5) / _spread(counts)[:, None]
    return standardised
