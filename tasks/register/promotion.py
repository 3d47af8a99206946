"""The promotion rule: when a new version replaces the champion. Decided on the promotion split, never on test."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Correct = NDArray[np.bool_]

ROUNDING = 1e-9  # 0.89 - 0.90 is a hair less than -0.01


@dataclass(frozen=True)
class Decision:
    """Whether the new version becomes champion, why, and the accuracies on the promotion split that decided it."""

    promote: bool
    why: str
    images: int = 0
    new_images: int = 0
    candidate: float | None = None
    champion: float | None = None


FIRST = Decision(True, "it is the first version")


def decide(candidate: Correct, champion: Correct, is_new: Correct, margin: float) -> Decision:
    """Better than the champion on all images, or at most `margin` worse on the old ones and better on the new.

    `candidate`, `champion`: whether each was right, shape (images,), on the same images; `is_new`: images that the
    champion's data did not have.
    """
    ours, theirs = float(candidate.mean()), float(champion.mean())
    figures = f"{ours:.3f} against the champion's {theirs:.3f} on {len(candidate)} promotion images"
    values = (len(candidate), int(is_new.sum()), ours, theirs)
    if ours > theirs:
        return Decision(True, f"better: {figures}", *values)
    if is_new.any() and not is_new.all():
        old = float(candidate[~is_new].mean() - champion[~is_new].mean())
        new = float(candidate[is_new].mean() - champion[is_new].mean())
        if old >= -margin - ROUNDING and new > 0:
            return Decision(True, f"{old:+.3f} on the old data, {new:+.3f} on the new: {figures}", *values)
    return Decision(False, f"not better: {figures}", *values)
