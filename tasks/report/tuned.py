"""What `graft tune` tried: its course over the trials, what mattered, and every trial."""

import math
from dataclasses import dataclass

from tasks.report.charts import Axis, Tick
from tasks.report.numbers import count, decimal, percent, words
from tasks.report.sources import Report

_TONES = {"fine_tuning": "accent", "feature_extraction": "second", "scratch": "plain"}
_FINE, _COARSE = 10, 5  # steps of the axis of accuracy from 0 to 1: coarse where fine ones are too many
_MOST_TICKS = 6
MOST_TRIALS = 300


@dataclass(frozen=True)
class Point:
    """A trial in the chart, in per cent from the left and from the top; `cut` where it was stopped."""

    x: float
    y: float
    strategy: str
    tone: str
    cut: bool


@dataclass(frozen=True)
class Course:
    """Accuracy on val over the trials: points, the best so far as a line of steps, and the present setting's."""

    summary: str
    points: tuple[Point, ...]
    record: tuple[tuple[float, float], ...]
    present: float
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    strategies: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Weight:
    """A setting and its share of the variance, in words and as the width of a bar."""

    setting: str
    text: str
    width: float


@dataclass(frozen=True)
class Weights:
    """What mattered under a strategy; no rows where too few trials finished to tell."""

    strategy: str
    trials: int
    rows: tuple[Weight, ...]


@dataclass(frozen=True)
class Row:
    """One trial in the table."""

    number: int
    strategy: str
    state: str
    accuracy: str
    loss: str
    epochs: int
    seconds: str
    settings: str
    is_best: bool


@dataclass(frozen=True)
class Tuned:
    """The section; `gain` says in images how the best differs from the present settings."""

    course: Course
    weights: tuple[Weights, ...]
    rows: tuple[Row, ...]
    rest: int
    best: str
    present: str
    gain: str


def tuned(tuning: Report) -> Tuned:
    """The views of `tuning.json`."""
    trials = tuning["trials"]
    best, present = (trials[tuning[which]]["outcome"] for which in ("best", "present"))
    more = round((best["val_accuracy"] - present["val_accuracy"]) * tuning["val_images"])
    return Tuned(
        course=course(tuning),
        weights=tuple(_weights(one) for one in tuning["importances"]),
        rows=tuple(_row(one, tuning["best"]) for one in trials[:MOST_TRIALS]),
        rest=max(0, len(trials) - MOST_TRIALS),
        best=percent(best["val_accuracy"]),
        present=percent(present["val_accuracy"]),
        gain=f"{count(more)} more of {count(tuning['val_images'])} images right" if more else "as many images right",
    )


def course(tuning: Report) -> Course:
    """The chart of all trials that reached an epoch's end; the axis is cut to where they lie."""
    trials = [one for one in tuning["trials"] if one["outcome"]["val_accuracy"] is not None]
    accuracies = [one["outcome"]["val_accuracy"] for one in trials]
    levels = _levels(min(accuracies), max(accuracies))
    up, across = Axis(levels[0], levels[-1], "percent"), Axis(0, max(1, tuning["trials"][-1]["number"]), "count")

    def top(accuracy: float) -> float:
        return round(100 - up.at(accuracy), 2)

    record: list[tuple[float, float]] = []
    for one in trials:
        accuracy = one["outcome"]["val_accuracy"]
        if one["outcome"]["state"] == "finished" and (not record or top(accuracy) < record[-1][1]):
            record += [(across.at(one["number"]), y) for y in (*(y for _, y in record[-1:]), top(accuracy))]
    numbers = sorted({round(i * across.high / _MOST_TICKS) for i in range(_MOST_TICKS + 1)})
    present, best = (tuning["trials"][tuning[which]]["outcome"]["val_accuracy"] for which in ("present", "best"))
    return Course(
        summary=f"Accuracy on val of {len(trials)} trials: {percent(min(accuracies))} to {percent(max(accuracies))}; "
        f"the present settings have {percent(present)}, the best {percent(best)}.",
        points=tuple(
            Point(
                across.at(one["number"]),
                top(one["outcome"]["val_accuracy"]),
                one["strategy"],
                _TONES[one["strategy"]],
                one["outcome"]["state"] != "finished",
            )
            for one in trials
        ),
        record=(*record, (100.0, record[-1][1])),
        present=top(present),
        across=tuple(Tick(across.at(number), str(number)) for number in numbers),
        up=tuple(Tick(top(level), f"{100 * level:.0f} %") for level in levels),
        strategies=tuple((name, tone) for name, tone in _TONES.items() if any(t["strategy"] == name for t in trials)),
    )


def _levels(least: float, most: float) -> tuple[float, ...]:
    """Round accuracies, at least two, from just below the least to just above the greatest."""
    for steps in (_FINE, _COARSE):
        low, high = math.floor(least * steps + 1e-9), math.ceil(most * steps - 1e-9)
        if high - low <= _MOST_TICKS:
            break
    high = max(high, 1)
    low = min(low, high - 1)
    return tuple(step / steps for step in range(low, high + 1))


def _weights(one: Report) -> Weights:
    measured = [share for share in one["shares"] if share["value"] is not None]
    rows = tuple(
        Weight(_short(share["name"]), percent(share["value"]), round(100 * share["value"], 2)) for share in measured
    )
    return Weights(words(one["strategy"]), one["trials"], rows)


def _row(one: Report, best: int) -> Row:
    outcome = one["outcome"]
    state = words(outcome["state"]) + (", present settings" if one["is_present"] else "")
    return Row(
        number=one["number"],
        strategy=words(one["strategy"]),
        state=state,
        accuracy="none" if outcome["val_accuracy"] is None else percent(outcome["val_accuracy"]),
        loss="none" if outcome["val_loss"] is None else decimal(outcome["val_loss"]),
        epochs=outcome["epochs"],
        seconds=decimal(outcome["seconds"]),
        settings=", ".join(f"{_short(key)} {_said(value)}" for key, value in one["settings"].items()),
        is_best=one["number"] == best,
    )


def _short(key: str) -> str:
    """`train.fine_tuning.layer_decay` -> `layer decay`."""
    return words(key.rpartition(".")[2])


def _said(value: bool | int | float | str) -> str:
    return (
        ("yes" if value else "no")
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
