"""What came of each line of the data contract: as a record, as JSON, and in words."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from tasks.contracts.errors import one_line
from tasks.contracts.records import Expectation, Finding, Statistic
from tasks.contracts.text import json_text
from tasks.quality.suite import Entry

_EXAMPLES = 5
_LISTED = 20  # values in a result
_NAMED = 10  # classes in a sentence
_CLASS_RULE = re.compile(r"expect_column_(?:distinct_)?values_to_(be_in|contain|equal)_set")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")  # in an error's words, another one in each process


@dataclass(frozen=True)
class Outcome:
    """Whether an entry is met, the engine's own result as plain JSON, and why it could not be checked, if so."""

    success: bool
    result: dict[str, Any] = field(default_factory=dict)
    problem: str = ""


def record(entry: Entry, outcome: Outcome, labels: pd.Series) -> Expectation:
    """One line of the contract; `labels` are those of the rows that the entry looks at.

    A broken rule on the set of classes says which are new and which have vanished; of any other the examples are
    values against it.
    """
    column = entry.kwargs.get("column")
    line = Expectation(
        expectation=entry.type,
        column=column if isinstance(column, str) else "",
        rule=entry.notes,
        success=outcome.success,
        unexpected=0,
        severity=entry.severity,
        source=entry.source,
    )
    if outcome.success:
        return line
    found = outcome.result
    new, vanished = _changed_classes(entry, labels)
    told = [outcome.problem and f"({outcome.problem})", _listed("new", new), _listed("vanished", vanished)]
    values = [*new, *vanished] or found.get("partial_unexpected_list") or found.get("partial_missing_list") or []
    return replace(
        line,
        rule=" ".join(filter(None, [entry.notes, *told])),
        unexpected=int(found.get("unexpected_count") or found.get("missing_count") or 0),
        examples=tuple(dict.fromkeys(str(value) for value in values))[:_EXAMPLES],
    )


def settled(entry: Entry, outcome: Outcome, values: pd.Series) -> Outcome:
    """The same outcome in each process; `values` are those of the entry's column.

    The engine lists what one set has and another lacks in the order in which they happen to come, and cuts that short.
    """
    if "_distinct_values_to_" not in entry.type or outcome.problem:
        return outcome
    there = {str(one): one for one in plain(values.dropna().unique().tolist())}
    wanted = {str(one): one for one in entry.kwargs.get("value_set") or []}
    lists = {
        "partial_unexpected_list": [there[name] for name in sorted(there.keys() - wanted.keys())],
        "partial_missing_list": [wanted[name] for name in sorted(wanted.keys() - there.keys())],
    }
    ours = {key: some[:_LISTED] for key, some in lists.items() if key in outcome.result}
    return replace(outcome, result=outcome.result | ours)


def result_json(entries: Sequence[Entry], outcomes: Sequence[Outcome], engine: str) -> str:
    """All outcomes in Great Expectations' form; equal ones give equal bytes, `engine` is its version.

    Neither times nor run ids nor the traces of errors are in it.
    """
    met = sum(outcome.success for outcome in outcomes)
    document = {
        "suite_name": "contract",
        "success": met == len(outcomes),
        "statistics": {
            "evaluated_expectations": len(outcomes),
            "successful_expectations": met,
            "unsuccessful_expectations": len(outcomes) - met,
            "success_percent": 100 * met / len(outcomes) if outcomes else None,
        },
        "meta": {"great_expectations_version": engine},
        "results": [_one_result(entry, outcome) for entry, outcome in zip(entries, outcomes, strict=True)],
    }
    return json_text(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)) + "\n"


def about_contract(contract: Sequence[Expectation], rows: int) -> list[Finding]:
    """Every broken rule, and a word where no rule of the user's names the classes; `rows` are those of the table."""
    return [*broken_rules(contract, rows), *_unnamed_classes(contract)]


def broken_rules(contract: Iterable[Expectation], rows: int) -> list[Finding]:
    """A finding for each line that is not met; `rows` is the number of rows in the table."""
    return [
        Finding(
            check="contract",
            severity=line.severity,
            subject=line.column,
            statistic=Statistic("unexpected", float(line.unexpected), rows, estimator="count"),
            message=f"the data contract is broken: {line.rule or line.expectation.replace('_', ' ')}",
            remedy=_remedy(line),
        )
        for line in contract
        if not line.success
    ]


def plain(value: Any) -> Any:
    """`value`, of builtin types, as JSON can hold it: NaN and infinity become null, odd types their text."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else said(value)


def said(error: object) -> str:
    """An error's words on one line, the same in each process."""
    return _ADDRESS.sub("0x", one_line(str(error)))[:200]


def _changed_classes(entry: Entry, labels: pd.Series) -> tuple[list[str], list[str]]:
    """The classes that a user's set does not name, and those of it that no row has; as far as the rule minds."""
    kind, named = _CLASS_RULE.fullmatch(entry.type), entry.kwargs.get("value_set")
    if entry.source == "graft" or not kind or entry.kwargs.get("column") != "label" or not isinstance(named, list):
        return [], []
    there, wanted = set(labels.dropna()), {str(one) for one in named}
    new = sorted(there - wanted) if kind[1] != "contain" else []
    return new, sorted(wanted - there) if kind[1] != "be_in" else []


def _unnamed_classes(contract: Sequence[Expectation]) -> list[Finding]:
    theirs = [line for line in contract if line.source != "graft"]
    if any(line.column == "label" and _CLASS_RULE.fullmatch(line.expectation) for line in theirs):
        return []
    return [
        Finding(
            check="contract_without_classes",
            severity="info",
            subject="label",
            statistic=Statistic("rules_on_classes", 0.0, len(theirs), estimator="count"),
            message="contract.json does not say which classes there are: a new one would pass unseen",
            remedy="remove contract.json and run `graft init` on the workspace to have the data's classes written in",
        )
    ]


def _listed(what: str, classes: list[str]) -> str:
    if not classes:
        return ""
    more = f" and {len(classes) - _NAMED:,} more" if len(classes) > _NAMED else ""
    return f"({what}: {', '.join(repr(one) for one in classes[:_NAMED])}{more})"


def _remedy(line: Expectation) -> str:
    seen = f"see {', '.join(line.examples)}" if line.examples else ""
    if line.source == "graft":
        return seen
    if line.column == "label" and _CLASS_RULE.fullmatch(line.expectation):
        return (
            "relabel or remove the images of a new class, put back those of a vanished one; "
            f"if the change is meant, edit {line.source}"
        )
    return f"{seen + '; ' if seen else ''}correct the data or, if it is meant so, edit {line.source}"


def _one_result(entry: Entry, outcome: Outcome) -> dict[str, Any]:
    return {
        "expectation_config": {"type": entry.type, "kwargs": plain(entry.kwargs), "meta": plain(entry.meta)},
        "notes": entry.notes,
        "severity": entry.severity,
        "rows": entry.rows,
        "source": entry.source,
        "success": outcome.success,
        "result": plain(outcome.result),
        "exception_info": {"raised_exception": bool(outcome.problem), "exception_message": outcome.problem or None},
    }
