"""What changed between two states of the data, and whether a run is due."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.params import OnChangeParams
from tasks.ingest.changes import compare, why_not

STATES = st.dictionaries(st.text("abc/", min_size=1, max_size=3), st.sampled_from("1234"), max_size=12)


@given(STATES, STATES)
def test_the_counts_account_for_every_file(before, after):
    change = compare(before, after, ("x", "y"))
    assert len(before) - change.removed + change.added == len(after) == change.files
    assert (change.count == 0) == (before == after)
    assert 0 <= change.share <= 1
    back = compare(after, before, ("y", "x"))
    assert (back.added, back.removed, back.changed, back.moved) == (
        change.removed,
        change.added,
        change.changed,
        change.moved,
    )


def test_a_file_in_another_folder_is_moved_and_one_with_other_bytes_is_changed():
    before = {"rose/a": "1", "rose/b": "2", "tulip/c": "3"}
    change = compare(before, {"tulip/a": "1", "rose/b": "9", "tulip/c": "3", "tulip/d": "1"}, ("x", "y"))
    assert (change.added, change.removed, change.changed, change.moved) == (1, 0, 1, 1)
    assert change.words() == "1 file added, 1 changed, 1 moved"
    assert change.share == 3 / 4


@pytest.mark.parametrize(
    ("policy", "due"),
    [
        ({}, True),
        ({"files": 3}, True),
        ({"files": 4}, False),
        ({"share": 0.25}, True),
        ({"share": 0.3}, False),
        ({"files": 3, "share": 0.3}, False),
    ],
)
def test_a_run_is_due_where_every_condition_holds(policy, due):
    before = {str(n): "1" for n in range(9)}
    change = compare(before, before | dict.fromkeys("xyz", "2"), ("a", "b"))
    assert (why_not(change, (), OnChangeParams(**policy)) == "") is due


def test_no_change_is_no_reason_and_a_committed_setting_always_is():
    same = compare({"a": "1"}, {"a": "1"}, ("x", "x"))
    assert "neither the data nor the committed settings" in why_not(same, (), OnChangeParams())
    assert why_not(same, ("params.yaml",), OnChangeParams(files=100, share=1.0)) == ""
