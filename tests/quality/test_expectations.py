import hashlib
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tasks.contracts.errors import BadUsage
from tasks.contracts.records import Expectation, to_json
from tasks.quality.expectations import hold_contract, read_contract
from tasks.quality.integrity import own_rules
from tasks.quality.outcomes import about_contract, broken_rules
from tasks.quality.suite import TYPES, Entry

ROOT = Path(__file__).parents[2]
HOSTILE = "</script><img src=x onerror=alert(1)> \u2028 {{ 7 * 7 }} =cmd|'/c calc'!A1"


def table(rows: int = 12, **columns) -> pd.DataFrame:
    """A sound checked table of two classes."""
    base = {
        "path": [f"{'ab'[i % 2]}/{i}.png" for i in range(rows)],
        "sha256": [hashlib.sha256(bytes([i])).hexdigest() for i in range(rows)],
        "label": ["ab"[i % 2] for i in range(rows)],
        "split": ["train" if i < rows - 2 else "test" for i in range(rows)],
        "verdict": ["keep"] * rows,
        "reasons": [[] for _ in range(rows)],
        "pixels_crc32": list(range(rows)),
        "sharpness": [i / 10 for i in range(rows)],
        "meta_site": ["north" if i % 2 else None for i in range(rows)],
    }
    return pd.DataFrame(base | columns)


def suite(folder: Path, *entries: dict) -> Path:
    path = folder / "contract.json"
    path.write_text(json.dumps({"name": "contract", "expectations": list(entries), "meta": {}}))
    return path


def entry(kind: str, rows: str = "kept", notes: str = "", severity: str = "error", **kwargs) -> dict:
    meta = {"rows": rows, "notes": notes, "severity": severity}
    return {"type": f"expect_{kind}", "kwargs": kwargs, "meta": meta}


def theirs(checked: pd.DataFrame, contract: Path) -> list[Expectation]:
    """The lines of the user's suite; graft's own all hold."""
    lines = hold_contract(checked, (*own_rules(checked, 0.5), *read_contract(contract))).rules
    assert all(line.success for line in lines if line.source == "graft")
    return [line for line in lines if line.source != "graft"]


def refusal(contract: Path) -> str:
    with pytest.raises(BadUsage) as caught:
        read_contract(contract)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def ours(checked: pd.DataFrame) -> tuple[Expectation, ...]:
    """The lines of graft's own rules."""
    return hold_contract(checked, own_rules(checked, 0.5)).rules


def test_a_sound_table_meets_grafts_own_rules():
    lines = ours(table())
    assert len(lines) >= 10
    assert all(line.success and line.source == "graft" and line.severity == "error" for line in lines)


def test_own_rules_see_what_is_wrong():
    checked = pd.concat([table(2), table(1, label=["y"])], ignore_index=True)  # path and content a second time
    odd = {"path": ["c"], "sha256": ["X"], "verdict": ["perhaps"], "split": ["dev"], "reasons": [["ugly"]]}
    checked = pd.concat([checked, table(1, **odd, pixels_crc32=[None])], ignore_index=True)
    broken = {(line.column, line.expectation): line for line in ours(checked) if not line.success}
    assert {key: line.unexpected for key, line in broken.items()} == {
        ("path", "expect_column_values_to_be_unique"): 2,
        ("sha256", "expect_column_values_to_match_regex"): 1,
        ("sha256", "expect_column_values_to_be_unique"): 2,
        ("verdict", "expect_column_values_to_be_in_set"): 1,
        ("split", "expect_column_values_to_be_in_set"): 1,
        ("unknown_reasons", "expect_column_values_to_be_between"): 1,
        ("with_pixels", "expect_column_values_to_be_between"): 1,
        ("label", "expect_column_distinct_values_to_contain_set"): 3,
    }
    assert broken["verdict", "expect_column_values_to_be_in_set"].examples == ("perhaps",)


def test_the_users_lines_keep_their_order_and_name_their_place(tmp_path):
    contract = suite(
        tmp_path,
        entry("column_values_to_be_between", column="sharpness", max_value=0.55, notes="sharp <i>"),
        entry("table_row_count_to_be_between", min_value=12, max_value=12, rows="all"),
        entry("column_values_to_be_null", column="label", severity="warn"),
    )
    first, second, third = theirs(table(), contract)
    assert (first.success, first.unexpected, first.examples[:2], first.rule) == (False, 6, ("0.6", "0.7"), "sharp <i>")
    assert (second.success, second.column) == (True, "")
    assert (third.severity, third.source) == ("warn", "contract.json, expectation 3")


@pytest.mark.parametrize(("rows", "count"), [("all", 12), ("kept", 11), ("train", 9), ("test", 2), ("val", 0)])
def test_an_entry_looks_at_the_rows_that_it_names(tmp_path, rows, count):
    checked = table(verdict=["quarantine"] + ["keep"] * 11, split=[None] + ["train"] * 9 + ["test"] * 2)
    contract = suite(tmp_path, entry("table_row_count_to_equal", value=count, rows=rows))
    assert [line.success for line in theirs(checked, contract)] == [True]


def test_new_classes_are_named_and_what_to_do(tmp_path):
    classes = {"column": "label", "value_set": ["a"]}
    contract = suite(tmp_path, entry("column_values_to_be_in_set", notes="there is no class but these", **classes))
    (line,) = theirs(table(), contract)
    assert (line.success, line.unexpected, line.examples) == (False, 6, ("b",))
    (finding,) = broken_rules([line], 12)
    assert finding.severity == "error"
    assert finding.message == "the data contract is broken: there is no class but these (new: 'b')"
    assert finding.remedy == (
        "relabel or remove the images of a new class, put back those of a vanished one; "
        "if the change is meant, edit contract.json, expectation 1"
    )


def test_a_class_that_has_gone_is_named(tmp_path):
    classes = {"column": "label", "value_set": ["a", "b", "zebra"]}
    contract = suite(
        tmp_path,
        entry("column_distinct_values_to_contain_set", notes="none is gone", **classes),
        entry("column_distinct_values_to_equal_set", notes="these", column="label", value_set=["b", "zebra"]),
        entry("column_values_to_be_in_set", notes="no other", **classes),
    )
    gone, both, no_other = theirs(table(), contract)
    assert (gone.rule, gone.unexpected) == ("none is gone (vanished: 'zebra')", 1)
    assert both.rule == "these (new: 'a') (vanished: 'zebra')"
    assert no_other.success


def test_very_many_new_classes_stay_one_readable_line(tmp_path):
    checked = table(24, label=[f"class {i:02}" for i in range(24)], split=["train"] * 24)
    contract = suite(tmp_path, entry("column_values_to_be_in_set", column="label", value_set=[]))
    (line,) = theirs(checked, contract)
    assert line.rule.endswith("'class 09' and 14 more)")
    assert len(line.examples) == 5


def test_reasons_and_the_kept_share_are_columns_of_their_own(tmp_path):
    checked = table(reasons=[["blurry"]] * 3 + [[]] * 9)
    contract = suite(
        tmp_path,
        entry("column_mean_to_be_between", column="is_blurry", max_value=0.25),
        entry("column_mean_to_be_between", column="is_blurry", max_value=0.24),
        entry("column_mean_to_be_between", column="kept", min_value=1),
    )
    assert [line.success for line in theirs(checked, contract)] == [True, False, True]


def test_a_column_that_is_not_there_breaks_the_rule_and_says_so(tmp_path):
    contract = suite(
        tmp_path,
        entry("column_values_to_not_be_null", column="meta_sight", notes="a site"),
        entry("column_to_exist", column="meta_camera"),
        entry("column_to_exist", column="meta_site"),
        entry("column_pair_values_to_be_equal", column_A="label", column_B="nothing"),
    )
    lines = theirs(table(), contract)
    assert [line.success for line in lines] == [False, False, True, False]
    assert lines[0].rule == "a site (the table has no column 'meta_sight', did you mean meta_site?)"


def test_a_rule_that_cannot_be_computed_is_broken_not_a_crash(tmp_path):
    contract = suite(tmp_path, entry("column_mean_to_be_between", column="label", min_value=1, notes="a mean"))
    (line,) = theirs(table(), contract)
    assert not line.success
    assert line.rule.startswith("a mean (it could not be checked: ")


@pytest.mark.parametrize(
    ("kind", "kwargs", "against"),
    [
        ("column_values_to_match_regex", {"regex": "^a/"}, 6),
        ("column_values_to_match_regex", {"regex": "^a/", "mostly": 0.5}, None),
        ("column_values_to_not_match_regex", {"regex": "^a/|/1[.]"}, 7),
        ("column_values_to_match_regex", {"regex": "png$"}, None),
    ],
)
def test_patterns_count_as_the_engine_would(tmp_path, kind, kwargs, against):
    (line,) = theirs(table(), suite(tmp_path, entry(kind, column="path", **kwargs)))
    assert (line.success, line.unexpected) == (against is None, against or 0)
    assert line.expectation == f"expect_{kind}"


def test_missing_values_are_not_matched(tmp_path):
    contract = suite(tmp_path, entry("column_values_to_match_regex", column="meta_site", regex="^north$"))
    assert theirs(table(), contract)[0].success


@pytest.mark.parametrize("pattern", ["^(?:a+)+$", r"^(?:[\s\w]+)+$", r"^(?:(?:a|a)*)*\b$"])
def test_no_pattern_keeps_it_busy(tmp_path, pattern):
    """With backtracking the first of these would outlive us."""
    text = "a" * 60 + "\u00e9!\n"
    contract = suite(tmp_path, entry("column_values_to_match_regex", column="meta_site", regex=pattern))
    assert not theirs(table(meta_site=[text] * 12), contract)[0].success


@pytest.mark.parametrize(
    ("kind", "kwargs", "part"),
    [
        ("column_values_to_be_inset", {}, "did you mean expect_column_values_to_be_in_set?"),
        ("query_results_to_match_comparison", {}, "is no type of expectation that graft runs"),
        ("table_row_count_to_equal_other_table", {"other_table_name": "x"}, "is no type of expectation"),
        ("column_values_to_match_json_schema", {"column": "path", "json_schema": {}}, "is no type of expectation"),
        ("column_values_to_match_like_pattern", {"column": "path", "like_pattern": "%"}, "is no type of expectation"),
        ("table_row_count_to_equal", {"value": 1, "row_condition": "__import__('os')"}, "takes no 'row_condition'"),
        ("column_to_exist", {"column": "a", "condition_parser": "pandas"}, "takes no 'condition_parser'"),
        ("column_to_exist", {"column": "a", "batch_id": "b"}, "takes no 'batch_id'"),
        ("column_to_exist", {"column": "a", "result_format": "COMPLETE"}, "takes no 'result_format'"),
        ("column_values_to_be_in_set", {"colum": "label"}, "takes no 'colum', did you mean column?"),
        ("column_values_to_be_in_set", {"column": "label"}, "cannot be called like this"),
        ("column_values_to_be_in_set", {"column": 7, "value_set": []}, "cannot be called like this"),
        ("column_to_exist", {"column": "a", "regex": "b"}, "takes no 'regex'"),
    ],
)
def test_what_a_stranger_might_ask_for_is_refused_and_named(tmp_path, kind, kwargs, part):
    contract = suite(tmp_path, entry("column_to_exist", column="label"), entry(kind, **kwargs))
    message = refusal(contract)
    assert message.startswith("contract.json, expectation 2: ")
    assert part in message


@pytest.mark.parametrize("name", ["os.system", "antigravity", "my_module.ExpectEvil", "unexpected_rows_expectation"])
def test_no_module_is_looked_up_for_a_type(tmp_path, name):
    contract = suite(tmp_path, {"type": name, "kwargs": {"unexpected_rows_query": "DROP TABLE x"}, "meta": {}})
    assert "is no type of expectation that graft runs" in refusal(contract)
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("name", TYPES)
def test_every_type_that_is_allowed_is_of_the_core_and_asks_no_query(name):
    from great_expectations.expectations.expectation import BatchExpectation, QueryExpectation

    from tasks.quality.expectations import _type

    kind = _type(Entry(name, {}))
    assert kind.expectation_type == name
    assert inspect.getmodule(kind).__name__.startswith("great_expectations.expectations.core.")
    assert issubclass(kind, BatchExpectation)
    assert not issubclass(kind, QueryExpectation)


def test_a_hostile_class_name_goes_through_unharmed(tmp_path):
    checked = table(label=["a", HOSTILE] * 6)
    contract = suite(tmp_path, entry("column_values_to_be_in_set", column="label", value_set=["a", HOSTILE + "!"]))
    held = hold_contract(checked, read_contract(contract))
    line = held.rules[-1]
    assert line.examples == (HOSTILE,)
    assert json.loads(to_json(line))["examples"] == [HOSTILE]
    result = json.loads(held.result)["results"][-1]
    assert result["expectation_config"]["kwargs"]["value_set"] == ["a", HOSTILE + "!"]
    assert set(result["result"]["partial_unexpected_list"]) == {HOSTILE}


def test_the_kept_result_is_great_expectations_own_and_the_same_each_time(tmp_path):
    contract = suite(
        tmp_path,
        entry("column_values_to_be_in_set", column="label", value_set=["a"]),
        entry("column_mean_to_be_between", column="label"),
        entry("column_values_to_match_regex", column="path", regex="^a"),
    )
    held = hold_contract(table(), read_contract(contract))
    assert held == hold_contract(table(), read_contract(contract))
    document = json.loads(held.result)
    assert document["success"] is False
    assert document["statistics"]["evaluated_expectations"] == len(held.rules) == len(document["results"])
    assert document["statistics"]["unsuccessful_expectations"] == 3
    in_set, mean, pattern = document["results"][-3:]
    assert in_set["result"]["element_count"] == 12
    assert in_set["result"]["unexpected_count"] == 6
    assert mean["exception_info"]["raised_exception"] is True
    assert pattern["expectation_config"]["kwargs"] == {"column": "path", "regex": "^a"}
    for word in ("ge_load_time", "Traceback", "run_id", "batch_id", "0x"):
        assert word not in held.result


def test_numbers_that_json_lacks_do_not_break_the_result(tmp_path):
    checked = table(sharpness=[float("inf"), float("nan")] + [1.0] * 10)
    contract = suite(tmp_path, entry("column_max_to_be_between", column="sharpness", max_value=2))
    assert json.loads(hold_contract(checked, read_contract(contract)).result)["success"] is False


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(tmp_path):
    contract = suite(
        tmp_path,
        entry("column_distinct_values_to_equal_set", column="label", value_set=["x", "y", "z"]),
        entry("column_distinct_values_to_contain_set", column="path", value_set=[f"p{i}" for i in range(60)]),
        entry("column_mean_to_be_between", column="label"),
    )
    table().to_parquet(tmp_path / "checked.parquet")
    code = (
        "import sys, pandas as pd; from pathlib import Path\n"
        "from tasks.quality.expectations import hold_contract, read_contract\n"
        "checked, contract = map(Path, sys.argv[1:])\n"
        "sys.stdout.write(hold_contract(pd.read_parquet(checked), read_contract(contract)).result)"
    )
    run = [
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "checked.parquet"), str(contract)],
            capture_output=True,
            check=True,
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PATH": "", "HOME": str(tmp_path)},
        ).stdout
        for seed in ("1", "2")
    ]
    assert run[0] == run[1]
    assert json.loads(run[0])


def test_a_broken_rule_of_graft_points_at_what_breaks_it():
    lines = [line for line in ours(table(verdict=["maybe"] + ["keep"] * 11)) if not line.success]
    (finding,) = broken_rules(lines, 12)
    assert finding.remedy == "see maybe"
    assert finding.message == "the data contract is broken: every verdict is keep, warn or quarantine"
    assert (finding.statistic.value, finding.statistic.n) == (1.0, 12)


def test_a_contract_that_names_no_classes_is_told_of(tmp_path):
    silent = theirs(table(), suite(tmp_path, entry("column_to_exist", column="label")))
    (finding,) = about_contract(silent, 12)
    assert (finding.check, finding.severity) == ("contract_without_classes", "info")
    named = theirs(table(), suite(tmp_path, entry("column_values_to_be_in_set", column="label", value_set=["a", "b"])))
    assert about_contract(named, 12) == []


def test_the_engine_is_quiet_also_where_a_root_handler_shows_what_is_said(caplog) -> None:
    hold_contract(table(), own_rules(table(), 0.5))
    assert not [one for one in caplog.records if one.name.startswith("great_expectations")]
