"""Labels that are probably wrong, and how far to trust the list: both measured on the user's own images.

Confident learning (Northcutt et al., 2021, by cleanlab) on out-of-fold predictions from frozen features. Alone it
takes every hard image for a wrong label, so a suspect must also be more likely wrong than right by a noise model.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.backbone.catalog import EMBEDDED_PREFIX, find_entry, weights_folder
from tasks.backbone.features import cached_features
from tasks.backbone.rows import PixelSource
from tasks.backbone.weights import open_entry
from tasks.contracts.records import Statistic, Status
from tasks.evaluate.metrics import wilson
from tasks.quality.label_noise import Doubts, doubts
from tasks.quality.planted_errors import KINDS, PLANTED, plantings

LEAST_IMAGES, LEAST_COMPONENTS = 8, 4  # of a class: half of it must still say what the class looks like
LEAST_ALL = 40
_SUSPECT_FROM = 0.5  # more likely wrong than right
_KAPPA_FROM = 0.6  # of the labels that are not suspect; benchmarks/labels.py shows what happens below
_TYPICAL = 3  # images shown of a class
_BACKBONE = f"{EMBEDDED_PREFIX}formula_resnet18"

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Suspect:
    """A label that is probably wrong: `row` of the features, and the estimated chance `score` that it is."""

    row: int
    given: str
    suggested: str
    score: float


@dataclass(frozen=True)
class LabelCheck:
    """The suspects, most suspect first, and what is known about the list.

    `n` images were examined; `left_out`: class -> why it was not. `noise`: the share of wrong labels. `precision`: the
    share of the suspects that are wrong. `recalls`: of planted errors, uniform and confusable. `typical`: class -> rows
    that look most like it. `why` says why nothing was flagged where nothing can be known; empty otherwise.
    """

    suspects: tuple[Suspect, ...]
    n: int
    left_out: dict[str, str]
    accuracy: Statistic
    noise: Statistic
    precision: Statistic
    recalls: tuple[Statistic, ...]
    typical: dict[str, tuple[int, ...]]
    why: str = ""


def embed(pixels: PixelSource, sha256s: Sequence[str], cache: Path) -> Floats:
    """Frozen features (n, d) of the embedded backbone; shares its cache with the stage `select`."""
    backbone, ref = open_entry(find_entry(_BACKBONE, weights_folder()), pixels.shape[1])
    return cached_features(backbone, ref, pixels, sha256s, cache)


def find_label_errors(
    features: Floats, labels: Sequence[str], components: Sequence[str] | Sequence[int], seed: int
) -> LabelCheck:
    """Check `labels` (n,) by `features` (n, d).

    `components` (n,): images that must not be split over folds, because they are alike or declared to belong together.
    """
    codes, names = pd.factorize(np.array([*labels, None], object)[:-1], sort=True)
    groups = pd.factorize(np.array([*components, None], object)[:-1])[0].astype(str)
    left_out = _left_out(codes, groups)
    rows = np.flatnonzero(~np.isin(codes, list(left_out)))
    kept, targets = np.unique(codes[rows], return_inverse=True)
    data = _Data(features[rows], targets.astype(np.int64), groups[rows], tuple(names[kept]), rows)
    reasons = {str(names[code]): reason for code, reason in left_out.items()}
    if len(kept) < 2 or len(rows) < LEAST_ALL:
        why = f"{len(rows)} images in {len(kept)} classes that are large enough; {LEAST_ALL} in 2 are needed"
        return _unknown(data, reasons, "too_small", why)
    found = doubts(data.features, data.targets, data.groups, seed)
    suspect = _suspect(found)
    if why := _cannot_tell(data, found, suspect):
        return replace(_unknown(data, reasons, "not_measurable", why), accuracy=_accuracy(data, found))
    return LabelCheck(
        suspects=_ranked(data, found, suspect),
        n=len(rows),
        left_out=reasons,
        accuracy=_accuracy(data, found),
        noise=_noise(found),
        precision=_precision(found, suspect),
        recalls=tuple(_recall(kind, data, found, seed) for kind in KINDS),
        typical=_typical(data, found, suspect),
    )


def suspects_table(check: LabelCheck, images: pd.DataFrame) -> pd.DataFrame:
    """For `reports/label_errors.parquet`: path, sha256, label, suggested, score, the most suspect first.

    `images` has the columns path and sha256, and a row for each row of the features.
    """
    chosen = images.iloc[[one.row for one in check.suspects]]
    columns = {
        "path": list(chosen["path"]),
        "sha256": list(chosen["sha256"]),
        "label": [one.given for one in check.suspects],
        "suggested": [one.suggested for one in check.suspects],
        "score": [one.score for one in check.suspects],
    }
    return pd.DataFrame(columns).astype({name: "float64" if name == "score" else "str" for name in columns})


@dataclass(frozen=True)
class _Data:
    """What is examined; `rows` (n,) are its rows in the features as they were given."""

    features: Floats
    targets: Ints
    groups: NDArray[np.str_]
    names: tuple[str, ...]
    rows: Ints


def _left_out(codes: Ints, groups: NDArray[np.str_]) -> dict[int, str]:
    out = {}
    for code, own in pd.Series(groups).groupby(codes):
        if len(own) < LEAST_IMAGES:
            out[int(str(code))] = f"{len(own)} images; {LEAST_IMAGES} are needed"
        elif own.nunique() < LEAST_COMPONENTS:
            out[int(str(code))] = f"{own.nunique()} groups that belong together; {LEAST_COMPONENTS} are needed"
    return out


def _unknown(data: _Data, left_out: dict[str, str], status: Status, why: str) -> LabelCheck:
    def nothing(name: str) -> Statistic:
        return Statistic(name, None, len(data.rows), status=status, estimator=why)

    return LabelCheck(
        suspects=(),
        n=len(data.rows),
        left_out=left_out,
        accuracy=nothing("label_agreement"),
        noise=nothing("label_noise"),
        precision=nothing("suspect_precision"),
        recalls=tuple(nothing(f"planted_{kind}_recall") for kind in KINDS),
        typical={},
        why=why,
    )


def _suspect(found: Doubts) -> Bools:
    return found.confident & found.stable & (found.most >= _SUSPECT_FROM)


def _cannot_tell(data: _Data, found: Doubts, suspect: Bools) -> str:
    """Why the features cannot judge these labels; empty where they can.

    Where the labels that are not suspect do not follow the images either, hard images look like wrong labels.
    """
    given, called = data.targets[~suspect], found.called[~suspect]
    right = float((given == called).mean())
    shares = [np.bincount(codes, minlength=len(data.names)) / len(given) for codes in (given, called)]
    by_chance = float(shares[0] @ shares[1])
    if right - by_chance >= _KAPPA_FROM * (1 - by_chance):  # Cohen's kappa
        return ""
    return (
        f"the frozen features give the label of only {right:.0%} of the images that are not suspect ({by_chance:.0%} "
        f"by chance), so hard images and wrong labels look alike; up to {found.confident.mean():.0%} of the labels may "
        "be wrong"
    )


def _accuracy(data: _Data, found: Doubts) -> Statistic:
    right = int((found.called == data.targets).sum())
    return replace(wilson("label_agreement", right, len(data.targets)), estimator="out of fold, Wilson")


def _noise(found: Doubts) -> Statistic:
    """By the noise models; confident learning alone, which takes each hard image for an error, gives the upper end."""
    value, low, high = float(found.most.mean()), float(found.least.mean()), float(found.confident.mean())
    how = "noise model; from the one with hard images to confident learning"
    return Statistic("label_noise", value, len(found.most), min(low, value), max(high, value), estimator=how)


def _precision(found: Doubts, suspect: Bools) -> Statistic:
    """The mean chance that a suspect is wrong, midway between the noise models; each gives a Wilson bound."""
    n, least, most = int(suspect.sum()), float(found.least[suspect].sum()), float(found.most[suspect].sum())
    if not n:
        return Statistic("suspect_precision", None, 0, status="not_measurable", estimator="no label is suspect")
    low, high = wilson("", math.floor(least), n).low, wilson("", math.ceil(most), n).high
    how = "midway between two noise models, from the lower one's Wilson bound to the higher one's"
    return Statistic("suspect_precision", (least + most) / 2 / n, n, low, high, estimator=how)


def _recall(kind: str, data: _Data, found: Doubts, seed: int) -> Statistic:
    """Of errors planted among labels that are not suspect, the share that the same check then finds."""
    hits = planted = runs = 0
    sound = np.flatnonzero(~_suspect(found))
    for rows, changed in plantings(kind, data.targets, found.called, sound, seed):
        again = doubts(data.features, changed, data.groups, seed + 1 + runs)
        hits, planted, runs = hits + int(_suspect(again)[rows].sum()), planted + len(rows), runs + 1
    how = f"{PLANTED:.0%} of the labels changed, {runs} {'run' if runs == 1 else 'runs'}, Wilson"
    return replace(wilson(f"planted_{kind}_recall", hits, planted), estimator=how)


def _ranked(data: _Data, found: Doubts, suspect: Bools) -> tuple[Suspect, ...]:
    score, rows = (found.most + found.least) / 2, np.flatnonzero(suspect)
    order = rows[np.lexsort((rows, found.given[rows], -score[rows]))]
    names = data.names
    return tuple(
        Suspect(int(data.rows[i]), names[data.targets[i]], names[found.called[i]], float(score[i])) for i in order
    )


def _typical(data: _Data, found: Doubts, suspect: Bools) -> dict[str, tuple[int, ...]]:
    """Of each class that a suspect has or should have, the rows whose label is the most certain."""
    out = {}
    for code in np.union1d(data.targets[suspect], found.called[suspect]):
        members = np.flatnonzero((data.targets == code) & (found.called == code) & ~suspect)
        best = members[np.argsort(-found.given[members], kind="stable")[:_TYPICAL]]
        out[data.names[code]] = tuple(int(row) for row in data.rows[best])
    return out
