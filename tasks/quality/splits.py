"""Which split an image belongs to: a function of that image alone, so that new images never move an old one."""

import hashlib
from itertools import accumulate

import pandas as pd

from tasks.contracts.params import SplitShares
from tasks.contracts.records import SPLITS

_PRIORITY = {"test": 3, "promotion": 2, "val": 1, "train": 0}


def uniform(key: str) -> float:
    """A number in [0, 1) that depends on `key` alone and is evenly spread over keys."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6]) / 2**48


def hashed_split(key: str, shares: SplitShares) -> str:
    """The split whose interval of [0, 1) holds the key's number; the intervals stand in the order of SPLITS."""
    ends = accumulate(getattr(shares, split) for split in SPLITS)
    number = uniform(key)
    inside = (split for split, end in zip(SPLITS, ends, strict=True) if number < end)
    return next(inside, max(SPLITS, key=lambda split: getattr(shares, split)))  # rounding at the upper end


def assign(table: pd.DataFrame, shares: SplitShares) -> pd.Series:
    """The split of every row that has a hash or a declared split: declared, else by its group, else by its bytes."""

    def one(declared: object, group: object, sha256: object) -> str | None:
        if isinstance(declared, str):
            return declared
        if isinstance(group, str):
            return hashed_split(f"group:{group}", shares)
        return hashed_split(sha256, shares) if isinstance(sha256, str) else None

    rows = zip(table["split"], table["group"], table["sha256"], strict=True)
    return pd.Series([one(*row) for row in rows], index=table.index, dtype="str")


def crossing(groups: pd.Series, splits: pd.Series) -> list[int]:
    """The rows to take out so that no group is in two splits: all but the split that holds most of the group.

    Equal numbers are decided for test, then promotion, val, train. Rows without group or split do not count.
    """
    both = pd.DataFrame({"group": groups, "split": splits}).dropna()
    sizes = both.value_counts(["group", "split"]).rename("images").reset_index()
    sizes["priority"] = sizes["split"].map(_PRIORITY)
    sizes = sizes.sort_values(["group", "images", "priority"])
    home = dict(zip(sizes["group"], sizes["split"], strict=True))  # the last of each group wins
    return [int(row) for row in both.index[both["split"] != both["group"].map(home)]]
