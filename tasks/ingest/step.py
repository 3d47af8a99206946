"""The ingest stage: which files there are, and what folders, table and sidecars say of them. No image is opened."""

from dataclasses import dataclass

import pandas as pd

from tasks.contracts.errors import BadData
from tasks.contracts.files import write_table
from tasks.contracts.params import IngestParams
from tasks.contracts.progress import say
from tasks.contracts.samples import class_order
from tasks.contracts.workspace import Workspace
from tasks.ingest.folders import list_files
from tasks.ingest.notices import about_listing, about_manifest
from tasks.ingest.shards import Sidecars, read_sidecars
from tasks.ingest.sources import build_manifest
from tasks.ingest.tables import find_table, read_table

VERSION = 2


@dataclass(frozen=True)
class IngestRecord:
    """What ingest found: every visible file is a row of `found`, or counted in `ignored`, `archives` or `sidecars`.

    `found` also counts what the table names and nobody has; the table itself is counted nowhere. `classes` are in
    their order. `warnings` are lines for the user.
    """

    found: int
    labelled: int
    classes: tuple[str, ...]
    table: str | None
    ignored: int
    archives: int = 0
    sidecars: int = 0
    warnings: tuple[str, ...] = ()


def run(ws: Workspace, params: IngestParams, seed: int) -> IngestRecord:  # noqa: ARG001 - steps are called alike
    """Write `data/manifest.parquet`, one row for every file, sorted by path. Raises BadData."""
    if not ws.raw.is_dir():
        what = "is a file, not a folder" if ws.raw.exists() else "is missing"
        raise BadData(f"{ws.raw} {what}; put one folder of images for each class there")
    source = find_table(ws.raw, params.table)
    table = read_table(source, params) if source else None
    listing = list_files(ws.raw, source)
    sidecars = read_sidecars(ws.raw, listing, params)
    _require_group(params, table, sidecars)
    before = about_listing(listing)
    _warn(before)  # now: they may explain a refusal
    manifest = build_manifest(ws.raw, listing, table, params, sidecars.table if sidecars else None)
    write_table(ws.manifest, manifest)
    after = about_manifest(manifest, listing.archives)
    _warn(after)
    labels = manifest["label"].dropna()
    rows = set(manifest["path"])
    used = (sidecars.paths if sidecars else frozenset[str]()) - rows
    record = IngestRecord(
        found=len(manifest),
        labelled=len(labels),
        classes=class_order(labels.unique()),
        table=source.relative_to(ws.raw).as_posix() if source else None,
        ignored=sum(file.path not in rows and file.path not in used for file in listing.passed_over),
        archives=len(listing.archives),
        sidecars=len(used),
        warnings=(*before, *after),
    )
    say(f"ingest: {record.found:,} files, {record.labelled:,} with a label, {len(record.classes)} classes")
    return record


def _require_group(params: IngestParams, table: pd.DataFrame | None, sidecars: Sidecars | None) -> None:
    """A table was asked when it was read."""
    if params.group is None or table is not None:
        return
    if sidecars is None or (f"meta_{params.group}" not in sidecars.table and sidecars.table["group"].isna().all()):
        raise BadData(
            f"ingest.group is {params.group}, but there is no table with such a column; add data/raw/metadata.csv"
        )


def _warn(lines: tuple[str, ...]) -> None:
    for line in lines:
        say(f"ingest: warning: {line}")
