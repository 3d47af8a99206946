"""The CSV tables that `dvc plots` draws."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from tasks.contracts.files import csv_safe
from tasks.evaluate.evaluation import HeldOut
from tasks.evaluate.metrics import Floats


def history_csv(history: Iterable[dict[str, Any]]) -> str:
    """The epochs of a model record as CSV."""
    columns = ("epoch", "train_loss", "val_loss", "val_accuracy")
    return _csv(columns, ([epoch[column] for column in columns] for epoch in history))


def confusion_csv(split: HeldOut, probabilities: Floats) -> str:
    """The actual and the predicted class of each test image as CSV."""
    called = probabilities.argmax(axis=1)
    pairs = zip(split.targets, called, strict=True)
    return _csv(("actual", "predicted"), ([split.classes[i], split.classes[j]] for i, j in pairs))


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([csv_safe(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return text.getvalue()
