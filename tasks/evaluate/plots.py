"""The CSV tables that `dvc plots` draws."""

from collections.abc import Iterable
from typing import Any

from tasks.contracts.csv_text import csv_text
from tasks.evaluate.evaluation import HeldOut
from tasks.evaluate.metrics import Floats


def history_csv(history: Iterable[dict[str, Any]]) -> str:
    """The epochs of a model record as CSV."""
    columns = ("epoch", "train_loss", "val_loss", "val_accuracy")
    return csv_text(columns, ([epoch[column] for column in columns] for epoch in history))


def confusion_csv(split: HeldOut, probabilities: Floats) -> str:
    """The actual and the predicted class of each test image as CSV."""
    called = probabilities.argmax(axis=1)
    pairs = zip(split.targets, called, strict=True)
    return csv_text(("actual", "predicted"), ([split.classes[i], split.classes[j]] for i, j in pairs))
