"""Tables as they stand in a file: CSV, JSON lines or Parquet. What the columns mean is said in `tables`."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.contracts.errors import BadData
from tasks.ingest.names import is_text

JSON_LINES = (".jsonl", ".ndjson")
MAX_KEYS = 1000


@dataclass(frozen=True)
class RawTable:
    """A table, where it is from, and what a message calls each of its rows."""

    where: str
    rows: Sequence[str]
    table: pd.DataFrame


def read_raw_table(path: Path) -> RawTable:
    """The table in a file, told apart by its ending: `.parquet`, `.jsonl` or `.ndjson`, and CSV for any other.

    Raises BadData that says where it is broken.
    """
    kind = path.suffix.lower()
    if kind == ".parquet":
        return _numbered(path, _read_parquet(path))
    return _read_json_lines(path) if kind in JSON_LINES else _numbered(path, _read_csv(path))


def json_object(text: str) -> dict[str, Any]:
    """The object that a JSON text holds, with null for NaN; raises ValueError for anything else, doubled keys too."""
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_null)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is no object")  # noqa: TRY004 - what was read is a value, not a program's mistake
    if "\\ud" in text.lower() and not is_text(json.dumps(found, ensure_ascii=False)):
        raise ValueError("it holds half a character")
    return found


def frame_of(where: str, objects: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A column for each key that any object has; a missing value makes no float of its column's whole numbers.

    Raises BadData for more than MAX_KEYS keys.
    """
    keys = list(dict.fromkeys(key for found in objects for key in found))
    if len(keys) > MAX_KEYS:
        raise BadData(f"{where}: {len(keys):,} different keys, more than {MAX_KEYS:,}; keys are names of columns")
    return pd.DataFrame({key: _column([found.get(key) for found in objects]) for key in keys})


def _column(values: list[Any]) -> pd.Series:
    column = pd.Series(values, dtype="object")
    return column if any(value is None for value in values) else column.infer_objects()


def _numbered(path: Path, table: pd.DataFrame) -> RawTable:
    return RawTable(str(path), [f"row {row}" for row in range(1, len(table) + 1)], table)


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")  # line ends as they are: a quoted value may hold any
    except UnicodeDecodeError as error:
        raise BadData(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror}") from None


def _read_csv(path: Path) -> pd.DataFrame:
    text = _text_of(path)
    first = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row and rows and len(row) != len(rows[0]):
                raise BadData(f"{path}, line {reader.line_num}: {len(row)} values for {len(rows[0])} columns")
            rows += [row] if row else []
    except csv.Error as error:
        raise BadData(f"{path}, line {reader.line_num}: {error}; mend the quoting") from None
    if len(rows) < 2:
        raise BadData(f"{path} has no rows")
    names = [name.strip() for name in rows[0]]
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadData(f"{path} has the column {min(twice)!r} twice; rename one")
    return pd.DataFrame(rows[1:], columns=names, dtype="str")


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise BadData(f"{path} is no parquet table: {error}") from None
    if table.empty:
        raise BadData(f"{path} has no rows")
    return table.reset_index(drop=True)  # a shuffled or filtered frame keeps its old index in the file


def _read_json_lines(path: Path) -> RawTable:
    """One object a line; empty lines count, but hold no row."""
    lines = [(number, line) for number, line in enumerate(_text_of(path).split("\n"), start=1) if line.strip()]
    objects = []
    for number, line in lines:
        try:
            objects.append(json_object(line))
        except ValueError as error:
            raise BadData(f"{path}, line {number}: no JSON object ({error}); mend or remove the line") from None
    if not objects:
        raise BadData(f"{path} has no rows")
    return RawTable(str(path), [f"line {number}" for number, _ in lines], frame_of(str(path), objects))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _null(constant: str) -> None:
    if constant != "NaN":
        raise ValueError(f"{constant} is no JSON")
