"""The groups that outcomes are compared between: the values of an attribute, or of two together."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tasks.bias.attributes import Levels, columns_of
from tasks.bias.cells import held_back
from tasks.contracts.errors import BadUsage, one_line
from tasks.contracts.files import read_table
from tasks.contracts.params import EvaluateParams
from tasks.contracts.samples import usable
from tasks.contracts.workspace import Workspace

_FEW_VALUES = 6
_MOST_PAIRS = 3

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Groups:
    """The groups of n images: `codes` (n,) index `names`; a code beyond them says that the group is not known.

    `columns` are the attributes. `several` are the names that stand for more than one group: they have rates, but are
    not compared.
    """

    columns: tuple[str, ...]
    names: tuple[str, ...]
    codes: Ints
    several: frozenset[str] = frozenset()

    @property
    def of(self) -> str:
        """The attributes in words."""
        return " and ".join(self.columns)

    @property
    def sizes(self) -> Ints:
        """Images of each group."""
        sizes: Ints = np.bincount(self.codes, minlength=len(self.names))[: len(self.names)].astype(np.int64)
        return sizes


def require_columns(ws: Workspace, params: EvaluateParams) -> None:
    """Refuse names of columns that the images of train or test do not have, before a network is trained for hours.

    Raises BadUsage.
    """
    wanted = {"attributes": params.attributes, "reference_groups": tuple(params.reference_groups)}
    if not any(wanted.values()):
        return
    images = usable(read_table(ws.checked))
    there = [set(columns_of(images[images["split"] == split]).columns) for split in ("train", "test")]
    columns = set.intersection(*there)
    for key, names in wanted.items():
        if absent := sorted(set(names) - columns):
            known = ", ".join(sorted(columns)) or "none"
            raise BadUsage(
                one_line(f"evaluate.{key}: no column {', '.join(absent)} in train and test; the columns are {known}")
            )


def groups_of(levels: Sequence[Levels], params: EvaluateParams) -> list[Groups]:
    """The values of each attribute, and intersections.

    Intersected are the attributes with a named reference group; where there are not two, the first of few values.
    """
    named = [one for one in levels if one.name in params.reference_groups]
    chosen = named if len(named) > 1 else [one for one in levels if one.named <= _FEW_VALUES]
    pairs = (_of_both(a, b, params.small_group) for a, b in list(combinations(chosen, 2))[:_MOST_PAIRS])
    return [*map(_of_values, levels), *(one for one in pairs if (one.sizes > 0).sum() > 1)]


def reference_of(groups: Groups, params: EvaluateParams) -> str:
    """The name of the reference group, where the params give one for each of the attributes."""
    if not all(column in params.reference_groups for column in groups.columns):
        return ""
    return _name(*((column, params.reference_groups[column]) for column in groups.columns))


def _name(*parts: tuple[str, str]) -> str:
    return " and ".join(f"{column} = {value}" for column, value in parts)


def _of_values(one: Levels) -> Groups:
    names = tuple(_name((one.name, value)) for value in one.names[:-1])
    return Groups((one.name,), names, one.codes, frozenset(names[one.named :]))


def _of_both(a: Levels, b: Levels, small: int) -> Groups:
    """Groups of fewer than `small` images, and those that would give such a number away, count as unknown."""
    names = tuple(_name((a.name, x), (b.name, y)) for x in a.names[: a.named] for y in b.names[: b.named])
    both = (a.codes < a.named) & (b.codes < b.named)
    codes = np.where(both, a.codes * b.named + b.codes, len(names))
    sizes = np.bincount(codes, minlength=len(names) + 1)[:-1].reshape(a.named, b.named)
    told = np.append(~held_back(sizes, small).ravel(), False)
    return Groups((a.name, b.name), names, np.where(told[codes], codes, len(names)))
