import json
import os
import re
from pathlib import Path

import pytest

from tasks.contracts.errors import BadUsage
from tasks.quality.suite import MOST_ENTRIES, MOST_PATTERN, Entry, read_suite

TYPE = "expect_column_values_to_be_in_set"
PATTERN = "expect_column_values_to_match_regex"


def written(tmp_path, *entries, **top):
    path = tmp_path / "contract.json"
    path.write_text(json.dumps({"name": "contract", "expectations": list(entries), "meta": {}, **top}))
    return path


def item(kwargs=None, meta=None, **changes):
    return {"type": TYPE, "kwargs": {"column": "label"} if kwargs is None else kwargs, "meta": meta or {}} | changes


def refusal(path) -> str:
    with pytest.raises(BadUsage) as caught:
        read_suite(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_an_entry_says_which_rows_how_grave_and_what_a_reader_sees(tmp_path):
    meta = {"rows": "train", "severity": "warn", "notes": "only\nthese <b>"}
    path = written(tmp_path, item(meta=meta), item(kwargs={}))
    assert read_suite(path) == (
        Entry(TYPE, {"column": "label"}, "train", "only these <b>", "warn", "contract.json, expectation 1", meta),
        Entry(TYPE, {}, "kept", "", "error", "contract.json, expectation 2", {}),
    )


def test_what_great_expectations_itself_writes_is_read(tmp_path):
    path = written(tmp_path, item(id=None, severity="warning", notes="as it writes"), id=None, notes=None)
    (entry,) = read_suite(path)
    assert (entry.severity, entry.notes) == ("warn", "as it writes")


def test_a_mistake_in_the_json_is_named_by_line_and_column(tmp_path):
    path = tmp_path / "contract.json"
    path.write_text('{"name": "contract",\n "expectations": [,]}')
    assert "contract.json, line 2, column 19: no JSON" in refusal(path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "7", '{"expectations": 3}', "[" * 100_000, '{"a": NaN}', '{"a": 1e999}', "1" * 5000, '{"a": "\\ud800"}'],
)
def test_what_is_no_suite_is_one_line(tmp_path, text):
    path = tmp_path / "contract.json"
    path.write_text(text)
    assert str(path) in refusal(path)


def test_bytes_that_are_no_text_and_files_that_are_too_large_are_refused(tmp_path):
    path = tmp_path / "contract.json"
    path.write_bytes(b"\xff\xfe{}")
    assert "is no JSON that graft reads ('utf-8' codec" in refusal(path)
    path.write_bytes(b" " * 4_000_001)
    assert "larger than 4 MB" in refusal(path)


def test_a_pipe_or_a_folder_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "contract.json")
    assert "is no file" in refusal(tmp_path / "contract.json")
    assert "is no file" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("entry", "part"),
    [
        ("no object", "write it as {'type': 'expect_...'"),
        ({"expectation_type": TYPE, "kwargs": {}}, "write it as {'type': 'expect_...'"),
        (item(type="os.system"), "'os.system' is no type of expectation that graft runs"),
        (item(kwargs=[]), "`kwargs` and `meta` are objects"),
        (item(windows=[]), "unknown key 'windows'"),
        (item(kwargz={}), "unknown key 'kwargz', did you mean kwargs?"),
        (item(meta={"rows": "trian"}), "meta.rows is 'trian', did you mean train?"),
        (item(meta={"rows": ["train"]}), "meta.rows is ['train']"),
        (item(meta={"severity": "fatal"}), "severity is 'fatal'; critical closes the gate"),
        (item(kwargs={"column": "label", "value_set": {"$PARAMETER": "now()"}}), "'$PARAMETER' is a parameter"),
        (item(kwargs={"a": [[[[[[[1]]]]]]]}), "nested more than 5 deep"),
        (item(type=PATTERN, kwargs={"regex": "a" * (MOST_PATTERN + 1)}), "a `regex` is text of at most 500 characters"),
        (item(type=PATTERN, kwargs={"regex": 7}), "a `regex` is text of at most 500 characters"),
        (item(type=PATTERN), "a `regex` is text of at most 500 characters"),
        (item(type=PATTERN, kwargs={"regex": "(?=a)b"}), "is no RE2 pattern"),
        (item(type=PATTERN, kwargs={"regex": "(a)\\1"}), "is no RE2 pattern"),
        (item(type=PATTERN, kwargs={"regex": "((a{1000}){1000}){1000}"}), "is no RE2 pattern"),
    ],
)
def test_what_is_wrong_in_an_entry_names_it(tmp_path, entry, part):
    message = refusal(written(tmp_path, item(), entry))
    assert message.startswith("contract.json, expectation 2: ")
    assert part in message


def test_there_is_a_most(tmp_path):
    assert len(read_suite(written(tmp_path, *[item()] * MOST_ENTRIES))) == MOST_ENTRIES
    assert "501 expectations; 500 is the most" in refusal(written(tmp_path, *[item()] * (MOST_ENTRIES + 1)))


def test_terminal_escapes_do_not_come_back_in_a_message(tmp_path):
    assert "\x1b" not in refusal(written(tmp_path, item(**{"\x1b[31mred": 1})))


def test_the_example_in_the_docs_is_an_entry(tmp_path):
    docs = (Path(__file__).parents[2] / "docs" / "checks.md").read_text()
    (example,) = re.findall(r"```json\n(.*?)```", docs, re.DOTALL)
    (entry,) = read_suite(written(tmp_path, json.loads(example)))
    assert (entry.rows, entry.severity) == ("kept", "error")
