"""What calibration is worth on the test images: stated confidence before and after, the sets, and false alarms."""

import numpy as np
import pandas as pd

from tasks.calibrate.calibration import COVERAGE, Calibration, save_calibration
from tasks.calibrate.conformal import least_images
from tasks.calibrate.fit import Given, calibrate, given_of
from tasks.calibrate.temperature import probabilities
from tasks.contracts.model_records import Scores
from tasks.contracts.prepared import Pixels
from tasks.contracts.records import Section, Statistic
from tasks.contracts.workspace import Workspace
from tasks.evaluate.evaluation import HeldOut
from tasks.evaluate.metrics import Floats, Ints, scores, wilson
from tasks.train.predictor import Loaded

NAME = "calibration"
_QUESTION = "Does the model know how sure it may be, and when an image is none of its business?"


def calibration_section(
    ws: Workspace,
    split: HeldOut,
    images: tuple[pd.DataFrame, Pixels],
    candidate: tuple[Loaded, Scores],
    bootstrap: tuple[np.random.Generator, int],
) -> Section:
    """Calibrate the candidate, write `models/calibration`, and report it on the test images of `split`.

    `images` are what `open_checked` gives; `candidate` comes with its scores as it is; `bootstrap`: randomness,
    resamples.
    """
    (model, before), (checked, prepared) = candidate, images
    net, backbone = model.net, model.backbone
    calibration = calibrate(net, backbone, split.classes, checked, prepared, ws.cache)
    save_calibration(ws.calibration, calibration)
    if split.rows.empty:
        return Section(NAME, _QUESTION, (_temperature(calibration),))
    test = given_of(net, backbone, prepared, split.rows, ws.cache)
    found = probabilities(test.logits, calibration.record.temperature)
    after = scores(found, split.targets, split.classes, *bootstrap)
    kept = (
        _called(before.calibration_error, "before"),
        _called(after.calibration_error, "after"),
        _called(before.log_loss, "before"),
        _called(after.log_loss, "after"),
    )
    return Section(
        NAME,
        _QUESTION,
        (
            _temperature(calibration),
            *kept,
            *_sets(calibration, found, split.targets, test.draws),
            _flags(calibration, test),
        ),
    )


def _temperature(calibration: Calibration) -> Statistic:
    record = calibration.record
    return Statistic("temperature", record.temperature, record.val_images, estimator="least log-loss on val")


def _called(statistic: Statistic, when: str) -> Statistic:
    return Statistic(**{**vars(statistic), "name": f"{statistic.name.replace('_', ' ')}, {when} temperature scaling"})


def _sets(calibration: Calibration, found: Floats, targets: Ints, draws: Floats) -> tuple[Statistic, ...]:
    """Coverage of the sets at COVERAGE, and how often one names a single class."""
    names = (f"sets for {COVERAGE:.0%} of images: hold the right class", f"sets for {COVERAGE:.0%}: of one class")
    if len(calibration.scores) < least_images(COVERAGE):
        why = f"{least_images(COVERAGE)} images in val and promotion are needed, there are {len(calibration.scores)}"
        return tuple(Statistic(name, None, len(targets), status="too_small", estimator=why) for name in names)
    sets = calibration.sets(found, COVERAGE, draws)
    counts = (sets[np.arange(len(targets)), targets], sets.sum(axis=1) == 1)
    return tuple(wilson(name, int(count.sum()), len(targets)) for name, count in zip(names, counts, strict=True))


def _flags(calibration: Calibration, test: Given) -> Statistic:
    name, strange = "flagged as unlike the training images", calibration.strangeness(test.features, test.looks)
    if strange is None:
        n, needed = calibration.record.held_back, least_images(1 - calibration.record.false_flags)
        why = f"{needed} images in val and promotion are needed, there are {n}"
        return Statistic(name, None, len(test.looks), status="too_small", estimator=why)
    return wilson(name, int((strange > 1).sum()), len(strange))
