import re

from tasks.contracts.records import read_json
from tasks.report import answers, data
from tasks.report.page import write_page


def statistic(name="x: share", value=0.5, low=0.4, high=0.6, n=20):
    return {"name": name, "value": value, "low": low, "high": high, "n": n, "status": "measured", "estimator": "Wilson"}


def section(statistics, name="coverage"):
    return {"name": name, "question": "Are there enough?", "statistics": statistics}


def cell(label, value, split, images):
    return {"attribute": "site", "label": label, "value": value, "split": split, "images": images}


def test_a_line_from_zero_to_one_holds_only_what_lies_there_whole():
    rows = [statistic(), statistic(value=1.4, high=1.6), statistic(value=-0.1, low=-0.2), statistic(low=None)]
    (answer,), _ = answers.answers({"sections": [section(rows)]})
    assert [row.mark is not None for row in answer.rows] == [True, False, False, False]


def test_long_sections_and_many_sections_are_cut_and_the_rest_is_counted():
    sections = [section([statistic()] * 75) for _ in range(15)]
    shown, rest = answers.answers({"sections": sections})
    assert (len(shown), rest) == (answers.MOST_SECTIONS, 3)
    assert (len(shown[0].rows), shown[0].rest) == (60, 15)


def test_a_report_of_an_older_graft_has_no_sections_tables_and_maps():
    assert answers.answers({}) == ([], 0)
    assert answers.attribute_tables({}) == ([], 0)
    assert answers.tile_maps({}) == []


def test_a_table_has_values_in_their_order_and_zero_where_nothing_is_told():
    cells = [cell("b", "low", "train", 7), cell("a", "high", "train", None), cell("a", "(missing)", "test", 9)]
    attribute = {"name": "site", "values": ["low", "middle", "high"], "levels": 3, "missing": 9, "why_not": ""}
    (table,), rest = answers.attribute_tables({"attributes": [attribute], "cells": cells})
    assert (table.values, rest) == (("low", "high", "(missing)"), 0)
    assert table.rows == (("b", ((7, 0), (0, 0), (0, 0))), ("a", ((0, 0), (None, 0), (0, 9))))


def test_a_map_is_told_in_words_by_its_strongest_tile():
    (drawn,) = answers.tile_maps({"maps": [{"label": "cat", "what": "edges", "tiles": [[0.0, -0.2], [0.1, 0.4]]}]})
    assert drawn.tiles == ((0.0, 0.0, 0.0), (50.0, 0.0, 0.0), (0.0, 50.0, 0.25), (50.0, 50.0, 1.0))
    assert drawn.told == "edges, cat: strongest in row 2 from the top, column 2 from the left of 2"


def test_a_sum_with_a_number_that_is_held_back_is_held_back():
    table = {"a": {f"g{i:02}": 9 for i in range(14)}, "b": {"g00": None, "g13": 5}, "c": {"g13": None}}
    found = data.composition({"composition": table})
    assert found.groups[-1] == "2 others"
    rows = {label: (counts, total) for label, counts, total in found.rows}
    assert rows["a"] == ((9,) * 12 + (18,), 126)
    assert rows["b"][0][0] is None
    assert rows["b"][1] is None


def test_the_page_asks_the_questions_and_shows_no_small_number(example):
    page = write_page(example).read_text(encoding="utf-8")
    bias = read_json(example.bias)
    for one in (*bias["sections"], *read_json(example.evaluation)["sections"][:3]):
        assert f"<p>{one['question']}</p>" in page
    section = page.split("<h3>Attributes</h3>")[1].split("<h3>Coverage</h3>")[0]
    held = '<span class="held" aria-hidden="true">*</span><span class="unseen">held back</span>'
    assert held in section
    numbers = {int(n) for n in re.findall(r'<td class="n">(?:(\d+) )?\(', section) if n}
    assert numbers
    assert all(n == 0 or n >= 5 for n in numbers)
    assert 'aria-label="agreement of edges' in page
    assert page.count('class="track" x=') == 64
