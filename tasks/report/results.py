"""The tables and charts about the model: training, classes, confusions, calibration, worst errors."""

from dataclasses import dataclass

from tasks.report.charts import SHARE, LineChart, Mark, line_chart, mark
from tasks.report.sources import Report
from tasks.report.thumbnails import Thumbnails

LARGEST_HEAT_TABLE = 20
MOST_CONFUSED = 25
MOST_CLASSES = 200
HEAT_LEVELS = 8
_THUMBNAIL_PX = 112


@dataclass(frozen=True)
class ClassResult:
    """One class on the test split."""

    label: str
    n: int
    recall: Mark
    precision: float | None
    f1: float | None
    auroc: Report | None


@dataclass(frozen=True)
class HeatRow:
    """A class's test images by what they were called: (images, level 0 to HEAT_LEVELS, is it the right answer)."""

    label: str
    cells: tuple[tuple[int, int, bool], ...]
    total: int


@dataclass(frozen=True)
class Confused:
    """Images of one class that were called another; `share` of that class's test images."""

    label: str
    predicted: str
    images: int
    share: float


@dataclass(frozen=True)
class Dot:
    """Predictions of similar confidence in the reliability diagram; places and radius in per cent and px."""

    x: float
    y: float
    radius: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Error:
    """A confident mistake with its preview."""

    path: str
    label: str
    predicted: str
    confidence: float
    thumbnail: str | None


def training_charts(training: Report) -> list[LineChart]:
    """Losses, and validation accuracy, over the epochs; none where no epoch was run."""
    history = training["history"]
    if not history:
        return []
    epochs = [epoch["epoch"] for epoch in history]
    losses = {name: [e[key] for e in history] for name, key in (("training", "train_loss"), ("validation", "val_loss"))}
    accuracy = {"validation": [epoch["val_accuracy"] for epoch in history]}
    best = training["best_epoch"]
    return [
        line_chart("Loss (nats)", losses, epochs, best, "decimal"),
        line_chart("Accuracy", accuracy, epochs, best, "percent"),
    ]


def class_results(evaluation: Report) -> tuple[list[ClassResult], int]:
    """Each class, weakest recall first (unmeasured last), at most MOST_CLASSES; and how many more there are."""
    ranked = sorted(evaluation["candidate"]["per_class"], key=_weakest_first)
    rows = [
        ClassResult(
            one["label"], one["n"], mark(one["label"], one["recall"]), one["precision"], one["f1"], one.get("auroc")
        )
        for one in ranked[:MOST_CLASSES]
    ]
    return rows, max(0, len(ranked) - MOST_CLASSES)


def heat_table(evaluation: Report) -> list[HeatRow] | None:
    """The confusion matrix with a shade for each cell; None where it would be too wide to read."""
    classes, table = evaluation["classes"], evaluation["candidate"]["confusion"]
    if len(classes) > LARGEST_HEAT_TABLE:
        return None
    return [
        HeatRow(label, tuple((n, _level(n, sum(row)), i == j) for j, n in enumerate(row)), sum(row))
        for i, (label, row) in enumerate(zip(classes, table, strict=True))
    ]


def most_confused(evaluation: Report) -> tuple[list[Confused], int]:
    """The pairs of classes that are mixed up most often, at most MOST_CONFUSED; and how many more there are."""
    classes, table = evaluation["classes"], evaluation["candidate"]["confusion"]
    pairs = [
        Confused(label, classes[j], images, images / sum(row))
        for i, (label, row) in enumerate(zip(classes, table, strict=True))
        for j, images in enumerate(row)
        if images and i != j
    ]
    pairs.sort(key=lambda pair: (-pair.images, -pair.share))
    return pairs[:MOST_CONFUSED], max(0, len(pairs) - MOST_CONFUSED)


def reliability(evaluation: Report) -> list[Dot]:
    """One dot for each bin that holds predictions; its area follows their number."""
    bins = [one for one in evaluation["candidate"]["calibration"] if one["n"]]
    most = max((one["n"] for one in bins), default=1)
    return [
        Dot(
            x=SHARE.at(one["confidence"]),
            y=round(100 - SHARE.at(one["accuracy"]), 2),
            radius=round(3 + 9 * (one["n"] / most) ** 0.5, 2),
            n=one["n"],
            confidence=one["confidence"],
            accuracy=one["accuracy"],
        )
        for one in bins
    ]


def worst_errors(evaluation: Report, thumbnails: Thumbnails) -> list[Error]:
    """The most confident mistakes."""
    return [
        Error(
            one["path"], one["label"], one["predicted"], one["confidence"], thumbnails.of(one["sha256"], _THUMBNAIL_PX)
        )
        for one in evaluation["mistakes"]
    ]


def _weakest_first(one: Report) -> tuple[bool, float]:
    recall = one["recall"]["value"]
    return (True, 0.0) if recall is None else (False, recall)


def _level(images: int, total: int) -> int:
    """A shade from 0 (none) to HEAT_LEVELS (all); a single image is visible."""
    return max(1, round(HEAT_LEVELS * images / total)) if images else 0
