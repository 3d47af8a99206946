"""The optional table beside the images: CSV or Parquet, with a column `path` and any of label, split, group, more."""

import csv
import io
import re
from pathlib import Path, PurePosixPath

import pandas as pd

from tasks.contracts.errors import BadData
from tasks.contracts.params import IngestParams
from tasks.ingest.folders import SPLIT_NAMES

DEFAULT_NAMES = ("metadata.csv", "metadata.parquet")
PATH_COLUMNS = ("path", "file_name")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")  # "007" is a name


def find_table(root: Path, named: str | None) -> Path | None:
    """The table that params name, or the default one; None where there is none.

    Raises BadData where the named one is missing or both defaults are there.
    """
    if named is not None:
        if not (root / named).is_file():
            raise BadData(f"{root / named} is missing or no file; ingest.table names it")
        return root / named
    there = [root / name for name in DEFAULT_NAMES if (root / name).is_file()]
    if len(there) > 1:
        raise BadData(f"{root} has {' and '.join(DEFAULT_NAMES)}; name the one to use in ingest.table")
    return there[0] if there else None


def read_table(path: Path, params: IngestParams) -> pd.DataFrame:
    """The table with the columns `path`, `label`, `split`, `group` (text or null) and `meta_*`; one row a path.

    Empty text is null, `NA` and `nan` are text, labels are text, split names are graft's four. Raises BadData.
    """
    table = _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path)
    column = next((name for name in PATH_COLUMNS if name in table), None)
    if column is None:
        raise BadData(f"{path} has no column `path` (columns: {', '.join(map(str, table.columns))}); add one")
    group = params.group or "group"
    if params.group is not None and params.group not in table:
        raise BadData(f"{path} has no column {params.group!r}, which ingest.group names")
    out = pd.DataFrame({"path": _paths(table[column], path)}, dtype="str")
    for name, source in (("label", "label"), ("split", "split"), ("group", group)):
        values = _texts(table[source]) if source in table else pd.Series(None, index=table.index, dtype="str")
        out[name] = _filled(values.str.strip())
    out["split"] = _splits(out["split"], path)
    for name in table.columns.drop([column, *({"label", "split", "group"} & set(table.columns))]):
        out[f"meta_{name}"] = _metadata(table[name])
    return _one_row_a_path(out, path)


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadData(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise BadData(f"{path} cannot be read: {error.strerror}") from None
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


def _texts(values: pd.Series) -> pd.Series:
    """Text of any column; whole numbers without the `.0` that a missing value gives their column."""
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    return values.astype("str").where(values.notna(), None).astype("str")


def _filled(texts: pd.Series) -> pd.Series:
    return texts.where(texts != "", None).astype("str")


def _paths(values: pd.Series, table: Path) -> list[str]:
    paths = []
    for row, text in enumerate(_texts(values), start=1):
        if not isinstance(text, str) or not text.strip():
            raise BadData(f"{table}, row {row}: no path")
        path = PurePosixPath(text.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or "\0" in text:
            raise BadData(f"{table}, row {row}: {text!r} leaves the data folder; paths are relative to it")
        paths.append(path.as_posix())
    return paths


def _splits(values: pd.Series, table: Path) -> pd.Series:
    known = values.str.lower().map(SPLIT_NAMES).astype("str")
    unknown = values.notna() & known.isna()
    if unknown.any():
        row = int(unknown.to_numpy().argmax())
        raise BadData(f"{table}, row {row + 1}: unknown split {values.iloc[row]!r}; known: {', '.join(SPLIT_NAMES)}")
    return known


def _metadata(values: pd.Series) -> pd.Series:
    """Numbers and truth values as they are, text that is all numbers as numbers, everything else as text."""
    if pd.api.types.is_numeric_dtype(values):
        return values
    texts = _filled(_texts(values))
    there = texts.dropna()
    if len(there) and there.map(lambda text: _NUMBER.fullmatch(text) is not None).all():
        return pd.to_numeric(texts)
    return texts


def _one_row_a_path(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    table = table.drop_duplicates(ignore_index=True)
    twice = table["path"].duplicated(keep=False)
    if twice.any():
        first = table.loc[twice, "path"].iloc[0]
        differ = table[table["path"] == first].nunique(dropna=False) > 1
        columns = [str(name) for name in table.columns[differ]]
        raise BadData(f"{path} has {first!r} more than once with different {' and '.join(columns)}; leave one row")
    return table
