"""The user's part of the data contract: `contract.json`, a Great Expectations suite, read as plain data.

It may come from a stranger, so nothing in it is imported, looked up or run.
"""

import difflib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from tasks.contracts.errors import BadUsage, one_line
from tasks.contracts.records import SPLITS

Level = Literal["error", "warn"]

ROWS = ("all", "kept", *SPLITS)
MOST_BYTES, MOST_ENTRIES, MOST_PATTERN = 4_000_000, 500, 500
_COLUMN = (  # after expect_column_
    "to_exist",
    *("values_to_be_null", "values_to_not_be_null", "values_to_be_unique", "values_to_be_between"),
    *("values_to_be_in_set", "values_to_not_be_in_set", "values_to_match_regex", "values_to_not_match_regex"),
    *("distinct_values_to_be_in_set", "distinct_values_to_contain_set", "distinct_values_to_equal_set"),
    *("value_lengths_to_be_between", "value_lengths_to_equal", "most_common_value_to_be_in_set"),
    *("min_to_be_between", "max_to_be_between", "mean_to_be_between", "median_to_be_between", "sum_to_be_between"),
    *("stdev_to_be_between", "quantile_values_to_be_between", "unique_value_count_to_be_between"),
    *("proportion_of_unique_values_to_be_between", "proportion_of_non_null_values_to_be_between"),
    *("pair_values_to_be_equal", "pair_values_a_to_be_greater_than_b", "pair_values_to_be_in_set"),
)
TYPES = (  # those that look at the values of one table and at nothing else: no query, no second table, no schema
    *(f"expect_column_{name}" for name in _COLUMN),
    *("expect_table_row_count_to_be_between", "expect_table_row_count_to_equal"),
    *("expect_compound_columns_to_be_unique", "expect_select_column_values_to_be_unique_within_record"),
)
PATTERNS = ("expect_column_values_to_match_regex", "expect_column_values_to_not_match_regex")
_NAMED = 12  # known words in a sentence
_DEPTH = 5  # of lists and objects in kwargs
_TOP_KEYS = ("name", "expectations", "meta", "notes", "id")
_ENTRY_KEYS = ("type", "kwargs", "meta", "notes", "description", "severity", "id")
_LEVELS: dict[object, Level] = {
    "critical": "error",
    "warning": "warn",
    "info": "warn",
    "error": "error",
    "warn": "warn",
}


@dataclass(frozen=True)
class Entry:
    """One expectation: its type in snake case, what it is called with, and which rows it looks at.

    `notes` is the sentence that a reader sees; `source` is `graft`, or the place in the file.
    """

    type: str
    kwargs: dict[str, Any]
    rows: str = "kept"
    notes: str = ""
    severity: Level = "error"
    source: str = "graft"
    meta: dict[str, Any] = field(default_factory=dict)


def read_suite(path: Path) -> tuple[Entry, ...]:
    """The expectations in the file.

    Raises BadUsage, one line, where it is missing, too large, no JSON or no suite, or holds what graft does not run:
    other types, parameters, patterns that are too long or no RE2.
    """
    document = _load(path)
    if not isinstance(document, dict) or not isinstance(document.get("expectations"), list):
        raise BadUsage(f"{path} holds no list `expectations`, as in {{'name': 'contract', 'expectations': []}}")
    _require_known(document, _TOP_KEYS, str(path))
    entries = document["expectations"]
    if len(entries) > MOST_ENTRIES:
        raise BadUsage(f"{path} has {len(entries):,} expectations; {MOST_ENTRIES} is the most")
    return tuple(_entry(one, f"{path.name}, expectation {number}") for number, one in enumerate(entries, start=1))


def nearest(word: object, known: tuple[str, ...]) -> str:
    """The end of a sentence about an unknown word: what may have been meant."""
    near = difflib.get_close_matches(str(word)[:100], known, n=1, cutoff=0.5)
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return f", did you mean {near[0]}?" if near else f"; known: {', '.join(known[:_NAMED])}{more}"


def _load(path: Path) -> Any:
    try:
        if not path.is_file():
            raise BadUsage(
                f"{path} is {'no file' if path.exists() else 'missing'}; `graft init {path.parent}` makes one"
            )
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadUsage(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise BadUsage(f"{path} is larger than {MOST_BYTES / 1e6:g} MB; that is no contract that a person reads")
    try:
        document = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse_constant)
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()  # 1e999 and half characters are not ours
    except json.JSONDecodeError as error:
        raise BadUsage(f"{path}, line {error.lineno}, column {error.colno}: no JSON ({error.msg})") from None
    except (ValueError, RecursionError) as error:
        raise BadUsage(f"{path} is no JSON that graft reads ({one_line(str(error))[:100]})") from None
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _entry(one: Any, where: str) -> Entry:
    if not isinstance(one, dict) or not isinstance(one.get("type"), str):
        raise BadUsage(f"{where}: write it as {{'type': 'expect_...', 'kwargs': {{...}}, 'meta': {{...}}}}")
    _require_known(one, _ENTRY_KEYS, where)
    if one["type"] not in TYPES:
        near = nearest(one["type"], TYPES)
        raise BadUsage(f"{where}: {one_line(one['type'])[:100]!r} is no type of expectation that graft runs{near}")
    kwargs, meta = one.get("kwargs", {}), one.get("meta") or {}
    if not isinstance(kwargs, dict) or not isinstance(meta, dict):
        raise BadUsage(f"{where}: `kwargs` and `meta` are objects, as in {{'column': 'label'}}")
    _require_plain(kwargs, where)
    if one["type"] in PATTERNS:
        _require_bounded(kwargs.get("regex"), where)
    rows = meta.get("rows", "kept")
    if rows not in ROWS:
        raise BadUsage(f"{where}: meta.rows is {rows!r}{nearest(rows, ROWS)}")
    notes = one.get("notes") or meta.get("notes") or one.get("description") or ""
    severity = _level(meta.get("severity") or one.get("severity") or "critical", where)
    return Entry(one["type"], kwargs, rows, one_line(str(notes)), severity, where, meta)


def _level(word: object, where: str) -> Level:
    if not isinstance(word, str) or word not in _LEVELS:
        raise BadUsage(f"{where}: severity is {word!r}; critical closes the gate, warning and info do not")
    return _LEVELS[word]


def _require_known(found: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in found:
        if key not in known:
            raise BadUsage(f"{where}: unknown key {one_line(key)[:100]!r}{nearest(key, known)}")


def _require_plain(value: Any, where: str, depth: int = 0) -> None:
    """Neither a parameter, which is looked up elsewhere, nor a tree without end."""
    if depth > _DEPTH:
        raise BadUsage(f"{where}: kwargs are nested more than {_DEPTH} deep")
    for key in value if isinstance(value, dict) else ():
        if key.startswith("$"):
            raise BadUsage(f"{where}: {one_line(key)[:100]!r} is a parameter, which graft has none of; write the value")
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _require_plain(one, where, depth + 1)


def _require_bounded(pattern: Any, where: str) -> None:
    """RE2 takes time that is linear in the text; what it lacks (look around, refer back) is what may take for ever."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not isinstance(pattern, str) or len(pattern) > MOST_PATTERN:
        raise BadUsage(f"{where}: a `regex` is text of at most {MOST_PATTERN} characters")
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        raise BadUsage(f"{where}: {pattern!r} is no RE2 pattern ({one_line(str(error))[:120]})") from None
