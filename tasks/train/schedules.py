"""The learning rate over a training, as a share of its peak."""

import math
from typing import Literal

Schedule = Literal["cosine", "one_cycle"]

_WARM_UP = {"cosine": 0.1, "one_cycle": 0.3}  # of all steps
_ONE_CYCLE_START, _ONE_CYCLE_END = 1 / 25, 1e-4


def rate_at(step: int, total: int, schedule: Schedule = "cosine") -> float:
    """The share of the peak rate at `step` of `total`.

    `cosine`: linear warm-up, then half a cosine down to zero (Loshchilov and Hutter, 2017). `one_cycle`: half a cosine
    up from a 25th over 30 % of the steps, then one down to a ten thousandth (Smith and Topin, 2018).
    """
    warm = max(1, round(total * _WARM_UP[schedule]))
    if step >= warm:
        end = _ONE_CYCLE_END if schedule == "one_cycle" else 0.0
        return end + (1 - end) * _fall((step - warm) / max(1, total - warm))
    if schedule == "one_cycle":
        return 1 - (1 - _ONE_CYCLE_START) * _fall((step + 1) / warm)
    return (step + 1) / warm


def _fall(progress: float) -> float:
    """From 1 to 0 along half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * progress))
