"""Images by class, value of an attribute and split, without the numbers that are too small to be published.

A number below `small` is held back, and as many others as it takes. Known to a reader are, beside the cells that are
told, the size of each class in each split and of each value in each split: both stand in other reports. From these a
held-back cell must not follow. It does not where two rows and two columns of the split's table can trade one image in
cells that are all held back; by such trades every table with these margins can be reached (Diaconis and Sturmfels,
1998), so where there is none, the margins themselves tell the cell and nothing can hide it: all images of that split
are of one class or have one value.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.bias.attributes import Levels
from tasks.contracts.records import SPLITS, Cell
from tasks.contracts.samples import class_order

MOST_CELLS = 40_000  # of all attributes together: beyond, fewer classes stand for themselves
MOST_CLASSES, FEWEST_CLASSES = 50, 12
_NEVER = 1e9

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Table:
    """One attribute: images (classes, values, splits), and which of these numbers are held back.

    The first `named` classes stand for themselves; one more, if any, for the smaller classes together. Values are the
    names of the levels, splits those of SPLITS.
    """

    levels: Levels
    classes: tuple[str, ...]
    named: int
    images: Ints
    hidden: Bools


def tables(levels: Sequence[Levels], labels: pd.Series, splits: pd.Series, small: int) -> list[Table]:
    """A table for each attribute; `labels` and `splits` are those of the images that the levels are of."""
    most = max(FEWEST_CLASSES, min(MOST_CLASSES, MOST_CELLS // max(1, sum(4 * len(one.names) for one in levels))))
    classes, named, codes = _classes(labels, most)
    split = splits.map({name: i for i, name in enumerate(SPLITS)}).to_numpy(dtype=np.int64)
    out = []
    for one in levels:
        shape = (len(classes), len(one.names), len(SPLITS))
        place = np.ravel_multi_index((codes, one.codes, split), shape)
        images = np.bincount(place, minlength=int(np.prod(shape))).reshape(shape).astype(np.int64)
        hidden = np.stack([held_back(images[..., i], small) for i in range(len(SPLITS))], axis=-1)
        out.append(Table(one, classes, named, images, hidden))
    return out


def cells(table: Table) -> list[Cell]:
    """The cells that hold an image or are held back."""
    told = np.argwhere((table.images > 0) | table.hidden)
    return [
        Cell(
            label=table.classes[label],
            attribute=table.levels.name,
            value=table.levels.names[value],
            split=SPLITS[split],
            images=None if table.hidden[label, value, split] else int(table.images[label, value, split]),
        )
        for label, value, split in told
    ]


def held_back(images: Ints, small: int) -> Bools:
    """Which cells of a table (rows, columns) of counts are not told, given that its margins are known."""
    hidden = (images > 0) & (images < small)
    at_risk = hidden.copy()
    while True:
        open_cells = np.argwhere(at_risk & ~_can_trade(images, hidden))
        if not len(open_cells):
            return hidden
        row, column = open_cells[0]
        partners = _partners(images, hidden, int(row), int(column))
        if partners is None:
            at_risk[row, column] = False  # the margins tell it
        else:
            hidden[np.ix_([row, partners[0]], [column, partners[1]])] = True


def _can_trade(images: Ints, hidden: Bools) -> Bools:
    """Which hidden cells can gain or lose an image to another row and column, all four cells hidden.

    Counted by matrix products: of all pairs of another row and another column those whose cells would allow it.
    """
    free, filled = hidden.astype(np.float64), (hidden & (images > 0)).astype(np.float64)
    own = filled.sum(axis=1, keepdims=True) + filled.sum(axis=0) - filled
    gains = filled @ free.T @ filled - filled * own
    losses = free @ filled.T @ free - free * own
    able: Bools = (gains > 0.5) | ((losses > 0.5) & (filled > 0))
    return able


def _partners(images: Ints, hidden: Bools, row: int, column: int) -> tuple[int, int] | None:
    """The other row and column that make a trade possible at the least cost: images not told, and as few zeros."""
    cost = np.where(hidden, 0.0, np.where(images > 0, images, images.sum() + 1.0))
    filled = np.where(images > 0, cost, _NEVER)
    gain = filled[row][None, :] + filled[:, [column]] + cost
    loss = cost[row][None, :] + cost[:, [column]] + filled
    least = np.minimum(gain, loss)
    least[row], least[:, column] = _NEVER, _NEVER
    other = np.unravel_index(int(least.argmin()), least.shape)
    return None if least[other] >= _NEVER else (int(other[0]), int(other[1]))


def _classes(labels: pd.Series, most: int) -> tuple[tuple[str, ...], int, Ints]:
    """The largest classes in their order, then the others as one; how many are named; the code of each image."""
    counts = sorted(labels.value_counts().items(), key=lambda item: (-int(item[1]), str(item[0])))
    kept = class_order(str(label) for label, _ in counts[:most])
    place = {label: i for i, label in enumerate(kept)}
    codes = np.array([place.get(label, len(kept)) for label in labels], np.int64)
    rest = len(counts) - len(kept)
    others = (f"{rest} other {'class' if rest == 1 else 'classes'}",) if rest else ()
    return (*kept, *others), len(kept), codes
