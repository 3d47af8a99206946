"""What a workspace has to report on: every record and table that exists, None for what does not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.contracts.files import read_table, sha256_of
from tasks.contracts.records import read_json
from tasks.contracts.workspace import Workspace
from tasks.report.thumbnails import Thumbnails, embed_picture, thumbnails_of

Report = dict[str, Any]


@dataclass(frozen=True)
class Sources:
    """The reports as plain data, the tables, and the pictures ready to embed.

    `outdated` names the files that changed since the bundle was made from them.
    """

    quality: Report | None
    bias: Report | None
    gate: Report | None
    selection: Report | None
    augmentation: Report | None
    training: Report | None
    tuning: Report | None
    evaluation: Report | None
    bundle: Report | None
    checked: pd.DataFrame | None
    duplicates: pd.DataFrame | None
    label_errors: pd.DataFrame | None
    suspect_sheet: str | None
    thumbnails: Thumbnails
    contact_sheet: str | None
    error_sheet: str | None
    outdated: tuple[str, ...]


def read_sources(ws: Workspace) -> Sources:
    """Everything that is there. Raises BrokenArtifact where a file is there but broken."""
    checked = _table(ws.checked)
    bundle = _report(ws.bundle / "bundle.json")
    return Sources(
        quality=_report(ws.quality),
        bias=_report(ws.bias),
        gate=_report(ws.gate),
        selection=_report(ws.selection),
        augmentation=_report(ws.augmentation),
        training=_report(ws.candidate / "model.json"),
        tuning=_tuning(ws),
        evaluation=_report(ws.evaluation),
        bundle=bundle,
        checked=checked,
        duplicates=_table(ws.duplicates),
        label_errors=_table(ws.label_errors),
        suspect_sheet=embed_picture(ws.suspects, "quality") if ws.suspects.exists() else None,
        thumbnails=thumbnails_of(ws, checked),
        contact_sheet=embed_picture(ws.contact_sheet, "augment") if ws.contact_sheet.exists() else None,
        error_sheet=embed_picture(ws.errors, "evaluate") if ws.errors.exists() else None,
        outdated=_outdated(ws, bundle) if bundle is not None else (),
    )


def _outdated(ws: Workspace, bundle: Report) -> tuple[str, ...]:
    known = (ws.checked, ws.quality, ws.bias, ws.gate, ws.selection, ws.evaluation)
    names = {path.relative_to(ws.root).as_posix(): path for path in known if path.exists()}
    return tuple(name for name, path in names.items() if bundle["data"].get(name, sha256_of(path)) != sha256_of(path))


def _tuning(ws: Workspace) -> Report | None:
    """What a search found; `outdated` where the images are not those that it judged by."""
    tuning = _report(ws.tuning)
    if tuning is None:
        return None
    known = ws.checked.exists() and sha256_of(ws.checked) == tuning["checked_sha256"]
    return {**tuning, "outdated": not known}


def _report(path: Path) -> Report | None:
    return read_json(path) if path.exists() else None


def _table(path: Path) -> pd.DataFrame | None:
    return read_table(path) if path.exists() else None
