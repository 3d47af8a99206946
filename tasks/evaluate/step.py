"""Evaluate: the candidate and its control on the test split, which nothing before has looked at."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.backbone.features import Rows
from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.files import replacing, write_record, write_text
from tasks.contracts.model_records import EvaluationReport
from tasks.contracts.params import EvaluateParams
from tasks.contracts.prepared import Pixels, open_checked
from tasks.contracts.records import read_json
from tasks.contracts.samples import usable
from tasks.contracts.workspace import Workspace
from tasks.evaluate.baseline import against_baseline, best_baseline
from tasks.evaluate.calibrating import calibration_section
from tasks.evaluate.error_sheet import MOST_SHOWN, Shown, error_sheet
from tasks.evaluate.evaluation import HeldOut, Metrics, evaluate, flat, select_test
from tasks.evaluate.inherited import Images, inherited_bias
from tasks.evaluate.metrics import Floats
from tasks.evaluate.mitigation import Trial, compared
from tasks.evaluate.outcomes import outcomes
from tasks.evaluate.plots import confusion_csv, history_csv
from tasks.evaluate.robustness import Predict, Subject, robustness
from tasks.evaluate.saliency import saliency
from tasks.evaluate.slices import slices
from tasks.train.model import UNMITIGATED, is_trained
from tasks.train.predictor import Loaded, cached_outputs, chances, load, predict

VERSION = 4
# streams of randomness below the seed
_OUTCOMES, _MITIGATION, _TRIVIAL, _SLICES, _CORRUPTED, _CALIBRATION = 1, 2, 3, 4, 5, 7


@dataclass(frozen=True)
class _Asked:
    """A model and its probabilities (n, k) of the test images."""

    model: Loaded
    probabilities: Floats


@dataclass(frozen=True)
class _Tested:
    """Both models, the control where one was trained, and the prepared pixels of the test images, as in `split`."""

    ws: Workspace
    split: HeldOut
    pixels: Rows
    candidate: _Asked
    control: _Asked | None


def run(ws: Workspace, params: EvaluateParams, seed: int) -> Metrics:
    """Score `models/candidate`, and `models/scratch` where a control was trained, on the kept test images.

    Writes `models/calibration/`, `reports/evaluation.json`, `reports/metrics.json`, `reports/errors.jpg` and
    `reports/plots/`.
    Raises BrokenArtifact where a model or a table is missing or broken, BadData on a class that the model lacks,
    BadUsage on an attribute that is not there.
    """
    model = read_json(ws.candidate / "model.json")
    with_control = is_trained(ws.scratch)
    if with_control and read_json(ws.scratch / "model.json")["classes"] != model["classes"]:
        raise BrokenArtifact(f"{ws.scratch} has other classes than {ws.candidate}; run `graft run --force train`")
    checked, prepared = open_checked(ws)
    split = select_test(checked, tuple(model["classes"]))
    pixels = _pixels(prepared, split)
    ours = _asked(ws, ws.candidate, pixels, split)
    control = _asked(ws, ws.scratch, pixels, split) if with_control else None
    candidate, scratch = ours.probabilities, control.probabilities if control else None
    report = evaluate(split, candidate, scratch, params.resamples, seed)
    sections, found = outcomes(split, candidate, params, np.random.default_rng([seed, _OUTCOMES]))
    train = Images(usable(checked, "train"), prepared)
    brought, more = inherited_bias(ws, ours.model.backbone, train, params, seed)
    report = replace(report, sections=(*sections, brought), findings=(*report.findings, *found, *more))
    tested = _Tested(ws, split, pixels, ours, control)
    report = _against_trivial(report, tested, Images(checked, prepared), params, seed)
    report = _sliced(report, tested, params, seed)
    report = _corrupted(report, tested, params, seed)
    rng = np.random.default_rng([seed, _CALIBRATION])
    trusted = calibration_section(
        ws, split, (checked, prepared), (ours.model, report.candidate), (rng, params.resamples)
    )
    report = replace(report, sections=(*report.sections, trusted))
    if (ws.candidate / UNMITIGATED).is_dir():
        trial = _trial(ws, (train.rows, split), pixels, params.resamples, seed)
        section, findings = compared(trial, read_json(ws.bias)["mitigations"])
        report = replace(report, sections=(*report.sections, section), findings=(*report.findings, *findings))
    _draw_errors(report, tested)
    metrics = flat(report)
    with replacing(ws.plots) as folder:
        folder.mkdir()
        write_text(folder / "history.csv", history_csv(model["history"]))
        write_text(folder / "confusion.csv", confusion_csv(split, candidate))
    write_record(ws.metrics, metrics)
    write_record(ws.evaluation, report)
    return metrics


def _against_trivial(
    report: EvaluationReport, tested: _Tested, images: Images, params: EvaluateParams, seed: int
) -> EvaluationReport:
    """With the paired comparison with the best model that cannot see the subject."""
    baseline = best_baseline(tested.split, images.rows, images.prepared, tested.ws.cache)
    rng = np.random.default_rng([seed, _TRIVIAL])
    found = against_baseline(tested.split, tested.candidate.probabilities, baseline, rng, params.resamples)
    return replace(
        report,
        trivial=found.accuracy,
        trivial_difference=found.difference,
        findings=(*report.findings, *found.findings),
    )


def _sliced(report: EvaluationReport, tested: _Tested, params: EvaluateParams, seed: int) -> EvaluationReport:
    """With the slices that the candidate does worst on, first."""
    sections, findings = slices(
        tested.split, tested.candidate.probabilities, params, np.random.default_rng([seed, _SLICES])
    )
    return replace(report, sections=(*sections, *report.sections), findings=(*report.findings, *findings))


def _corrupted(report: EvaluationReport, tested: _Tested, params: EvaluateParams, seed: int) -> EvaluationReport:
    """With the accuracy of both models on corrupted images, where some are wanted and there are any."""
    each, targets = params.corrupted_images, tested.split.targets
    if not each or not len(targets):
        return report
    models = [tested.candidate, *([tested.control] if tested.control else [])]
    subject = Subject(
        models=tuple(_answering(one.model, tested.ws.cache) for one in models),
        clean=tuple(one.probabilities.argmax(axis=1) == targets for one in models),
        pixels=tested.pixels,
        targets=targets,
        sha256s=tuple(tested.split.rows["sha256"]),
    )
    found, section, findings = robustness(subject, each, (seed, _CORRUPTED), params.resamples)
    return replace(
        report, robustness=found, sections=(section, *report.sections), findings=(*report.findings, *findings)
    )


def _answering(model: Loaded, cache: Path) -> Predict:
    """The model's logits, which tell the same class as its probabilities."""
    return lambda pixels, keys: cached_outputs(model.net, model.backbone, pixels, keys, cache).logits


def _draw_errors(report: EvaluationReport, tested: _Tested) -> None:
    """The most confident mistakes with what spoke for them, as a picture."""
    split, told = tested.split, report.mistakes[:MOST_SHOWN]
    place = {path: i for i, path in enumerate(split.rows["path"])}
    at = np.array([place[one.path] for one in told], np.int64)
    called = tested.candidate.probabilities.argmax(axis=1)
    shown: list[Shown] = []
    if told:
        model = tested.candidate.model
        maps = saliency(model.net, model.backbone, tested.pixels[at], called[at])
        shown = [Shown(*one) for one in zip(told, tested.pixels[at], maps, strict=True)]
    with replacing(tested.ws.errors) as part:
        part.write_bytes(error_sheet(shown, int((called != split.targets).sum()), len(split.targets)))


def _trial(ws: Workspace, images: tuple[pd.DataFrame, HeldOut], pixels: Rows, resamples: int, seed: int) -> Trial:
    """The candidate, and the same network without what was done against a bias."""
    rng, (train, split) = np.random.default_rng([seed, _MITIGATION]), images
    before, after = (partial(_predicted, folder, split=split) for folder in (ws.candidate / UNMITIGATED, ws.candidate))
    return Trial(before, after, train, split.rows, pixels[:], split.targets, resamples, rng)


def _pixels(prepared: Pixels, split: HeldOut) -> Rows:
    """Of the test images, read when they are asked for: what is known of an image by its hash needs none."""
    rows = split.rows["pixels"].to_numpy(dtype=np.int64)
    outside = np.flatnonzero(rows < 0)
    if len(outside):
        path = split.rows["path"].iloc[outside[0]]
        raise BrokenArtifact(f"{path} is kept but has no prepared pixels; run `graft run --force quality`")
    return Rows(prepared, rows)


def _asked(ws: Workspace, folder: Path, pixels: Rows, split: HeldOut) -> _Asked:
    """The model in `folder`, and what it says of the test images as they are."""
    model = load(folder)
    made = cached_outputs(model.net, model.backbone, pixels, split.rows["sha256"].tolist(), ws.cache)
    return _Asked(model, _whole(folder, chances(made), split))


def _predicted(model: Path, pixels: Pixels, split: HeldOut) -> Floats:
    found = load(model)
    return _whole(model, predict(found.net, found.backbone, pixels), split)


def _whole(model: Path, found: NDArray[np.floating], split: HeldOut) -> Floats:
    """The probabilities in double precision, where rows add up to exactly 1."""
    classes, raw = len(split.classes), found.astype(np.float64)
    if raw.shape[1:] != (classes,) or not np.isfinite(raw).all():
        raise BrokenArtifact(f"{model} gives no probabilities for {classes} classes; run `graft run --force train`")
    total: Floats = raw / raw.sum(axis=1, keepdims=True)
    return total
