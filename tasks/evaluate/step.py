"""Evaluate: the candidate and its control on the test split, which nothing before has looked at."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.backbone.weights import backbone_ref
from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.files import replacing, write_record, write_text
from tasks.contracts.params import EvaluateParams
from tasks.contracts.prepared import Pixels, open_checked
from tasks.contracts.records import read_json
from tasks.contracts.samples import usable
from tasks.contracts.workspace import Workspace
from tasks.evaluate.calibrating import calibration_section
from tasks.evaluate.evaluation import HeldOut, Metrics, evaluate, flat, select_test
from tasks.evaluate.inherited import Images, inherited_bias
from tasks.evaluate.metrics import Floats
from tasks.evaluate.mitigation import Trial, compared
from tasks.evaluate.outcomes import outcomes
from tasks.evaluate.plots import confusion_csv, history_csv
from tasks.train.model import UNMITIGATED
from tasks.train.predictor import predict_folder

VERSION = 3
_OUTCOMES, _MITIGATION, _CALIBRATION = 1, 2, 7  # streams of randomness below the seed


def run(ws: Workspace, params: EvaluateParams, seed: int) -> Metrics:
    """Score `models/candidate` and `models/scratch` on the kept test images.

    Writes `models/calibration/`, `reports/evaluation.json`, `reports/metrics.json` and `reports/plots/`.
    Raises BrokenArtifact where a model or a table is missing or broken, BadData on a class that the model lacks,
    BadUsage on an attribute that is not there.
    """
    model = read_json(ws.candidate / "model.json")
    if read_json(ws.scratch / "model.json")["classes"] != model["classes"]:
        raise BrokenArtifact(f"{ws.scratch} has other classes than {ws.candidate}; run `graft run --force train`")
    checked, prepared = open_checked(ws)
    split = select_test(checked, tuple(model["classes"]))
    pixels = _pixels(prepared, split)
    candidate = _probabilities(ws.candidate, pixels, split)
    scratch = _probabilities(ws.scratch, pixels, split)
    report = evaluate(split, candidate, scratch, params.resamples, seed)
    sections, found = outcomes(split, candidate, params, np.random.default_rng([seed, _OUTCOMES]))
    train = Images(usable(checked, "train"), prepared)
    brought, more = inherited_bias(ws, backbone_ref(model["backbone"]), train, params, seed)
    report = replace(report, sections=(*sections, brought), findings=(*report.findings, *found, *more))
    rng = np.random.default_rng([seed, _CALIBRATION])
    trusted = calibration_section(ws, split, (checked, prepared), report.candidate, (rng, params.resamples))
    report = replace(report, sections=(*report.sections, trusted))
    if (ws.candidate / UNMITIGATED).is_dir():
        trial = _trial(ws, (train.rows, split), pixels, params.resamples, seed)
        section, findings = compared(trial, read_json(ws.bias)["mitigations"])
        report = replace(report, sections=(*report.sections, section), findings=(*report.findings, *findings))
    metrics = flat(report)
    with replacing(ws.plots) as folder:
        folder.mkdir()
        write_text(folder / "history.csv", history_csv(model["history"]))
        write_text(folder / "confusion.csv", confusion_csv(split, candidate))
    write_record(ws.metrics, metrics)
    write_record(ws.evaluation, report)
    return metrics


def _trial(ws: Workspace, images: tuple[pd.DataFrame, HeldOut], pixels: Pixels, resamples: int, seed: int) -> Trial:
    """The candidate, and the same network without what was done against a bias."""
    rng, (train, split) = np.random.default_rng([seed, _MITIGATION]), images
    before, after = (
        partial(_probabilities, folder, split=split) for folder in (ws.candidate / UNMITIGATED, ws.candidate)
    )
    return Trial(before, after, train, split.rows, pixels, split.targets, resamples, rng)


def _pixels(prepared: Pixels, split: HeldOut) -> Pixels:
    rows = split.rows["pixels"].to_numpy(dtype=np.int64)
    outside = np.flatnonzero(rows < 0)
    if len(outside):
        path = split.rows["path"].iloc[outside[0]]
        raise BrokenArtifact(f"{path} is kept but has no prepared pixels; run `graft run --force quality`")
    return np.asarray(prepared[rows])


def _probabilities(model: Path, pixels: Pixels, split: HeldOut) -> Floats:
    """Rows add up to exactly 1 in double precision."""
    classes = len(split.classes)
    if not len(pixels):
        return np.empty((0, classes))
    raw = predict_folder(model, pixels).astype(np.float64)
    if raw.shape != (len(pixels), classes) or not np.isfinite(raw).all():
        raise BrokenArtifact(f"{model} gives no probabilities for {classes} classes; run `graft run --force train`")
    total: Floats = raw / raw.sum(axis=1, keepdims=True)
    return total
