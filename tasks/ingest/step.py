"""The ingest stage: which files there are, and what folders and table say of them. No image is opened."""

from dataclasses import dataclass

from tasks.contracts.errors import BadData
from tasks.contracts.files import write_table
from tasks.contracts.params import IngestParams
from tasks.contracts.progress import say
from tasks.contracts.workspace import Workspace
from tasks.ingest.folders import list_files
from tasks.ingest.sources import build_manifest
from tasks.ingest.tables import find_table, read_table

VERSION = 1


@dataclass(frozen=True)
class IngestRecord:
    """What ingest found; `ignored` counts visible files that are no images by their ending, but for the table."""

    found: int
    labelled: int
    classes: tuple[str, ...]
    table: str | None
    ignored: int


def run(ws: Workspace, params: IngestParams, seed: int) -> IngestRecord:  # noqa: ARG001 - steps are called alike
    """Write `data/manifest.parquet`, one row for every file, sorted by path. Raises BadData."""
    if not ws.raw.is_dir():
        what = "is a file, not a folder" if ws.raw.exists() else "is missing"
        raise BadData(f"{ws.raw} {what}; put one folder of images for each class there")
    source = find_table(ws.raw, params.table)
    if params.group and source is None:
        raise BadData(
            f"ingest.group is {params.group}, but there is no table with such a column; add data/raw/metadata.csv"
        )
    table = read_table(source, params) if source else None
    listing = list_files(ws.raw, source)
    manifest = build_manifest(ws.raw, listing, table, params)
    write_table(ws.manifest, manifest)
    labels = manifest["label"].dropna()
    record = IngestRecord(
        found=len(manifest),
        labelled=len(labels),
        classes=tuple(sorted(labels.unique())),
        table=source.relative_to(ws.raw).as_posix() if source else None,
        ignored=listing.others,
    )
    say(f"ingest: {record.found:,} files, {record.labelled:,} with a label, {len(record.classes)} classes")
    return record
