"""The backbone panel as one drawing: a column for each backbone, a row for each task, a dot for each arm."""

import numpy as np
import pandas as pd

from benchmarks.figures import NAMES, Interval, by_task, interval, wide

_INK = {
    "raw": "#999999",
    "random": "#b58900",
    "frozen": "#268bd2",
    "fine_tuned": "#d33682",
    "scratch": "#2aa198",
}
_LEFT, _TOP, _WIDTH, _GAP, _ROW = 130, 78, 270, 26, 32  # px
_LEGEND = 3, 112, 18  # entries in a line, px between them and between lines
_TICKS = range(0, 101, 25)


def drawing(table: pd.DataFrame) -> str:
    """The whole as SVG, readable on light and on dark ground."""
    backbones = list(table["backbone"].unique())
    accuracies = {name: wide(table[table["backbone"] == name]) for name in backbones}
    first = accuracies[backbones[0]]
    tasks = [task for task, _ in by_task(first.iloc[:, 0])]
    bottom = _TOP + len(tasks) * _ROW
    parts = [_text(_LEFT - 12, _middle(row), f"{name} {each}", "end") for row, (name, each) in enumerate(tasks)]
    parts += [_line(6, y, _LEFT + len(backbones) * (_WIDTH + _GAP), y) for y in _separators(tasks)]
    for place, (name, found) in enumerate(accuracies.items()):
        left = _LEFT + place * (_WIDTH + _GAP)
        parts.append(_text(left + _WIDTH / 2, _TOP - 12, name.removeprefix("embedded/"), "middle"))
        for tick in _TICKS:
            x = left + tick / 100 * _WIDTH
            parts += [_line(x, _TOP, x, bottom), _text(x, bottom + 16, str(tick), "middle")]
        parts += _dots(found, left)
    parts += _legend([arm for arm in _INK if arm in first])
    size = f"{_LEFT + len(backbones) * (_WIDTH + _GAP)} {bottom + 44}"
    parts.append(_text(_LEFT, bottom + 36, "test accuracy in %, mean and 95 % t interval over seeds", "start"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, "<title>Backbones on the panel</title>", *parts, "</svg>", ""])


def _dots(found: pd.DataFrame, left: float) -> list[str]:
    parts = []
    arms = [arm for arm in _INK if arm in found]
    for lane, arm in enumerate(arms):
        for row, (_, values) in enumerate(by_task(found[arm])):
            y = _middle(row) + (lane - (len(arms) - 1) / 2) * 5
            parts += _dot(interval(values), left, y, _INK[arm])
    return parts


def _dot(one: Interval, left: float, y: float, ink: str) -> list[str]:
    low, middle, high = (left + np.clip(value, 0, 100) / 100 * _WIDTH for value in (one.low, one.mean, one.high))
    bar = f'<path d="M{low:.1f} {y:.1f}H{high:.1f}" stroke="{ink}" stroke-width="1.5"/>' if np.isfinite(low) else ""
    return [bar, f'<circle cx="{middle:.1f}" cy="{y:.1f}" r="2.6" fill="{ink}"/>']


def _legend(arms: list[str]) -> list[str]:
    parts = []
    in_line, across, down = _LEGEND
    for place, arm in enumerate(arms):
        x, y = _LEFT + place % in_line * across, 16 + place // in_line * down
        parts += [f'<circle cx="{x}" cy="{y}" r="4" fill="{_INK[arm]}"/>', _text(x + 9, y, NAMES[arm], "start")]
    return parts


def _separators(tasks: list[tuple[str, int]]) -> list[int]:
    """Where one image set ends and the next one begins."""
    starts = [row for row, (name, _) in enumerate(tasks) if row == 0 or tasks[row - 1][0] != name]
    return [_TOP + row * _ROW for row in [*starts, len(tasks)]]


def _middle(row: int) -> float:
    return _TOP + (row + 0.5) * _ROW


def _line(left: float, top: float, right: float, bottom: float) -> str:
    return f'<path d="M{left:.1f} {top:.1f}L{right:.1f} {bottom:.1f}" stroke="#888" stroke-opacity=".35"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y + 4:.1f}" text-anchor="{anchor}" fill="#777">{text}</text>'
