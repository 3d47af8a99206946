import copy
import json
from dataclasses import dataclass, fields

import pytest
from jsonschema import Draft202012Validator

from tasks.audit.records import SignOff, SignOffEntry
from tasks.bias.gate import judge
from tasks.contracts.errors import BadUsage
from tasks.contracts.params import GateParams, WaiverParams
from tasks.contracts.records import Statistic, to_json
from tasks.exports.described import described
from tasks.exports.field_words import FIELD_WORDS
from tasks.exports.schema import COMMITTED, ROOTS, schema, schema_text
from tests.exports.documents import document, records

# Whose keys are the data's or the params': any may be there.
FREE = {"composition", "split_sizes", "reasons", "splits", "lists", "artifacts"}
FREE |= {"params", "declared", "results", "expect"}
VALIDATOR = Draft202012Validator(json.loads(COMMITTED.read_text(encoding="utf-8")))


def problems(report) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(report)]


def refused(report) -> set[tuple[str | int, ...]]:
    """The places at which a report is refused."""
    found, errors = set(), list(VALIDATOR.iter_errors(report))
    while errors:
        error = errors.pop()
        found.add(tuple(error.absolute_path))
        errors += error.context
    return found


@pytest.fixture(scope="module")
def reports():
    """Each kind of report as plain data, as it lies in a workspace."""
    return {"audit": document()} | {name: json.loads(to_json(record)) for name, record in records().items()}


def places(data, wanted, here=()):
    """The places in a report of dicts that have all of `wanted`."""
    if isinstance(data, dict):
        if wanted <= set(data):
            yield here
        for key, inner in data.items():
            yield from places(inner, wanted, (*here, key))
    elif isinstance(data, list):
        for i, inner in enumerate(data):
            yield from places(inner, wanted, (*here, i))


def at(data, place):
    for key in place:
        data = data[key]
    return data


def test_the_committed_schema_is_the_one_that_the_records_make():
    """After a change of a record: `python -m tasks.exports.schema`."""
    assert COMMITTED.read_text(encoding="utf-8") == schema_text()


def test_it_is_a_schema_and_names_no_outside_address_of_its_own():
    Draft202012Validator.check_schema(schema())
    assert schema()["$id"].startswith("urn:")
    assert [line for line in schema_text().splitlines() if "//" in line] == [
        '  "$schema": "https://json-schema.org/draft/2020-12/schema",'
    ]


def test_each_record_has_the_fields_that_its_schema_has_and_each_is_described():
    defined = schema()["$defs"]
    for root in ROOTS:
        assert list(defined[root.__name__]["properties"]) == [field.name for field in fields(root)]
    for name, one in defined.items():
        assert one["additionalProperties"] is False, name
        assert all(part["description"] for part in (one, *one["properties"].values())), name
    assert set(FIELD_WORDS) <= set(defined), "words about a record that no report holds"


def test_real_reports_are_valid(reports):
    assert {name: problems(report) for name, report in reports.items()} == {name: [] for name in reports}


@pytest.mark.parametrize("field", ["n", "estimator", "status", "value", "name"])
def test_a_number_without_what_it_takes_to_trust_it_is_refused(reports, field):
    for report in reports.values():
        numbers, wrong = set(places(report, {"value", "n", "estimator", "status"})), copy.deepcopy(report)
        for place in numbers:
            del at(wrong, place)[field]
        assert numbers <= refused(wrong)


@pytest.mark.parametrize(
    "change",
    [
        {"n": -1},
        {"n": 1.5},
        {"n": None},
        {"estimator": ""},
        {"status": "fine"},
        {"status": "too_small"},  # with a number
        {"value": None},  # that is said to be measured
        {"value": "0.5"},
        {"p_value": 1.5},
        {"sure": True},
    ],
)
def test_a_number_that_does_not_fit_what_is_said_of_it_is_refused(reports, change):
    wrong = copy.deepcopy(reports["bias"])
    wrong["imbalance_ratio"] |= change
    assert problems(wrong)


def test_a_field_that_nobody_knows_is_refused_in_every_record(reports):
    for report in reports.values():
        own, wrong = {p for p in places(report, set()) if not set(p) & FREE}, copy.deepcopy(report)
        for place in own:
            at(wrong, place)["surprise"] = 1
        assert own <= refused(wrong)


@pytest.mark.parametrize("change", [{"report": "other"}, {"schema_version": 2}])
def test_another_kind_or_version_is_refused(reports, change):
    assert problems(reports["gate"] | change)


@pytest.mark.parametrize("field", ["report", "schema_version"])
def test_a_report_says_its_kind_and_version(reports, field):
    assert problems({key: value for key, value in reports["gate"].items() if key != field})


def test_a_document_of_an_audit_holds_reports_that_are_valid_themselves(reports):
    for name in ("bias", "gate", "evaluation"):
        assert problems(reports["audit"][name]) == []
        wrong = copy.deepcopy(reports["audit"])
        wrong[name]["surprise"] = 1
        assert problems(wrong)


def test_a_closed_gate_is_valid_and_so_is_a_waived_one():
    uneven = Statistic("imbalance", None, 0, status="not_measurable", estimator="ratio")
    waiver = WaiverParams(rule="max_imbalance", reason="only one class yet", by="Ada")
    for params in (GateParams(), GateParams(waivers=(waiver,))):
        report = judge(params, {"findings": []}, {"cat": {"train": 9, "test": 2}}, uneven, ())
        assert report.findings
        assert problems(json.loads(to_json(report))) == []


def test_a_sign_off_is_valid():
    entry = SignOffEntry(1, "ab" * 32, "accepted", "Ada", "auditor", "0.1.0", number=2, previous="cd" * 32)
    decision = json.loads(to_json(SignOff(entry, "looked at by two")))
    assert problems(decision) == []
    assert problems(decision | {"entry": decision["entry"] | {"decision": "perhaps"}})


def test_a_field_needs_a_description():
    @dataclass(frozen=True)
    class New:
        """A record."""

        told: int  # behind it
        # above it,
        # on two lines
        over: int
        untold: int

    with pytest.raises(BadUsage, match="New: untold is a field without a description"):
        described(New)
    FIELD_WORDS["New"] = {"untold": "now it is"}
    try:
        assert described(New) == {"told": "behind it", "over": "above it, on two lines", "untold": "now it is"}
    finally:
        del FIELD_WORDS["New"]
