"""No name acts in what is written: not in a spreadsheet, not on a terminal, not in JSON."""

import json

import pandas as pd
import pytest

from tasks.contracts.errors import BadUsage
from tasks.predict.answers import Answer
from tasks.predict.writing import COLUMNS, json_lines, screen_lines, table_file
from tests.exports.test_csv import formulas
from tests.hostile import HOSTILE

SOME = [
    Answer(text, text, 0.75, (text, "other"), False, 0.5, "", "", {text: 0.75, "other": 0.25})
    for text in HOSTILE.values()
]
UNREAD = Answer("gone.jpg", "", None, None, None, None, "not read", "missing_file: not there", {})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_hostile_names_are_cells_and_nothing_else(tmp_path, suffix):
    path = tmp_path / f"found.{suffix}"
    with table_file(path, "model@1") as write:
        write(SOME[:10])
        write([*SOME[10:], UNREAD])
    if suffix == "parquet":
        table = pd.read_parquet(path)
        assert list(table["plausible"].iloc[0]) == [SOME[0].label, "other"]
        assert table["probability"].isna().sum() == 1
    else:
        assert formulas(path.read_text(encoding="utf-8")) == []
        table = pd.read_csv(path, keep_default_na=False)
    assert tuple(table.columns) == COLUMNS
    assert len(table) == len(SOME) + 1


def test_the_screen_and_json_are_lines_that_steer_nothing():
    for lines in (screen_lines(SOME, 20), json_lines(SOME, "model@1")):
        assert len(lines) == len(SOME)
        assert not any(character in line for line in lines for character in "\x1b\x9b\r\n\x00\u202e\u2028")
    for line, one in zip(json_lines(SOME, "model@1"), SOME, strict=True):
        assert json.loads(line)["label"] == one.label  # equal when read


def test_a_table_of_another_kind_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(BadUsage, match=r"\.csv or \.parquet"), table_file(tmp_path / "found.xlsx", "model@1"):
        pass
    assert list(tmp_path.iterdir()) == []
