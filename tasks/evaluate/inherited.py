"""What comes with the backbone: attributes that can be read from its frozen features beyond a random network's.

A network of the same layout with random weights keeps much of a picture too, so it is the measure of what the images
give by themselves; what is more than that was learned where the backbone was trained, and the head can use it.
probing.py says how they are compared.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.backbone.features import Rows, cached_features
from tasks.backbone.random_control import random_control
from tasks.backbone.weights import build_backbone
from tasks.bias.attributes import Levels, columns_of, examine
from tasks.contracts.errors import BadEnvironment
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.params import EvaluateParams
from tasks.contracts.prepared import Pixels
from tasks.contracts.records import Finding, Section, Statistic
from tasks.contracts.workspace import Workspace
from tasks.evaluate.probing import LEAST_OF_VALUE, Features, probe

NAME = "inherited bias"
QUESTION = "What does the backbone itself make readable of each attribute, beyond what a random network does?"
MOST_IMAGES = 1000
MOST_ATTRIBUTES = 8


@dataclass(frozen=True)
class Images:
    """Training images, which come by content hash: their rows of `checked.parquet`, and all prepared pixels."""

    rows: pd.DataFrame
    prepared: Pixels


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
    statistics, found = probe(features, rows, levels, seed)
    if left_out:
        how = f"the {MOST_ATTRIBUTES} attributes of the fewest values are looked at"
        statistics.append(Statistic("further attributes", None, left_out, status="skipped", estimator=how))
    return Section(NAME, QUESTION, tuple(statistics)), found


def _nothing(why: str, n: int) -> Section:
    what = Statistic(NAME, None, n, status="not_measurable", estimator=f"not measured: {why}")
    return Section(NAME, QUESTION, (what,))


def _to_probe(rows: pd.DataFrame, params: EvaluateParams) -> tuple[list[Levels], int]:
    """At most MOST_ATTRIBUTES attributes of `rows`, those of the fewest values, and how many are left out."""
    small = max(params.small_group, LEAST_OF_VALUE)
    levels, _ = examine(columns_of(rows), params.attributes, small, np.ones(len(rows), bool))
    able = sorted((one for one in levels if one.named > 1), key=lambda one: (one.named, one.name))
    return able[:MOST_ATTRIBUTES], max(0, len(able) - MOST_ATTRIBUTES)


def _features(ws: Workspace, ref: BackboneRef, images: Images, seed: int) -> Features:
    """Both come from the cache where `select` left them."""
    pixels = Rows(images.prepared, images.rows["pixels"].to_numpy(np.int64))
    sha256s = images.rows["sha256"].tolist()
    ours = cached_features(build_backbone(ref, ws.root), ref, pixels, sha256s, ws.cache)
    return Features(ours, cached_features(*random_control(ref, seed, ws.cache), pixels, sha256s, ws.cache))
