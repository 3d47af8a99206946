"""The backbone panel in figures: means with t intervals over seeds, and paired differences with what they answer."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

NAMES = {
    "raw": "raw pixels",
    "random": "random frozen",
    "frozen": "frozen",
    "fine_tuned": "fine-tuned",
    "scratch": "scratch, tuned",
    "auto": "auto",
}
QUESTIONS = (("frozen", "random"), ("frozen", "raw"), ("fine_tuned", "scratch"), ("auto", "scratch"))
CHOSEN_ON = ("digits", "faces", "photographs", "surfaces", "letters", "signs")  # or on sets much like these
_CHOICES = ("head", "fine_tuned", "scratch")  # of auto
_TASK = ["problem", "each"]


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % t interval; without one where there is a single value."""

    low: float
    mean: float
    high: float


def interval(values: pd.Series) -> Interval:
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(np.nan, mean, np.nan)
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std() / np.sqrt(len(values)))
    return Interval(mean - half, mean, mean + half)


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracies by problem, each and seed in the rows, arms in the columns; `auto` where its choices are there."""
    found = table.pivot_table(index=[*_TASK, "seed"], columns="arm", values="test", sort=False)
    choices = table[table["arm"].isin(_CHOICES)]
    if choices["arm"].nunique() == len(_CHOICES):
        best = choices.sort_values("val", kind="stable").groupby([*_TASK, "seed"]).tail(1)
        found["auto"] = best.set_index([*_TASK, "seed"])["test"]
    return found[[arm for arm in NAMES if arm in found]]


def means(table: pd.DataFrame) -> str:
    """A task in each row, an arm in each column, as markdown."""
    found = wide(table)
    lines = [["", "each", *(NAMES[arm] for arm in found)]]
    for (problem, each), rows in found.groupby(level=_TASK, sort=False):
        lines.append([problem, str(each), *(_accuracy(interval(rows[arm])) for arm in found)])
    lines.append(["mean", "", *(f"{value:.1f}" for value in found.mean())])
    return _markdown(lines)


def differences(table: pd.DataFrame) -> str:
    """A task in each row, a question in each column; then the mean over tasks, and how many are beyond zero."""
    found = wide(table)
    asked = [(better, worse) for better, worse in QUESTIONS if better in found and worse in found]
    gains = {pair: found[pair[0]] - found[pair[1]] for pair in asked}
    lines = [["", "each", *(f"{NAMES[better]} - {NAMES[worse]}" for better, worse in asked)]]
    of_pair = {pair: {task: interval(rows) for task, rows in by_task(gain)} for pair, gain in gains.items()}
    for problem, each in next(iter(of_pair.values()), {}):
        lines.append([problem, str(each), *(_gain(tasks[problem, each]) for tasks in of_pair.values())])
    over = {pair: gain.groupby(level="problem").mean() for pair, gain in gains.items()}
    lines.append(["mean over sets", "", *(_gain(interval(of_sets)) for of_sets in over.values())])
    unseen = {pair: of_sets[~of_sets.index.isin(CHOSEN_ON)] for pair, of_sets in over.items()}
    lines.append(["those that no recipe was chosen on", "", *(_gain(interval(one)) for one in unseen.values())])
    lines.append(["interval above zero", "", *(_count(tasks) for tasks in of_pair.values())])
    lines.append(["least", "", *(f"{min(one.mean for one in tasks.values()):+.1f}" for tasks in of_pair.values())])
    return _markdown(lines)


def by_task(values: pd.Series) -> list[tuple[tuple[str, int], pd.Series]]:
    """The values of each task, in their order."""
    return list(values.groupby(level=_TASK, sort=False))


def _count(tasks: dict[tuple[str, int], Interval]) -> str:
    return f"{sum(one.low > 0 for one in tasks.values())} of {len(tasks)}"


def _accuracy(one: Interval) -> str:
    return f"{one.mean:.1f} ±{one.high - one.mean:.1f}" if np.isfinite(one.high) else f"{one.mean:.1f}"


def _gain(one: Interval) -> str:
    return f"{one.mean:+.1f} ({one.low:+.1f} to {one.high:+.1f})" if np.isfinite(one.low) else f"{one.mean:+.1f}"


def card(table: pd.DataFrame) -> dict[str, float | int]:
    """What a backbone's card says of it: accuracies in %, means over tasks and seeds."""
    found = wide(table)
    names = {"raw": "raw_pixels", "random": "random_frozen"}
    means_of = {names.get(arm, arm): round(float(value), 1) for arm, value in found.mean().items()}
    seeds = found.index.get_level_values("seed").nunique()
    return {"tasks": found.groupby(level=_TASK).ngroups, "seeds": seeds, **means_of}


def _markdown(lines: list[list[str]]) -> str:
    rule = ["---"] * len(lines[0])
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))
