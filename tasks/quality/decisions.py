"""What people ruled about single images: `decisions.csv`, in git, applied after every scan; raw files stay as they are.

A row names an image by its content hash (all 64 digits, or at least the first twelve), so a ruling follows the image
wherever it is moved. Of two rulings of one kind on one image the later row counts.
"""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from tasks.contracts.errors import BadData

COLUMNS = ("hash", "action", "value", "who", "when", "why")
ACTIONS = ("keep", "relabel", "drop", "group")
_HASH = re.compile(r"[0-9a-f]{12,64}")
_NEEDS_VALUE = {"relabel": "the label", "group": "the group"}


@dataclass(frozen=True)
class Decision:
    """One row: which image (the first digits of its hash), what is to be done, and the line that says so."""

    sha256: str
    action: str
    value: str
    line: int


@dataclass(frozen=True)
class Decided:
    """The table with the decisions applied, and those that named no image or more than one."""

    table: pd.DataFrame
    unmatched: tuple[Decision, ...]


def read_decisions(path: Path) -> tuple[Decision, ...]:
    """The decisions in the order of the file. Raises BadData that names the line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadData(f"{path} cannot be read ({error}); it starts with the line {','.join(COLUMNS)}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if any(row)]
    except csv.Error as error:
        raise BadData(f"{path}, line {reader.line_num}: {error}; mend the quoting") from None
    if not rows or tuple(name.strip() for name in rows[0][1]) != COLUMNS:
        raise BadData(f"{path} does not start with the line {','.join(COLUMNS)}")
    return tuple(_decision(path, line, row) for line, row in rows[1:])


def apply_decisions(table: pd.DataFrame, decisions: tuple[Decision, ...]) -> Decided:
    """`table` (columns sha256, label, group, reasons) with `label`, `group` and `reasons` as people ruled.

    A new column `decision` names the actions on each row, null for none.
    """
    hashes = table["sha256"].dropna()
    rows = {decision: _rows(hashes, decision.sha256) for decision in decisions}
    label, group = table["label"].astype("object"), table["group"].astype("object")
    ruled: dict[int, dict[str, str]] = {}
    for decision in decisions:
        for row in rows[decision]:
            ruled.setdefault(row, {})[decision.action] = decision.value
    for row, actions in ruled.items():
        label[row] = actions.get("relabel", label[row])
        group[row] = actions.get("group", group[row])
    noted = {"drop": "excluded", "relabel": "relabelled"}
    reasons = [
        [*old, *(id_ for action, id_ in noted.items() if action in ruled.get(row, {}))]
        for row, old in zip(table.index, table["reasons"], strict=True)
    ]
    return Decided(
        table.assign(
            label=label.astype("str"),
            group=group.astype("str"),
            reasons=pd.Series(reasons, index=table.index, dtype="object"),
            decision=pd.Series({row: " ".join(ruled[row]) for row in ruled}, dtype="str").reindex(table.index),
        ),
        tuple(decision for decision in decisions if not rows[decision]),
    )


def _decision(path: Path, line: int, row: list[str]) -> Decision:
    where = f"{path}, line {line}"
    if len(row) != len(COLUMNS):
        raise BadData(f"{where}: {len(row)} values for the {len(COLUMNS)} columns {','.join(COLUMNS)}")
    digits, action, value = (text.strip() for text in row[:3])
    if not _HASH.fullmatch(digits.lower()):
        raise BadData(f"{where}: {digits!r} is no content hash; copy it from the report (12 to 64 digits of 0-9a-f)")
    if action not in ACTIONS:
        raise BadData(f"{where}: unknown action {action!r}; known: {', '.join(ACTIONS)}")
    if action in _NEEDS_VALUE and not value:
        raise BadData(f"{where}: {action} needs {_NEEDS_VALUE[action]} in the column value")
    return Decision(digits.lower(), action, value, line)


def _rows(hashes: pd.Series, digits: str) -> list[int]:
    """The rows of the one content that starts with `digits`; none where two contents do."""
    found = hashes[hashes == digits] if len(digits) == 64 else hashes[hashes.str.startswith(digits)]
    return [int(row) for row in found.index] if found.nunique() == 1 else []
