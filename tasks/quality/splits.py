"""Which split an image belongs to. What belongs together stays together, and what was assigned once never moves.

Images belong together when they are near-duplicates or of one declared group. Such a component goes where the declared
or remembered split of one of its images says, else where a hash says: of its group, or of the smallest content hash in
it. So a split depends on content alone, never on names, order or the seed.
"""

import hashlib
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.contracts.params import SplitShares
from tasks.contracts.records import SPLITS

PRIORITY = {"test": 3, "promotion": 2, "val": 1, "train": 0}  # a copy in train of a test image is what must go


@dataclass(frozen=True)
class Assignment:
    """For each row its split (null where `reasons` takes it out) and its component; index as that of the table."""

    split: pd.Series
    component: pd.Series  # int64; rows that belong together have one number
    reasons: dict[int, str]  # row -> `group_crosses_splits`, `near_duplicate` or `bridges_splits`


def uniform(key: str) -> float:
    """A number in [0, 1) that depends on `key` alone and is evenly spread over keys."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6]) / 2**48


def hashed_split(key: str, shares: SplitShares) -> str:
    """The split whose interval of [0, 1) holds the key's number; the intervals stand in the order of SPLITS."""
    ends = accumulate(getattr(shares, split) for split in SPLITS)
    number = uniform(key)
    inside = (split for split, end in zip(SPLITS, ends, strict=True) if number < end)
    return next(inside, max(SPLITS, key=lambda split: getattr(shares, split)))  # rounding at the upper end


def assign(table: pd.DataFrame, near: pd.DataFrame, remembered: dict[str, str], shares: SplitShares) -> Assignment:
    """Give every row of `table` (columns sha256, split as declared, group) its split.

    `near` holds pairs of near-duplicates as index labels of the table, columns `a` and `b`. `remembered` is the split
    of each content hash from earlier runs. Taken out are: of a group in two splits the part outside its main one; of
    near-duplicates in two splits the one that is not in test, promotion or val, in this order; and new images that
    join what already is in different splits.
    """
    anchors = table["split"].where(table["split"].notna(), table["sha256"].map(remembered)).astype("str")
    component = pd.Series(components(table, near), index=table.index)
    anchored = anchors.groupby(component)
    split = anchors.fillna(component.map(anchored.first()))  # where there are two, the row is taken out below
    bridges = anchors.isna() & (component.map(anchored.nunique()) > 1)
    loose = table[split.isna()]
    keys = _keys(loose, component[loose.index])
    split = split.fillna(keys.map({key: hashed_split(key, shares) for key in keys.unique()})).astype("str")
    reasons = dict.fromkeys(table.index[bridges], "bridges_splits")
    kept = ~bridges
    reasons |= dict.fromkeys(crossing(table["group"][kept], split[kept]), "group_crosses_splits")
    reasons |= dict.fromkeys(_near_across(near, split.drop(index=list(reasons))), "near_duplicate")
    return Assignment(split.where(~table.index.isin(list(reasons)), None).astype("str"), component, reasons)


def components(table: pd.DataFrame, near: pd.DataFrame) -> NDArray[np.int64]:
    """The component of each row: joined by pairs of `near` (index labels `a`, `b`) and by the column `group`."""
    grouped = table["group"].dropna()
    leaders = grouped.drop_duplicates()
    first = grouped.map(pd.Series(leaders.index, index=leaders.to_numpy(), dtype="int64"))
    position = pd.Series(np.arange(len(table)), index=table.index)
    a, b = (
        position[np.concatenate([near[end], other]).astype(np.int64)].to_numpy()
        for end, other in (("a", first.index), ("b", first))
    )
    links = coo_array((np.ones(len(a), bool), (a, b)), shape=(len(table), len(table)))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def crossing(groups: pd.Series, splits: pd.Series) -> list[int]:
    """The rows to take out so that no group is in two splits: all but the split that holds most of the group.

    Equal numbers are decided for test, then promotion, val, train. Rows without group or split do not count.
    """
    both = pd.DataFrame({"group": groups, "split": splits}).dropna()
    sizes = both.value_counts(["group", "split"]).rename("images").reset_index()
    sizes["priority"] = sizes["split"].map(PRIORITY)
    sizes = sizes.sort_values(["group", "images", "priority"])
    home = dict(zip(sizes["group"], sizes["split"], strict=True))  # the last of each group wins
    return [int(row) for row in both.index[both["split"] != both["group"].map(home)]]


def _keys(rows: pd.DataFrame, component: pd.Series) -> pd.Series:
    """What is hashed for each row: its component's group where that is one, else the smallest content hash."""
    of_component = rows.groupby(component)
    group, smallest = (of_component[column].transform("min") for column in ("group", "sha256"))
    return ("group:" + group).where(of_component["group"].transform("nunique") == 1, smallest)


def _near_across(near: pd.DataFrame, split: pd.Series) -> set[int]:
    """Of each pair in two splits the row in the less precious one."""
    left = near[near["a"].isin(split.index) & near["b"].isin(split.index)]
    rank = split.map(PRIORITY)
    a, b = left["a"].to_numpy(), left["b"].to_numpy()
    of_a, of_b = rank[a].to_numpy(), rank[b].to_numpy()
    return {int(row) for row in (*a[of_a < of_b], *b[of_b < of_a])}
