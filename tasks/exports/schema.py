"""Our JSON Schema (2020-12) of the reports, made from the records themselves so that neither can drift.

`python -m tasks.exports.schema` writes the committed file anew; a test holds that it is up to date.
"""

import inspect
import json
import types
from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tasks.audit.records import AuditReport, SignOff
from tasks.contracts.errors import BadUsage
from tasks.contracts.files import write_text
from tasks.contracts.model_records import EvaluationReport
from tasks.contracts.records import SCHEMA_VERSION, BiasReport, GateReport, QualityReport
from tasks.exports.described import described

Schema = dict[str, Any]

NAME = f"audit-{SCHEMA_VERSION}.schema.json"
COMMITTED = Path(__file__).parents[1] / "contracts" / "schemas" / NAME
ROOTS: tuple[type, ...] = (QualityReport, BiasReport, GateReport, EvaluationReport, AuditReport, SignOff)

_PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    Any: {},
}
# A number without these is no evidence, so they may not be left to a default as other fields may.
_NEEDED = {
    "Statistic": {"name", "value", "n", "status", "estimator"},
    "Entry": {"kind", "number", "created_at", "previous"},
    "SignOffEntry": {"kind", "number", "created_at", "previous"},
}
_OPTIONAL = {"EvaluationReport": {"mistakes"}}  # an audit's document names no file, so it leaves them out
_HELD: dict[tuple[str, str], Any] = {  # what an audit's document holds is typed there as the plain data that it is
    ("AuditReport", "bias"): BiasReport,
    ("AuditReport", "gate"): GateReport,
    ("AuditReport", "evaluation"): EvaluationReport | None,
}
_SHA256 = {"pattern": "^[0-9a-f]{64}$"}
_LIMITS: dict[tuple[str, str], Schema] = {
    ("Statistic", "n"): {"minimum": 0},
    ("Statistic", "estimator"): {"minLength": 1},
    ("Statistic", "p_value"): {"minimum": 0, "maximum": 1},
    ("Finding", "evidence"): {"maxItems": 10},
    ("Mistake", "sha256"): _SHA256,
    ("Entry", "root_sha256"): _SHA256,
    ("Entry", "previous"): _SHA256,
    ("Entry", "number"): {"minimum": 1},
    ("Entry", "kind"): {"const": "audit"},
    ("SignOffEntry", "audit_sha256"): _SHA256,
    ("SignOffEntry", "previous"): _SHA256,
    ("SignOffEntry", "kind"): {"const": "sign_off"},
    ("Subject", "root_sha256"): _SHA256,
}
_RULES: dict[str, Schema] = {
    "Statistic": {
        "if": {"properties": {"status": {"const": "measured"}}},
        "then": {"properties": {"value": {"type": "number"}}},
        "else": {"properties": {"value": {"type": "null"}}},
    }
}


def schema() -> Schema:
    """The schema of every report of ROOTS, told apart by `report`. Raises BadUsage on a field without a description."""
    found: dict[str, Schema] = {}
    for root in ROOTS:
        _define(root, found)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:graft:schema:audit:{SCHEMA_VERSION}",
        "title": "graft's reports",
        "description": "Of a data set's quality, its bias, the gate, a model's evaluation, and the audit of them all. "
        "Fields that were added later may be missing; a field that is not listed is refused.",
        "type": "object",
        "required": ["report", "schema_version"],
        "properties": {"report": {"enum": [_kind(root) for root in ROOTS]}},
        "allOf": [
            {
                "if": {"properties": {"report": {"const": _kind(root)}}, "required": ["report"]},
                "then": {"$ref": f"#/$defs/{root.__name__}"},
            }
            for root in ROOTS
        ],
        "$defs": {name: found[name] for name in sorted(found)},
    }


def schema_text() -> str:
    """The schema as the committed file holds it."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _define(record: type, found: dict[str, Schema]) -> None:
    if record.__name__ in found:
        return
    found[record.__name__] = {}  # the place is taken, should a record hold itself
    hints, words = get_type_hints(record), described(record)
    needed = {field.name for field in fields(record) if _is_bare(field)}
    needed = (needed | _NEEDED.get(record.__name__, set())) - _OPTIONAL.get(record.__name__, set())
    properties: Schema = {}
    for field in fields(record):
        kind = _HELD.get((record.__name__, field.name), hints[field.name])
        own = {**_of(kind, found), **_LIMITS.get((record.__name__, field.name), {})}
        if field.name in ("report", "schema_version"):
            own = {"const": field.default}
            needed |= {field.name}
        properties[field.name] = {"description": words[field.name], **own}
    found[record.__name__] = {
        "description": " ".join(inspect.cleandoc(record.__doc__ or "").split()),
        "type": "object",
        "additionalProperties": False,
        "required": [field.name for field in fields(record) if field.name in needed],
        "properties": properties,
        **_RULES.get(record.__name__, {}),
    }


def _of(kind: Any, found: dict[str, Schema]) -> Schema:
    """The schema of values of a type."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if is_dataclass(kind):
        _define(kind, found)  # type: ignore[arg-type]
        return {"$ref": f"#/$defs/{kind.__name__}"}  # type: ignore[union-attr]
    if origin is Literal:
        return {"enum": list(inner)}
    if origin in (Union, types.UnionType):
        return _any_of([_of(one, found) for one in inner])
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(inner[1], found)}
    if origin is tuple and inner[1:] == (...,):
        return {"type": "array", "items": _of(inner[0], found)}
    if origin is tuple:
        return {"type": "array", "prefixItems": [_of(one, found) for one in inner], "items": False}
    raise BadUsage(f"tasks/exports/schema.py knows no schema for {kind}; teach it there")


def _any_of(parts: list[Schema]) -> Schema:
    """One of several; plain types side by side, as `["number", "null"]`."""
    if all(set(part) == {"type"} for part in parts):
        return {"type": [part["type"] for part in parts]}
    return {"anyOf": parts}


def _kind(root: type) -> str:
    return str(root.report)  # type: ignore[attr-defined]


def _is_bare(field: "Field[Any]") -> bool:
    return field.default is MISSING and field.default_factory is MISSING


if __name__ == "__main__":
    write_text(COMMITTED, schema_text())
