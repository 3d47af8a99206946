"""What a workspace has to report on: every record and table that exists, None for what does not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.contracts.files import read_table
from tasks.contracts.prepared import Pixels, open_prepared
from tasks.contracts.records import read_json
from tasks.contracts.workspace import Workspace
from tasks.report.thumbnails import Thumbnails, embed_picture

Report = dict[str, Any]


@dataclass(frozen=True)
class Sources:
    """The reports as plain data, the tables, and the pictures ready to embed."""

    quality: Report | None
    bias: Report | None
    gate: Report | None
    selection: Report | None
    training: Report | None
    evaluation: Report | None
    bundle: Report | None
    checked: pd.DataFrame | None
    duplicates: pd.DataFrame | None
    thumbnails: Thumbnails
    contact_sheet: str | None


def read_sources(ws: Workspace) -> Sources:
    """Everything that is there. Raises BrokenArtifact where a file is there but broken."""
    checked = _table(ws.checked)
    return Sources(
        quality=_report(ws.quality),
        bias=_report(ws.bias),
        gate=_report(ws.gate),
        selection=_report(ws.selection),
        training=_report(ws.candidate / "model.json"),
        evaluation=_report(ws.evaluation),
        bundle=_report(ws.bundle / "bundle.json"),
        checked=checked,
        duplicates=_table(ws.duplicates),
        thumbnails=Thumbnails(checked, _pixels(ws.prepared)),
        contact_sheet=embed_picture(ws.contact_sheet) if ws.contact_sheet.exists() else None,
    )


def _report(path: Path) -> Report | None:
    return read_json(path) if path.exists() else None


def _table(path: Path) -> pd.DataFrame | None:
    return read_table(path) if path.exists() else None


def _pixels(folder: Path) -> Pixels | None:
    return open_prepared(folder) if folder.exists() else None
