"""What comes with the backbone: attributes that can be read from its frozen features beyond a random network's.

A network of the same layout with random weights keeps much of a picture too, so it is the measure of what the images
give by themselves; what is more than that was learned where the backbone was trained, and the head can use it.
Features are centred by class: else an attribute that goes with the class would be read through it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tasks.backbone.features import Rows, cached_features, compute_features
from tasks.backbone.scores import assign_folds, ridge_predict, settle_batch_norm
from tasks.backbone.weights import build_backbone, build_network
from tasks.bias.association import holm
from tasks.bias.attributes import Levels, columns_of, examine
from tasks.contracts.errors import BadEnvironment
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.params import EvaluateParams
from tasks.contracts.prepared import Pixels
from tasks.contracts.records import Finding, Section, Statistic
from tasks.contracts.workspace import Workspace
from tasks.evaluate.metrics import percentiles

NAME = "inherited bias"
QUESTION = "What does the backbone itself make readable of each attribute, beyond what a random network does?"
MOST_IMAGES = 1000
MOST_ATTRIBUTES = 8
TELLS_FROM = 0.05  # of balanced accuracy
_LEAST_OF_VALUE = 20
_FOLDS, _RESAMPLES = 3, 1000
_HOW = f"ridge probe on class-centred features, {_FOLDS} folds; bootstrap over images that belong together"

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Images:
    """Training images, which come by content hash: their rows of `checked.parquet`, and all prepared pixels."""

    rows: pd.DataFrame
    prepared: Pixels


@dataclass(frozen=True)
class Features:
    """Features (n, d) of the same images by the backbone and by a random network of its layout."""

    backbone: Floats
    random: Floats


def inherited_bias(
    ws: Workspace, ref: BackboneRef, train: Images, params: EvaluateParams, seed: int
) -> tuple[Section, list[Finding]]:
    """What the backbone `ref` makes readable of the attributes of at most MOST_IMAGES training images.

    Raises BrokenArtifact where the weights are broken, BadUsage on an attribute that is not there.
    """
    rows = train.rows.iloc[:MOST_IMAGES].reset_index(drop=True)
    levels, left_out = _to_probe(rows, params)
    if not levels:
        return _nothing("no attribute has two values with images enough", len(rows)), []
    if ref.source == "random":
        return _nothing("the model was made without a trained backbone", len(rows)), []
    try:
        features = _features(ws, ref, Images(rows, train.prepared), seed)
    except BadEnvironment as error:
        return _nothing(f"the backbone's weights are not here ({error})", len(rows)), []
    section, found = probe(features, rows, levels, seed)
    if left_out:
        how = f"the {MOST_ATTRIBUTES} attributes of the fewest values are looked at"
        rest = Statistic("further attributes", None, left_out, status="skipped", estimator=how)
        section = replace(section, statistics=(*section.statistics, rest))
    return section, found


def probe(features: Features, rows: pd.DataFrame, levels: Sequence[Levels], seed: int) -> tuple[Section, list[Finding]]:
    """Balanced accuracy of both networks for each of `levels` of `rows`, and their paired difference."""
    probed = [_probe(features, rows, one, np.random.default_rng([seed, i])) for i, one in enumerate(levels)]
    p_values = holm([gain.p_value or 0.0 for _, _, gain in probed])
    statistics: list[Statistic] = []
    found = []
    for one, (ours, random, gain), p_value in zip(levels, probed, p_values, strict=True):
        told = replace(gain, p_value=p_value, correction="Holm over the attributes")
        statistics += [told, ours, random]
        if p_value <= 0.05 and (told.value or 0.0) >= TELLS_FROM:
            found.append(_finding(one.name, ours, told))
    found.sort(key=lambda one: (-(one.statistic.value or 0.0), one.subject))
    return Section(NAME, QUESTION, tuple(statistics)), found


def _nothing(why: str, n: int) -> Section:
    what = Statistic(NAME, None, n, status="not_measurable", estimator=f"not measured: {why}")
    return Section(NAME, QUESTION, (what,))


def _to_probe(rows: pd.DataFrame, params: EvaluateParams) -> tuple[list[Levels], int]:
    """At most MOST_ATTRIBUTES attributes of `rows`, those of the fewest values, and how many are left out."""
    small = max(params.small_group, _LEAST_OF_VALUE)
    levels, _ = examine(columns_of(rows), params.attributes, small, np.ones(len(rows), bool))
    able = sorted((one for one in levels if one.named > 1), key=lambda one: (one.named, one.name))
    return able[:MOST_ATTRIBUTES], max(0, len(able) - MOST_ATTRIBUTES)


def _features(ws: Workspace, ref: BackboneRef, images: Images, seed: int) -> Features:
    """The backbone's come from the cache where `select` left them."""
    pixels = Rows(images.prepared, images.rows["pixels"].to_numpy(np.int64))
    ours = cached_features(build_backbone(ref, ws.root), ref, pixels, images.rows["sha256"].tolist(), ws.cache)
    blank = replace(ref, name=f"{ref.name} with random weights", source="random")
    random = build_network(blank, seed)
    settle_batch_norm(random, blank, pixels)
    return Features(ours, compute_features(random, blank, pixels))


def _probe(
    features: Features, rows: pd.DataFrame, one: Levels, rng: np.random.Generator
) -> tuple[Statistic, Statistic, Statistic]:
    """The backbone, the random network and their difference."""
    known = one.codes < one.named
    targets = one.codes[known]
    classes, groups = (pd.factorize(rows.loc[known, name].astype(str))[0] for name in ("label", "component"))
    fold_of = assign_folds(targets, groups.astype(str).tolist(), _FOLDS, int(rng.integers(2**31)))
    right = [
        _called(part[known], targets, classes, fold_of) == targets for part in (features.backbone, features.random)
    ]
    ours, random = _balanced(right, targets, groups, rng)
    gain = ours - random
    # two-sided, by how often a resampled difference has the other sign
    p_value = min(1.0, 2 * (1 + min((gain[1:] <= 0).sum(), (gain[1:] >= 0).sum())) / len(gain))

    def told(what: str, values: Floats, p: float | None = None) -> Statistic:
        low, high = percentiles(values[1:].astype(np.float64))
        return Statistic(f"{one.name}: {what}", float(values[0]), len(targets), low, high, estimator=_HOW, p_value=p)

    return (
        told("backbone, balanced accuracy", ours),
        told("random network, balanced accuracy", random),
        told("difference", gain, p_value),
    )


def _called(features: Floats, targets: Ints, classes: Ints, fold_of: Ints) -> Ints:
    """The value of each image by a probe on the other folds, after each class's mean there was taken off."""
    called = np.full(len(targets), -1, np.int64)
    with threadpool_limits(1, "blas"):  # equal on any number of cores
        for fold in np.unique(fold_of):
            held_out = fold_of == fold
            means = np.stack([_mean(features[~held_out & (classes == k)]) for k in range(classes.max() + 1)])
            centred = features - means[classes]
            called[held_out] = ridge_predict(centred[~held_out], targets[~held_out], centred[held_out])
    return called


def _mean(features: Floats) -> Floats:
    """The mean of each feature; 0 where a class has no image."""
    mean: Floats = features.mean(axis=0) if len(features) else np.zeros(features.shape[1], features.dtype)
    return mean


def _balanced(
    right: Sequence[NDArray[np.bool_]], targets: Ints, groups: Ints, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Balanced accuracy of both networks: first as it is, then of resampled groups of images that belong together."""
    count, kinds = int(groups.max()) + 1, int(targets.max()) + 1
    weights = np.concatenate([np.ones((1, count)), rng.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)])
    place = groups * kinds + targets
    every = weights @ np.bincount(place, minlength=count * kinds).reshape(count, kinds)
    hits = (weights @ np.bincount(place[one], minlength=count * kinds).reshape(count, kinds) for one in right)
    ours, random = (np.where(every > 0, hit, 0.0) / np.maximum(every, 1.0) for hit in hits)
    there = np.maximum((every > 0).sum(axis=1), 1)
    return ours.sum(axis=1) / there, random.sum(axis=1) / there


def _finding(attribute: str, ours: Statistic, gain: Statistic) -> Finding:
    message = (
        f"The backbone makes {attribute} readable beyond a random network: balanced accuracy {ours.value:.0%}, "
        f"{100 * (gain.value or 0.0):+.1f} points within classes."
    )
    remedy = "Look at the outcomes by this attribute; a head can use what it can read."
    return Finding("inherited_bias", "info", attribute, gain, message, remedy)
