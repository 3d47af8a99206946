"""Label errors made on purpose, to see how many a check finds."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PLANTED = 0.05  # of the labels
KINDS = ("uniform", "confusable")
_ENOUGH, _MOST_RUNS = 100, 4  # errors in all; runs where there are too few images for so many

Ints = NDArray[np.int64]


def plantings(kind: str, labels: Ints, called: Ints, sound: Ints, seed: int) -> Iterator[tuple[Ints, Ints]]:
    """Rows and all `labels` (n,), 0 to k - 1, with those rows changed; several times where there are few images.

    Only rows of `sound` are changed: those that no check suspects. A new label is any other class (`uniform`), or one
    that a sound image of the same class was taken for (`confusable`; `called` (n,) is out of fold): so at the rates of
    the confusion matrix. A class that was taken for no other gets uniform ones.
    """
    classes, each = int(labels.max()) + 1, max(1, round(PLANTED * len(sound)))
    mistaken = sound[called[sound] != labels[sound]]
    taken_for = pd.Series(called[mistaken]).groupby(labels[mistaken]).agg(list).to_dict()
    for run in range(min(_MOST_RUNS, math.ceil(_ENOUGH / each))):
        rng = np.random.default_rng([seed, run, KINDS.index(kind)])
        rows = np.sort(rng.choice(sound, each, replace=False))
        changed = labels.copy()
        changed[rows] = (changed[rows] + rng.integers(1, classes, each)) % classes
        if kind == "confusable":
            for row in rows:
                if labels[row] in taken_for:
                    changed[row] = rng.choice(taken_for[labels[row]])
        yield rows, changed
