import pandas as pd
import pytest

from tasks.contracts.errors import BadData
from tasks.quality.decisions import COLUMNS, apply_decisions, read_decisions

A, B, C = "a" * 64, "b" * 64, "b" * 63 + "c"
HEAD = ",".join(COLUMNS)


def table() -> pd.DataFrame:
    rows = [("1.png", A, "cat", None, []), ("2.png", A, "cat", None, ["duplicate"]), ("3.png", B, "dog", "g", [])]
    rows += [("4.png", C, "dog", None, []), ("5.png", None, "dog", None, ["empty"])]
    return pd.DataFrame(rows, columns=["path", "sha256", "label", "group", "reasons"]).astype(
        {"sha256": "str", "label": "str", "group": "str"}
    )


def decided(tmp_path, *lines: str):
    path = tmp_path / "decisions.csv"
    path.write_text("\n".join((HEAD, *lines)) + "\n", encoding="utf-8")
    return apply_decisions(table(), read_decisions(path))


def test_a_file_without_rows_changes_nothing(tmp_path):
    found = decided(tmp_path)
    assert found.table.drop(columns="decision").equals(table())
    assert found.table["decision"].isna().all()


def test_each_action(tmp_path):
    found = decided(
        tmp_path,
        f"{A},relabel,fox,Ada,2026-11-24,seen on site",
        f"{B},drop,,Ada,2026-11-24,no animal",
        f"{C},group,farm 7,Ada,,",
        f"{B},keep,,Ada,,",
    ).table
    assert list(found["label"]) == ["fox", "fox", "dog", "dog", "dog"]
    assert found["group"].fillna("").tolist() == ["", "", "g", "farm 7", ""]
    assert list(found["reasons"]) == [["relabelled"], ["duplicate", "relabelled"], ["excluded"], [], ["empty"]]
    assert found["decision"].fillna("").tolist() == ["relabel", "relabel", "drop keep", "group", ""]


def test_the_first_twelve_digits_are_enough_where_they_name_one_content(tmp_path):
    found = decided(tmp_path, f"{A[:12].upper()},drop,,,,", f"{B[:12]},drop,,,,", f"{'f' * 64},keep,,,,")
    assert [reasons[-1:] for reasons in found.table["reasons"]] == [["excluded"], ["excluded"], [], [], ["empty"]]
    assert [decision.line for decision in found.unmatched] == [3, 4]


def test_the_later_row_counts(tmp_path):
    found = decided(tmp_path, f"{A},relabel,fox,,,", f"{A},relabel,wolf,,,")
    assert found.table["label"][0] == "wolf"


def test_a_spreadsheet_s_bom_and_line_ends_are_read(tmp_path):
    path = tmp_path / "decisions.csv"
    path.write_bytes(("\ufeff" + HEAD + "\r\n" + f'{A},drop,,"Ada, B.",,"two\r\nlines"\r\n').encode())
    assert [decision.action for decision in read_decisions(path)] == ["drop"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not start with"),
        ("hash,action\n", "does not start with"),
        (f"{HEAD}\n{A},drop\n", "line 2: 2 values for the 6"),
        (f"{HEAD}\nabc,drop,,,,\n", "line 2: 'abc' is no content hash"),
        (f"{HEAD}\n\n{A},remove,,,,\n", "line 3: unknown action 'remove'; known: keep, relabel, drop, group"),
        (f"{HEAD}\n{A},relabel, ,,,\n", "needs the label"),
        (f'{HEAD}\n{A},drop,,"Ada,,\n', "mend the quoting"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, said):
    path = tmp_path / "decisions.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadData, match=said):
        read_decisions(path)


def test_a_missing_file_says_how_it_starts(tmp_path):
    with pytest.raises(BadData, match="it starts with the line hash,action"):
        read_decisions(tmp_path / "none.csv")
