"""Equal and nearly equal images: which copy stays, which contradict each other, and which belong together."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd

from tasks.contracts.records import SPLITS

_PRIORITY = {"test": 0, "promotion": 1, "val": 2, "train": 3}  # a copy in train of a test image is what must go
_UPRIGHT, _THE_SAME = ("near", "cropped"), 0.95
_TYPES = {"a": "str", "b": "str", "kind": "str", "cross_split": "bool", "similarity": "float64"}


@dataclass(frozen=True)
class Duplicates:
    """Rows with a reason, and the pairs for `reports/duplicates.parquet`.

    `reasons` maps an index label of the table to `duplicate`, `conflicting_labels` or `suspect_label`. `pairs`
    has the paths `a` and `b`, `kind`, `cross_split` (declared in two splits) and `similarity` in [0, 1]. `links` are
    pairs of index labels `a` and `b` that are alike and stay, and so belong in one split.
    """

    reasons: dict[int, str]
    pairs: pd.DataFrame
    links: pd.DataFrame


def exact_duplicates(table: pd.DataFrame) -> Duplicates:
    """Compare the labelled, decodable rows of `table` (columns path, label, split as declared, sha256, pixels_crc32).

    Within a class one copy stays, under two classes none can be trusted. The pairs are a star for each content: `a` is
    the copy that stands for all.
    """
    usable = table[table["pixels_crc32"].notna() & table["label"].notna()]
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
            "cross_split": _across(first["split"], order["split"]),
            "similarity": 1.0,
        }
    )
    return Duplicates(reasons, _sorted(pairs[is_copy]), pd.DataFrame({"a": [], "b": []}, dtype="int64"))


def near_duplicates(rows: pd.DataFrame, found: pd.DataFrame) -> Duplicates:
    """What follows from the pairs `found` (positions `a` and `b` in `rows`, `kind`, `similarity`).

    The same picture under two labels says that one of them is wrong: neither can be trusted. Where the copy is mirrored
    or turned the label may have turned with it, and where it is not so alike it may show something else: those are
    only suspect. What a person ruled (`decision` in `rows`) stands.
    """
    a, b = (rows.iloc[found[end].to_numpy()] for end in ("a", "b"))
    links = pd.DataFrame({"a": a.index, "b": b.index})
    pairs = pd.DataFrame(
        {
            "a": a["path"].to_numpy(),
            "b": b["path"].to_numpy(),
            "kind": found["kind"].to_numpy(),
            "cross_split": _across(a["split"].reset_index(drop=True), b["split"].reset_index(drop=True)),
            "similarity": found["similarity"].to_numpy(),
        }
    )
    differ = a["label"].to_numpy() != b["label"].to_numpy()
    same = (found["kind"].isin(_UPRIGHT) & (found["similarity"] > _THE_SAME)).to_numpy()
    ruled = rows.index[rows["decision"].notna()]
    suspect, out = (_ends(links[differ & which]).difference(ruled) for which in (~same, same))
    reasons = dict.fromkeys(map(int, suspect), "suspect_label") | dict.fromkeys(map(int, out), "conflicting_labels")
    stay = ~links["a"].isin(out) & ~links["b"].isin(out)
    return Duplicates(reasons, _sorted(pairs), links[stay].reset_index(drop=True))


def _ends(links: pd.DataFrame) -> pd.Index:
    return cast(pd.Index, pd.Index(np.unique(links.to_numpy())))


def _across(one: pd.Series, other: pd.Series) -> pd.Series:
    return one.notna() & other.notna() & (one != other)


def _sorted(pairs: pd.DataFrame) -> pd.DataFrame:
    return pairs.astype(_TYPES)[list(_TYPES)].sort_values(["a", "b"], ignore_index=True)
