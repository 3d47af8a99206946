"""The tables of samples that two audits were made from, where they are still here, and how they drifted apart."""

from pathlib import Path
from typing import Any

from tasks.audit.verifier import sha256
from tasks.bias.drift import VERSION_NAME, VERSION_QUESTION, drift
from tasks.contracts.files import read_table
from tasks.contracts.records import Section, Statistic
from tasks.contracts.workspace import Workspace

_TABLE = "data/checked.parquet"


def version_drift(ws: Workspace, old: dict[str, Any], new: dict[str, Any]) -> Section:
    """How the images that came and those that went differ from those that stayed, the largest difference first.

    `old` and `new` are documents of audits. Not measurable where the table of one of them is neither in the workspace
    nor in DVC's cache there, as in a clone before `dvc pull`.
    """
    tables = []
    for document in (old, new):
        path = _table(ws, document["subject"])
        if path is None:
            why = f"not measured: the table of audit {document['entry']['number']} is not here; try `dvc pull`"
            nothing = Statistic(VERSION_NAME, None, 0, status="not_measurable", estimator=why)
            return Section(VERSION_NAME, VERSION_QUESTION, (nothing,))
        tables.append(read_table(path))
    before, after = tables
    return drift(before, after, new["params"]["bias"]["small_cell"], new["seed"])[0]


def _table(ws: Workspace, subject: dict[str, Any]) -> Path | None:
    """The file whose bytes the audit saw."""
    md5, expected = str(subject.get("table_md5", "")), subject["artifacts"].get(_TABLE)
    cached = ws.root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    places: list[Path] = [ws.checked, *([cached] if md5 else [])]
    for path in places:
        if path.is_file() and sha256(path.read_bytes()) == expected:
            return path
    return None
