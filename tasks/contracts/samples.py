"""Which rows of `data/checked.parquet` may be learned from."""

import pandas as pd


def usable(checked: pd.DataFrame, split: str | None = None) -> pd.DataFrame:
    """The images that no check took out, of one split or of all, in an order that depends on content, not on names."""
    kept = checked["verdict"] != "quarantine"
    if split is not None:
        kept &= checked["split"] == split
    return checked[kept].sort_values(["sha256", "path"], ignore_index=True)
