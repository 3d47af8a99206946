"""Table, sidecars and folders say what an image is; where they differ, the user is asked and nothing is dropped."""

from itertools import combinations
from typing import Literal

import pandas as pd

from tasks.contracts.errors import BadData

LabelsFrom = Literal["auto", "folders", "table", "sidecars"]
_NOTHING_THERE = {
    "table": "there is no table with a filled column `label`",
    "sidecars": "no image in a tar has a sidecar (.cls, .json with `label`, or .txt) that gives a label",
}


def label_sources(said: dict[str, pd.Series], labels_from: LabelsFrom) -> dict[str, pd.Series]:
    """The sources that count for labels, out of `table`, `sidecars` and `folders`.

    One folder is where images lie, not a class: beside a table or sidecars, folders count from two on.
    Raises BadData where params name a source that gives no label.
    """
    if labels_from != "auto":
        if labels_from in _NOTHING_THERE and said[labels_from].isna().all():
            raise BadData(f"ingest.labels_from is `{labels_from}`, but {_NOTHING_THERE[labels_from]}")
        return {labels_from: said[labels_from]}
    filled = {name: labels for name, labels in said.items() if labels.notna().any()}
    if len(filled) > 1 and "folders" in filled and filled["folders"].nunique() < 2:
        del filled["folders"]
    return filled


def united(said: dict[str, pd.Series], what: str, remedy: str) -> pd.Series:
    """What any source says of each image, null where none does; the sources are indexed by path.

    Raises BadData where two differ.
    """
    for (one, ours), (other, theirs) in combinations(said.items(), 2):
        both = ours.notna() & theirs.notna()
        differ = ours[both] != theirs[both]
        if differ.any():
            path = str(differ.idxmax())
            raise BadData(
                f"{other} and {one} give another {what} to {int(differ.sum())} of {len(differ)} images; {remedy} "
                f"({path!r} is {theirs[path]!r} and {ours[path]!r})"
            )
    first, *others = said.values()
    for series in others:
        first = first.where(first.notna(), series)
    return first
