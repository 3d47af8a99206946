"""The data contract held against the checked table, with the engine of Great Expectations.

Only its engine and its results are used; the page is drawn from our own record.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from tasks.contracts.environment import prepare_environment
from tasks.contracts.errors import BadUsage, one_line
from tasks.contracts.records import SPLITS, Expectation
from tasks.quality.integrity import derived
from tasks.quality.outcomes import Outcome, record, result_json, said, settled
from tasks.quality.suite import PATTERNS, Entry, nearest, read_suite

if TYPE_CHECKING:
    from great_expectations.datasource.fluent.interfaces import Batch
    from great_expectations.expectations.expectation import Expectation as Rule

_COLUMNS = ("column", "column_A", "column_B", "column_list")  # kwargs that name columns
_OURS = ("row_condition", "condition_parser", "batch_id")  # conditions are code; `rows` says which rows


@dataclass(frozen=True)
class Held:
    """Each line of the contract and whether it is met, and all results as JSON text."""

    rules: tuple[Expectation, ...]
    result: str


def read_contract(path: Path) -> tuple[Entry, ...]:
    """The entries of `contract.json`, each one that the engine can be called with.

    Raises BadUsage, one line, as `read_suite` does, and on arguments that a type does not take.
    """
    entries = read_suite(path)
    for entry in entries:
        _require_callable(entry)
    return entries


def hold_contract(checked: pd.DataFrame, entries: Sequence[Entry]) -> Held:
    """Hold the checked table against every entry; one that cannot be computed counts as broken.

    Columns path, sha256, label, split, verdict, reasons, pixels_crc32, and whatever else the entries name.
    """
    gx = _engine()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("checked")
    tables = _tables(checked)
    batches: dict[str, Batch] = {}
    for rows, table in tables.items():
        asset = source.add_dataframe_asset(rows)
        batches[rows] = asset.add_batch_definition_whole_dataframe(rows).get_batch({"dataframe": table})
    outcomes = [_outcome(entry, tables[entry.rows], batches[entry.rows]) for entry in entries]
    lines = zip(entries, outcomes, strict=True)
    rules = tuple(record(entry, outcome, tables[entry.rows]["label"]) for entry, outcome in lines)
    return Held(rules, result_json(entries, outcomes, gx.__version__))


def _engine() -> Any:
    prepare_environment()
    import great_expectations as gx

    for name in ("great_expectations", "great_expectations.data_context.types.base"):  # which sets a level of its own
        logging.getLogger(name).setLevel(logging.WARNING)  # Prefect's root handler would show its chatter
    return gx


def _tables(checked: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What an entry may look at, by the name of its rows; lists of reasons are columns of their own there."""
    table = pd.concat([checked.drop(columns="reasons"), derived(checked)], axis=1)
    kept = table[table["kept"] == 1]
    return {"all": table, "kept": kept, **{split: kept[kept["split"] == split] for split in SPLITS}}


def _require_callable(entry: Entry) -> None:
    _engine()
    from great_expectations.compatibility.pydantic import ValidationError
    from great_expectations.expectations.expectation import Expectation as Base

    known = tuple(name for name in _type(entry).__fields__ if name not in Base.__fields__ and name not in _OURS)
    for name in entry.kwargs:
        if name not in known:
            raise BadUsage(f"{entry.source}: {entry.type} takes no {one_line(name)[:100]!r}{nearest(name, known)}")
    try:
        _rule(entry)
    except (ValidationError, ArithmeticError, TypeError, ValueError) as error:
        words = one_line(str(error))[:200]
        raise BadUsage(f"{entry.source}: {entry.type} cannot be called like this ({words})") from None


def _type(entry: Entry) -> Any:
    from great_expectations.expectations import core

    return getattr(core, "".join(word.capitalize() for word in entry.type.split("_")))


def _rule(entry: Entry) -> "Rule":
    rule: Rule = _type(entry)(**entry.kwargs)
    return rule


def _outcome(entry: Entry, table: pd.DataFrame, batch: "Batch") -> Outcome:
    from great_expectations.exceptions import GreatExpectationsError

    if problem := _unknown_column(entry, table):
        return Outcome(success=False, problem=problem)
    try:
        found = batch.validate(_rule(_without_pattern(entry, table)))
    except (GreatExpectationsError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        return Outcome(success=False, problem=f"it could not be checked: {said(error)}")
    if words := _exception(found.exception_info or {}):
        return Outcome(success=False, problem=f"it could not be checked: {said(words)}")
    outcome = Outcome(bool(found.success), found.to_json_dict().get("result") or {})
    column = entry.kwargs.get("column")
    return settled(entry, outcome, table[column]) if column in table else outcome


def _unknown_column(entry: Entry, table: pd.DataFrame) -> str:
    if entry.type == "expect_column_to_exist":
        return ""
    for key in _COLUMNS:
        named = entry.kwargs.get(key, [])
        for name in named if isinstance(named, list) else [named]:
            if not isinstance(name, str) or name not in table:
                return f"the table has no column {name!r}{nearest(name, tuple(map(str, table)))}"
    return ""


def _without_pattern(entry: Entry, table: pd.DataFrame) -> Entry:
    """The same rule as a set of values that are against it: RE2 finds them, the engine's patterns may never end."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if entry.type not in PATTERNS:
        return entry
    rest = {key: value for key, value in entry.kwargs.items() if key != "regex"}
    values = table[entry.kwargs["column"]].dropna().unique().tolist()
    matches = pc.match_substring_regex(pa.array([str(one) for one in values], pa.string()), entry.kwargs["regex"])
    wanted = entry.type == PATTERNS[0]
    against = [one for one, match in zip(values, matches.to_pylist(), strict=True) if match is not wanted]
    return Entry("expect_column_values_to_not_be_in_set", {**rest, "value_set": against})


def _exception(info: dict[str, Any]) -> str:
    """The engine's words where a metric failed; it nests them under the metric's name."""
    nested: Iterable[Any] = info.values() if "raised_exception" not in info else [info]
    return next((str(one.get("exception_message")) for one in nested if one.get("raised_exception")), "")
