"""The evaluation as a whole: which images, both models' scores, the comparison and the worst mistakes."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from tasks.contracts.errors import BadData
from tasks.contracts.model_records import EvaluationReport, Mistake, Scores
from tasks.contracts.records import Statistic
from tasks.contracts.samples import usable
from tasks.evaluate.comparison import accuracy_difference
from tasks.evaluate.findings import (
    collapse_findings,
    coverage_findings,
    gain_findings,
    never_called_findings,
    ranking_findings,
)
from tasks.evaluate.metrics import NO_CONTROL, Floats, Ints, scores, wilson
from tasks.evaluate.ranking import ranking

WORST = 20


@dataclass(frozen=True)
class HeldOut:
    """The kept test images in a fixed order: `rows` of `checked.parquet` and `targets`, indices into `classes`.

    `majority` is the most frequent class of the training split (the first of equals), None without training images.
    """

    rows: pd.DataFrame
    targets: Ints
    classes: tuple[str, ...]
    majority: int | None


@dataclass(frozen=True)
class Metrics:
    """The flat numbers of `reports/metrics.json`, which `dvc metrics` compares; None where not measured."""

    accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    macro_f1: float | None
    log_loss: float | None
    calibration_error: float | None
    balanced_accuracy: float | None
    auroc: float | None
    scratch_accuracy: float | None
    majority_accuracy: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    trivial_accuracy: float | None
    trivial_difference: float | None
    corruption_loss: float | None
    scratch_corruption_loss: float | None
    test_images: int


def select_test(checked: pd.DataFrame, classes: tuple[str, ...]) -> HeldOut:
    """The kept rows of the test split by content hash, so that the order does not follow file names.

    Raises BadData where a test image has a label that is not among the model's `classes`.
    """
    rows = usable(checked, "test")
    index = {label: i for i, label in enumerate(classes)}
    unknown = rows[~rows["label"].isin(classes)]
    if len(unknown):
        path, label = unknown.iloc[0][["path", "label"]]
        raise BadData(
            f"{path}: its label {label!r} is in the test split but the model was not trained on it; "
            "add training images of this class, then `graft run`"
        )
    targets = np.array([index[label] for label in rows["label"]], dtype=np.int64)
    counts = usable(checked, "train")["label"].value_counts()
    seen = [int(counts.get(label, 0)) for label in classes]
    return HeldOut(rows, targets, classes, int(np.argmax(seen)) if any(seen) else None)


def evaluate(split: HeldOut, candidate: Floats, scratch: Floats | None, resamples: int, seed: int) -> EvaluationReport:
    """Score both models' probabilities, each (n, k) in the order of `split.rows`, and compare them image by image.

    Without a control there is no comparison.
    """
    streams = np.random.default_rng(seed).spawn(3)
    ours = _scores(split, candidate, streams[0], resamples)
    control = None if scratch is None else _scores(split, scratch, streams[1], resamples)
    difference = Statistic("accuracy_difference", None, len(split.targets), status="skipped", estimator=NO_CONTROL)
    if scratch is not None:
        right = tuple(_called(one) == split.targets for one in (candidate, scratch))
        difference = accuracy_difference(right[0], right[1], streams[2], resamples)
    return EvaluationReport(
        classes=split.classes,
        candidate=ours,
        scratch=control,
        majority=_majority(split),
        difference=difference,
        mistakes=worst_mistakes(split, candidate),
        findings=(
            *gain_findings(difference),
            *collapse_findings("candidate", ours, split.classes),
            *(collapse_findings("scratch", control, split.classes) if control else ()),
            *never_called_findings(ours, split.classes),
            *ranking_findings(ours),
            *coverage_findings(ours),
        ),
    )


def worst_mistakes(split: HeldOut, probabilities: Floats) -> tuple[Mistake, ...]:
    """The WORST most confident wrong answers, the most confident first."""
    called = _called(probabilities)
    wrong = np.flatnonzero(called != split.targets)
    ranked = sorted(wrong, key=lambda i: (-probabilities[i, called[i]], split.rows["path"].iloc[i]))
    return tuple(
        Mistake(
            path=str(split.rows["path"].iloc[i]),
            sha256=str(split.rows["sha256"].iloc[i]),
            label=split.classes[split.targets[i]],
            predicted=split.classes[called[i]],
            confidence=float(probabilities[i, called[i]]),
        )
        for i in ranked[:WORST]
    )


def flat(report: EvaluationReport) -> Metrics:
    """The numbers of `report` that are followed from run to run."""
    ours = report.candidate
    return Metrics(
        accuracy=ours.accuracy.value,
        accuracy_low=ours.accuracy.low,
        accuracy_high=ours.accuracy.high,
        macro_f1=ours.macro_f1.value,
        log_loss=ours.log_loss.value,
        calibration_error=ours.calibration_error.value,
        balanced_accuracy=_value(ours.balanced_accuracy),
        auroc=_value(ours.auroc),
        scratch_accuracy=report.scratch.accuracy.value if report.scratch else None,
        majority_accuracy=report.majority.value,
        difference=report.difference.value,
        difference_low=report.difference.low,
        difference_high=report.difference.high,
        trivial_accuracy=_value(report.trivial),
        trivial_difference=_value(report.trivial_difference),
        corruption_loss=_value(report.robustness.candidate_loss) if report.robustness else None,
        scratch_corruption_loss=_value(report.robustness.scratch_loss) if report.robustness else None,
        test_images=ours.accuracy.n,
    )


def _scores(split: HeldOut, probabilities: Floats, rng: np.random.Generator, resamples: int) -> Scores:
    found = scores(probabilities, split.targets, split.classes, rng, resamples)
    ranked = ranking(probabilities, split.targets, rng, resamples)
    per_class = (replace(one, auroc=auroc) for one, auroc in zip(found.per_class, ranked.per_class, strict=True))
    return replace(found, per_class=tuple(per_class), balanced_accuracy=ranked.balanced_accuracy, auroc=ranked.auroc)


def _called(probabilities: Floats) -> Ints:
    called: Ints = probabilities.argmax(axis=1).astype(np.int64)
    return called


def _value(statistic: Statistic | None) -> float | None:
    return None if statistic is None else statistic.value


def _majority(split: HeldOut) -> Statistic:
    if split.majority is None:
        return Statistic("majority_accuracy", None, 0, status="not_measurable", estimator="Wilson")
    return wilson("majority_accuracy", int((split.targets == split.majority).sum()), len(split.targets))
