"""Every CSV that graft writes comes from here: no cell is a formula to a spreadsheet; equal rows give equal bytes."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from tasks.contracts.text import visible

# OWASP, "CSV Injection"; the last four are the full-width forms that some spreadsheets take for the first.
_FORMULA = "[=+\\-@\uff1d\uff0b\uff0d\uff20]"
_UNSEEN = "[\ufeff\u200b-\u200f\u2060\ufffd]*"  # what a reader may drop in front of it
_STARTS = re.compile(f"{_UNSEEN}({_FORMULA}|[\t\n])")
# Where a program takes semicolons, tabs or line ends for the end of a cell, what follows one is a start too.
_STARTS_AFTER = re.compile(f'([;\t\n]"?)(?=[\\s"\']*{_UNSEEN}{_FORMULA})')
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as CSV with Unix line ends; None is an empty cell."""
    return csv_lines([columns]) + csv_lines(rows)


def csv_lines(rows: Iterable[Sequence[Any]]) -> str:
    """Rows as lines of such a table: of one that is written in pieces, the first of which are the columns' names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([csv_safe(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return text.getvalue()


def csv_safe(text: str) -> str:
    """`text` as a CSV cell that no spreadsheet runs: a formula gets an apostrophe in front; numbers stay."""
    if _NUMBER.fullmatch(text):
        return text
    lines = text.replace("\r\n", "\n").replace("\r", "\n")  # a bare return would end the row: csv does not quote it
    inert = _STARTS_AFTER.sub(r"\1'", visible(lines))
    return f"'{inert}" if _STARTS.match(inert) else inert
