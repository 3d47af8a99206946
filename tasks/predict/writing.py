"""Answers on their way out, some at a time: a CSV or parquet that is there whole or not at all, JSON, lines."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tasks.contracts.csv_text import csv_lines
from tasks.contracts.errors import BadUsage
from tasks.contracts.files import replacing
from tasks.contracts.text import json_text, shortened, visible
from tasks.predict.answers import Answer

COLUMNS = ("path", "label", "probability", "plausible", "unlike", "unlike_score", "why", "problem", "model")
ENDINGS = (".csv", ".parquet")
_WIDEST = 28

Write = Callable[[list[Answer]], None]


def require_ending(path: Path) -> None:
    """Raise BadUsage where a file has not the ending of a table that can be written."""
    if path.suffix.lower() not in ENDINGS:
        raise BadUsage(f"--out {path}: its ending must be {' or '.join(ENDINGS)}")


@contextmanager
def table_file(path: Path, model: str) -> Iterator[Write]:
    """What appends answers to the table that stands at `path` once all are written; before, or after an error, not.

    Raises BadUsage where the ending is neither .csv nor .parquet.
    """
    require_ending(path)
    with replacing(path) as part, (_csv if path.suffix.lower() == ".csv" else _parquet)(part, model) as write:
        yield write


@contextmanager
def _csv(path: Path, model: str) -> Iterator[Write]:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(csv_lines([COLUMNS]))

        def write(some: list[Answer]) -> None:
            file.write(csv_lines(_csv_row(one, model) for one in some))

        yield write


def _csv_row(one: Answer, model: str) -> list[Any]:
    row = _row(one, model)
    plausible = "" if row["plausible"] is None else json.dumps(row["plausible"], ensure_ascii=False)
    return list({**row, "plausible": plausible}.values())


@contextmanager
def _parquet(path: Path, model: str) -> Iterator[Write]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = dict.fromkeys(COLUMNS, pa.string())
    types |= {"probability": pa.float64(), "unlike_score": pa.float64(), "unlike": pa.bool_()}
    schema = pa.schema(types | {"plausible": pa.list_(pa.string())})
    with pq.ParquetWriter(path, schema) as file:

        def write(some: list[Answer]) -> None:
            file.write_batch(pa.RecordBatch.from_pylist([_row(one, model) for one in some], schema=schema))

        yield write


def _row(one: Answer, model: str) -> dict[str, Any]:
    """Text that any reader can read: a file name need not be."""
    row = {name: value for name, value in vars(one).items() if name != "probabilities"}
    row |= {name: visible(row[name]) for name in ("path", "label", "why", "problem")}
    row["plausible"] = None if one.plausible is None else [visible(label) for label in one.plausible]
    return {**row, "model": visible(model)}


def json_lines(some: list[Answer], model: str) -> list[str]:
    """Each answer as one line of JSON, an object."""
    return [json_text(json.dumps({**asdict(one), "model": model}, ensure_ascii=False)) for one in some]


def label_width(classes: tuple[str, ...]) -> int:
    """How wide the column of labels is."""
    return min(_WIDEST, max(len(shortened(label)) for label in classes))


def screen_lines(some: list[Answer], width: int) -> list[str]:
    """Each answer as a line: label, probability, how unlike, path, and why no label is there."""
    return [
        f"{shortened(one.label or '-', width):<{width}}  {_share(one.probability):>6}  {_score(one.unlike_score):>6}  "
        f"{shortened(one.path, 10_000)}{_said(one)}"
        for one in some
    ]


def _said(one: Answer) -> str:
    if one.plausible and not one.label:
        return shortened(f"  ({one.why}: {', '.join(one.plausible)})")
    return f"  ({one.problem or one.why})" if one.problem or one.why else ""


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
