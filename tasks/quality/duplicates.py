"""Byte-equal images: within a class one stays; under two classes none can be trusted."""

from dataclasses import dataclass

import pandas as pd

from tasks.contracts.records import SPLITS

COLUMNS = ("a", "b", "kind", "cross_split")
_PRIORITY = {"test": 0, "promotion": 1, "val": 2, "train": 3}  # a copy in train of a test image is what must go


@dataclass(frozen=True)
class Duplicates:
    """`reasons`: row of the table -> `duplicate` or `conflicting_labels`; `pairs`: a star for each content."""

    reasons: dict[int, str]
    pairs: pd.DataFrame


def find_duplicates(table: pd.DataFrame) -> Duplicates:
    """Compare the labelled, decodable rows of `table` (columns path, label, split as declared, sha256, pixels).

    `pairs` has the columns `a` (the copy that stands for all), `b`, `kind` and `cross_split`, sorted by a and b.
    """
    usable = table[(table["pixels"] >= 0) & table["label"].notna()]
    copies = usable[usable["sha256"].duplicated(keep=False)]
    order = copies.assign(priority=copies["split"].map(_PRIORITY).fillna(len(SPLITS)))
    order = order.sort_values(["sha256", "priority", "path"])
    first = order.groupby("sha256").transform("first")
    conflicting = order.groupby("sha256")["label"].transform("nunique") > 1
    is_copy = order["sha256"].duplicated()
    reasons = dict.fromkeys(order.index[is_copy], "duplicate") | dict.fromkeys(
        order.index[conflicting], "conflicting_labels"
    )
    pairs = pd.DataFrame(
        {
            "a": first["path"],
            "b": order["path"],
            "kind": "exact",
            "cross_split": order["split"].notna() & first["split"].notna() & (order["split"] != first["split"]),
        }
    )[is_copy]
    pairs = pairs.astype({"a": "str", "b": "str", "kind": "str", "cross_split": "bool"})
    return Duplicates(reasons, pairs.sort_values(["a", "b"], ignore_index=True)[list(COLUMNS)])
