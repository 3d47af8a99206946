"""Works timed in turn, and what one costs beside another."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

Work = Callable[[int], object]  # gets the number of the round, so that no round finds what another left
PerSeconds = Callable[[float], float]


@dataclass(frozen=True)
class Cost:
    """Of one call: CPU seconds of all threads of this process and of those it started, and seconds on the clock."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Pair:
    """Medians over the rounds; `ratio` is ours by the reference, `low` and `high` its extremes within one round."""

    ours: float
    reference: float
    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class Ratio:
    """One line of the table: both figures in `unit`, by CPU time and by the clock."""

    name: str
    unit: str
    cpu: Pair
    wall: Pair
    rounds: int
    meaning: str


@dataclass(frozen=True)
class Figure:
    """What is said of a time: `of` turns seconds into `unit`."""

    unit: str
    of: PerSeconds


def images_per_second(images: int) -> Figure:
    """Throughput: more is better."""
    return Figure("images/s", lambda seconds: images / seconds)


SECONDS = Figure("s", lambda seconds: seconds)


def take_turns(works: dict[str, Work], rounds: int) -> dict[str, list[Cost]]:
    """Every work once a round, each second round backwards: a load that comes and goes meets all alike.

    Round 0 comes on top and is not counted: it imports and warms up.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name in list(works)[:: -1 if number % 2 else 1]:
            cpu, wall = _cpu_seconds(), time.perf_counter()
            works[name](number)
            costs[name].append(Cost(_cpu_seconds() - cpu, time.perf_counter() - wall))
    return {name: of[1:] for name, of in costs.items()}


def _cpu_seconds() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def compare(name: str, figure: Figure, ours: list[Cost], reference: list[Cost], meaning: str) -> Ratio:
    """The line for two works that took turns."""
    cpu = _pair(figure, [cost.cpu for cost in ours], [cost.cpu for cost in reference])
    wall = _pair(figure, [cost.wall for cost in ours], [cost.wall for cost in reference])
    return Ratio(name, figure.unit, cpu, wall, len(ours), meaning)


def _pair(figure: Figure, ours: list[float], reference: list[float]) -> Pair:
    a, b = figure.of(median(ours)), figure.of(median(reference))
    each = [figure.of(x) / figure.of(y) for x, y in zip(ours, reference, strict=True)]
    return Pair(a, b, a / b, min(each), max(each))
