"""Accuracy on corrupted test images as small charts, one for each corruption: this model and the one from scratch."""

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.report.charts import SHARE, Axis, Line, Tick
from tasks.report.numbers import percent
from tasks.report.sources import Report


@dataclass(frozen=True)
class Panel:
    """One corruption: two lines from clean (0) to the greatest severity, and the same in words."""

    name: str
    family: str
    summary: str
    lines: tuple[Line, ...]
    across: tuple[Tick, ...]


def sturdiness(evaluation: Report) -> list[Panel]:
    """A panel for each corruption, in the order of the report; none where none was tried."""
    found = evaluation.get("robustness") or {"corruptions": ()}
    return [_panel(one) for one in found["corruptions"]]


def _panel(one: Report) -> Panel:
    series = {"this model": (one["candidate_clean"], *one["candidate"])}
    if one["scratch"]:  # empty where no control was trained
        series["from scratch"] = (one["scratch_clean"], *one["scratch"])
    across = Axis(0.0, float(len(one["candidate"])), "count")
    lines = tuple(
        Line(name, tone, _points(across, [rate["value"] for rate in rates]))
        for tone, (name, rates) in zip(("accent", "second"), series.items(), strict=False)
    )
    told = "; ".join(f"{name} {', '.join(percent(rate['value']) for rate in rates)}" for name, rates in series.items())
    return Panel(
        name=one["name"],
        family=one["family"],
        summary=f"Accuracy under {one['name']}, clean and by severity: {told}.",
        lines=lines,
        across=tuple(Tick(across.at(step), str(step)) for step in range(len(one["candidate"]) + 1)),
    )


def _points(across: Axis, values: Sequence[float]) -> tuple[tuple[float, float], ...]:
    return tuple((across.at(step), round(100 - SHARE.at(value), 2)) for step, value in enumerate(values))
