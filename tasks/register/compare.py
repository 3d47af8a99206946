"""A new bundle against the champion, on the promotion split."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.backbone.features import Rows
from tasks.contracts.files import read_table
from tasks.contracts.params import RegisterParams
from tasks.contracts.prepared import Pixels, open_checked
from tasks.contracts.samples import usable
from tasks.contracts.workspace import Workspace
from tasks.predict.predict import predict_prepared, predict_samples
from tasks.register.bundle import Bundle, load_bundle
from tasks.register.decision import Decision
from tasks.register.gates import Answers, calibrated, groups, light, nobody_worse_off, quick
from tasks.register.promotion import Correct, Paired, Rule, decide


@dataclass(frozen=True)
class Standing:
    """A registered version's bundle and the table of checked samples that it was made from."""

    bundle: Path
    data: Path


@dataclass(frozen=True)
class Offer:
    """The new bundle, loaded, and ms for a single image; `begin_look` counts the look."""

    bundle: Bundle
    begin_look: Callable[[], int]
    single_ms: float


def compare(ws: Workspace, champion: Standing, anchor: Standing, params: RegisterParams, offer: Offer) -> Decision:
    """Predict the promotion split with `models/bundle`, which is offered, the champion and the anchor; apply the rule.

    Of images that belong together (copies, one patient) the first stands for all: they are no independent evidence.
    The look is counted before any answer is there, and not where a bundle cannot be loaded.
    """
    checked, prepared = open_checked(ws)
    rows = usable(checked, "promotion").drop_duplicates("component")
    if rows.empty:
        return Decision(False, "the promotion split is empty, so nothing can be compared")
    bundles = {folder: load_bundle(folder) for folder in {champion.bundle, anchor.bundle}}  # often one and the same
    bundles[ws.bundle] = offer.bundle
    look = offer.begin_look()
    said = {folder: _answers(bundle, ws, rows, prepared) for folder, bundle in bundles.items()}
    ours, theirs, first = said[ws.bundle], said[champion.bundle], said[anchor.bundle]
    paired = Paired(
        candidate=ours.right,
        champion=theirs.right,
        anchor=first.right,
        is_old=_known(anchor, rows),
        is_new=~_known(champion, rows),
    )
    told = rows.assign(**{"meta_known to the champion": ~paired.is_new})
    gates = (
        nobody_worse_off(ours.right, theirs.right, groups(told), params.level),
        calibrated(ours, params.max_calibration_error),
        quick(offer.single_ms, params.max_latency_ms),
        light(ws.bundle, params.max_megabytes),
    )
    return decide(paired, Rule(params.margin, params.level, look), gates)


def _answers(bundle: Bundle, ws: Workspace, rows: pd.DataFrame, prepared: Pixels) -> Answers:
    """From the prepared pixels where the bundle takes them of that side, else from the files."""
    if int(bundle.record["preprocessing"]["prepared_px"]) == prepared.shape[1]:
        pixels = Rows(prepared, rows["pixels"].to_numpy(np.int64))
        found = predict_prepared(bundle, pixels, rows["sha256"].tolist(), ws.cache)
    else:
        found = predict_samples(bundle, ws.raw, rows)
    right = np.array([one.label == label for one, label in zip(found, rows["label"], strict=True)])
    return Answers(right, np.array([one.probability or 0.0 for one in found]))


def _known(version: Standing, rows: pd.DataFrame) -> Correct:
    """Which images the version's data had."""
    return rows["sha256"].isin(set(read_table(version.data)["sha256"])).to_numpy(dtype=bool)
