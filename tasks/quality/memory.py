"""The splits that earlier runs gave, by content hash: what keeps an image where it is whatever is added later."""

from pathlib import Path

import pandas as pd

from tasks.contracts.files import read_table, write_table
from tasks.contracts.params import SplitShares
from tasks.contracts.progress import say


def read_splits(path: Path, shares: SplitShares) -> dict[str, str]:
    """Content hash -> split; empty before the first run, and where other `shares` are asked for than then.

    Raises BrokenArtifact where the table is broken.
    """
    if not path.exists():
        return {}
    table = read_table(path)
    if set(table["shares"]) - {_written(shares)}:
        say("quality.splits has changed: every image without a declared split is assigned anew")
        return {}
    return dict(zip(table["sha256"], table["split"], strict=True))


def write_splits(path: Path, shares: SplitShares, splits: dict[str, str]) -> None:
    """Keep `splits` for the next run."""
    rows = pd.DataFrame(sorted(splits.items()), columns=["sha256", "split"], dtype="str")
    write_table(path, rows.assign(shares=pd.Series(_written(shares), index=rows.index, dtype="str")))


def _written(shares: SplitShares) -> str:
    return " ".join(f"{name} {share:g}" for name, share in shares.model_dump().items())
