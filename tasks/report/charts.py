"""Where marks go in a chart: everything in per cent of its box, so that the drawing scales and its text does not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.report.numbers import decimal, percent, value_with_interval


@dataclass(frozen=True)
class Mark:
    """A dot with its interval on an axis; positions in per cent, None where nothing was measured."""

    label: str
    note: str
    text: str
    tone: str
    at: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Tick:
    """A line across the chart and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Line:
    """One named series: its points in per cent from the left and from the top."""

    name: str
    tone: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class LineChart:
    """Lines over epochs with both axes; `best` is where the kept epoch lies."""

    title: str
    summary: str
    lines: tuple[Line, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    best: float | None


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high` along a chart, read in `unit`."""

    low: float
    high: float
    unit: str

    def at(self, value: float) -> float:
        """The place of `value` in per cent, held inside the chart; rounded, so that pages stay small."""
        span = self.high - self.low
        place = 100 * (value - self.low) / span if span > 0 else 50.0
        return round(min(100.0, max(0.0, place)), 2)


SHARE = Axis(0.0, 1.0, "percent")
STRENGTH = Axis(0.0, 1.0, "decimal")


def mark(label: str, statistic: Mapping[str, Any], axis: Axis = SHARE, tone: str = "plain", note: str = "") -> Mark:
    """A statistic as a mark on `axis`."""
    text = value_with_interval(statistic, axis.unit)
    if statistic["value"] is None:
        return Mark(label, note, text, tone, None)
    ends = (None if end is None else axis.at(end) for end in (statistic["low"], statistic["high"]))
    return Mark(label, note, text, tone, axis.at(statistic["value"]), *ends)


def axis_for(statistics: Sequence[Mapping[str, Any]], unit: str) -> Axis:
    """From 0 to just beyond the largest end."""
    ends = [s[end] for s in statistics for end in ("value", "high") if s[end] is not None]
    return Axis(0.0, 1.1 * max([*ends, 1e-9]), unit)


def line_chart(
    title: str, series: Mapping[str, Sequence[float]], epochs: Sequence[int], best: int, unit: str
) -> LineChart:
    """Series over `epochs`; `unit` is `percent` (axis from 0 to 1) or `decimal` (axis from 0 to the maximum)."""
    steps = (0.0, 0.25, 0.5, 0.75, 1.0) if unit == "percent" else _steps(max(max(values) for values in series.values()))
    tallest = steps[-1]
    up, across = Axis(0.0, tallest, unit), Axis(min(epochs), max(epochs), "count")
    show = percent if unit == "percent" else decimal
    tones = ("accent", "second", "plain")
    lines = tuple(
        Line(name, tone, tuple((across.at(x), round(100 - up.at(y), 2)) for x, y in zip(epochs, values, strict=True)))
        for tone, (name, values) in zip(tones, series.items(), strict=False)
    )
    told = "; ".join(f"{name} from {show(values[0])} to {show(values[-1])}" for name, values in series.items())
    return LineChart(
        title=title,
        summary=f"{title} over epochs {epochs[0]} to {epochs[-1]}: {told}. Best epoch: {best}.",
        lines=lines,
        across=tuple(Tick(across.at(x), str(x)) for x in _spread(epochs)),
        up=tuple(Tick(round(100 - up.at(step), 2), _short(step, unit)) for step in steps),
        best=across.at(best) if min(epochs) <= best <= max(epochs) else None,
    )


def _steps(most: float) -> tuple[float, ...]:
    """Round values from 0 to at least `most`, at most six of them."""
    if most <= 0:
        return (0.0, 1.0)
    rough = most / 4
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough)
    return tuple(step * i for i in range(math.ceil(most / step - 1e-9) + 1))


def _short(value: float, unit: str) -> str:
    return f"{100 * value:.0f} %" if unit == "percent" else f"{value:g}"


def _spread(epochs: Sequence[int], most: int = 6) -> list[int]:
    """At most `most` of the epochs, evenly, the first and the last among them."""
    if len(epochs) <= most:
        return list(epochs)
    return [epochs[round(i * (len(epochs) - 1) / (most - 1))] for i in range(most)]
