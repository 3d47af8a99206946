"""What to try next, by what a trial costs and what is left."""

import math
import re
from dataclasses import dataclass

from tasks.contracts.errors import BadUsage

HEADS = "feature_extraction"
HEADS_FIRST = 24  # trials of heads before those of whole networks: cheap, and enough to see what matters
HEADS_MOST = 96  # where nothing else fits
HEADS_SHARE = 0.25  # of the time, at most, before whole networks get theirs
FINE_FIRST = 3  # fine-tuning trials before one of scratch
BETTER_PER_OTHER = 4  # trials of the better one of these two for one of the other
_UNITS = {"s": 1, "m": 60, "h": 3600}
_BUDGET = re.compile(r"(\d+(?:\.\d+)?)([smh])")


@dataclass(frozen=True)
class Standing:
    """What is known of a strategy: trials that ended, the best value, and seconds of a whole trial if measured."""

    strategy: str
    ended: int = 0
    best: float = -math.inf
    cost_s: float | None = None


@dataclass(frozen=True)
class Room:
    """What is left: seconds, trials, and seconds that heads may take before whole networks do."""

    seconds: float = math.inf
    trials: float = math.inf
    head_seconds: float = math.inf
    heads_first: int = HEADS_FIRST


def parse_budget(text: str) -> float:
    """Seconds of `90s`, `10m` or `1.5h`. Raises BadUsage for anything else."""
    found = _BUDGET.fullmatch(text)
    if not found or float(found[1]) == 0:
        raise BadUsage(f"--budget {text}: expected a time with its unit, as in 90s, 10m or 1.5h")
    return float(found[1]) * _UNITS[found[2]]


def next_strategy(heads: Standing, fine: Standing, scratch: Standing, room: Room) -> str | None:
    """The strategy of the next trial, or None where nothing is left that fits.

    Heads come first, then whole networks: fine-tuning, one trial of scratch, then mostly the better of both.
    """
    if room.trials < 1 or room.seconds <= 0:
        return None
    if heads.ended < room.heads_first and room.head_seconds > 0 and fits(heads, room):
        return HEADS
    for one in _by_promise(fine, scratch):
        if fits(one, room):
            return one.strategy
    return HEADS if heads.ended < HEADS_MOST and fits(heads, room) else None


def fits(one: Standing, room: Room) -> bool:
    """Whether a whole trial would end in time; one of unknown cost may start, and is stopped when it is known."""
    return one.cost_s is None or one.cost_s <= room.seconds


def _by_promise(fine: Standing, scratch: Standing) -> list[Standing]:
    """Whole networks in the order of their turn; once both were tried, only the one whose turn it is."""
    if fine.ended < FINE_FIRST:
        return [fine]
    if not scratch.ended:
        return [scratch, fine]
    better, other = sorted((fine, scratch), key=lambda one: one.best, reverse=True)
    return [other, better] if other.ended * BETTER_PER_OTHER < better.ended else [better]
