"""What a user should know of sources that are used all the same: lines, not refusals."""

import re

import pandas as pd

from tasks.contracts.errors import one_line
from tasks.ingest.folders import SPLIT_NAMES, Listing
from tasks.ingest.labels import alike_labels
from tasks.ingest.tables import DEFAULT_NAMES

_SPLIT = re.compile(rf"({'|'.join(SPLIT_NAMES)})([^a-z].*)?\.(tar|zip)", re.IGNORECASE)
_SHOWN = 3


def about_listing(listing: Listing) -> tuple[str, ...]:
    """Tables that lie in an archive, where none is looked for."""
    tables = [file.path for file in listing.passed_over if file.archive and file.path.endswith(DEFAULT_NAMES)]
    if not tables:
        return ()
    return (f"{_some(tables)} is not read: a table lies beside the archive, in data/raw, and names members by it",)


def about_manifest(manifest: pd.DataFrame, archives: tuple[str, ...]) -> tuple[str, ...]:
    """Labels that are probably one, and archives whose names sound like splits where nothing declares any."""
    said = [
        f"the labels {', '.join(map(repr, group))} are counted as {len(group)} classes; are they one?"
        for group in alike_labels(manifest["label"].dropna().unique())
    ]
    sounding = [archive for archive in archives if _SPLIT.fullmatch(archive.rpartition("/")[2])]
    if sounding and manifest["split"].isna().all():
        said.append(
            f"the name of {_some(sounding)} declares no split; put archives into folders called train, val and test, "
            "or name splits in a table"
        )
    return tuple(map(one_line, said))


def _some(names: list[str]) -> str:
    more = len(names) - _SHOWN
    return one_line(", ".join(names[:_SHOWN]) + (f" and {more:,} more" if more > 0 else ""))
