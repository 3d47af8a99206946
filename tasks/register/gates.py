"""What else a version must keep to become champion by itself: for whom it is worse, how honest and how heavy it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.bias.attributes import Levels, columns_of, examine
from tasks.bias.significance import holm
from tasks.evaluate.comparison import discordant, mcnemar_p
from tasks.evaluate.metrics import Samples, bin_of, calibration_error
from tasks.register.decision import Gate

_SMALL = 5  # images; a smaller group shows nothing
_RESAMPLES = 500


@dataclass(frozen=True)
class Answers:
    """What a model said of n images: whether it was right, and how sure it was."""

    right: NDArray[np.bool_]
    confidence: NDArray[np.float64]


def groups(rows: pd.DataFrame) -> tuple[Levels, ...]:
    """The classes, and the values of each metadata column that can be examined."""
    columns = columns_of(rows)
    columns.insert(0, "class", rows["label"])
    return examine(columns, (), _SMALL, np.ones(len(rows), bool))[0]


def nobody_worse_off(
    ours: NDArray[np.bool_], theirs: NDArray[np.bool_], groups: Sequence[Levels], level: float
) -> Gate:
    """No group for which the champion is better by McNemar's one-sided exact test, Holm over all groups."""
    named = [(f"{one.name} {name}", one.codes == i) for one in groups for i, name in enumerate(one.names)]
    named = [(name, own) for name, own in named if own.sum() >= _SMALL]
    pairs = [discordant(ours[own], theirs[own]) for _, own in named]
    corrected = holm([mcnemar_p(won, lost) / 2 if lost > won else 1.0 for won, lost in pairs])
    worst = min(range(len(named)), key=lambda i: corrected[i], default=None)
    if worst is None or corrected[worst] > level:
        return Gate("groups", True, f"none of {len(named)} groups is clearly worse off than under the champion")
    (name, own), (won, lost) = named[worst], pairs[worst]
    points = 100 * (lost - won) / int(own.sum())
    said = f"{name} is worse off than under the champion by {points:.1f} points on {int(own.sum())} images"
    return Gate("groups", False, f"{said} (p {corrected[worst]:.2g}, Holm over {len(named)} groups)")


def calibrated(ours: Answers, most: float) -> Gate:
    """The calibration error is not clearly above `most`."""
    samples = Samples(len(ours.right), 2, _RESAMPLES, 0)
    found = calibration_error(bin_of(ours.confidence), ours.confidence - ours.right, samples)
    said = f"calibration error {found.value:.3f} ({found.low:.3f} to {found.high:.3f}), allowed {most:g}"
    return Gate("calibration", (found.low or 0.0) <= most, said)


def quick(single_ms: float, most: float | None) -> Gate:
    """A single image takes `most` milliseconds at most, on this machine."""
    return _bounded("latency", f"a single image takes {single_ms:.1f} ms here", single_ms, most)


def light(bundle: Path, most: float | None) -> Gate:
    """The files of the bundle take `most` megabytes at most."""
    megabytes = sum(path.stat().st_size for path in bundle.rglob("*") if path.is_file()) / 1e6
    return _bounded("size", f"the bundle takes {megabytes:.1f} MB", megabytes, most)


def _bounded(name: str, said: str, value: float, most: float | None) -> Gate:
    return Gate(name, most is None or value <= most, said if most is None else f"{said}, allowed {most:g}")
