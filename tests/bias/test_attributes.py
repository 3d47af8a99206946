import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.bias.attributes import MISSING, columns_of, examine
from tasks.contracts.errors import BadUsage


def levels_of(small: int = 2, **columns: list[object]):
    table = pd.DataFrame(columns)
    return examine(table, (), small, np.ones(len(table), bool))


def test_metadata_and_a_group_of_few_values_are_attributes_and_persons_are_not():
    images = pd.DataFrame(
        {"meta_site": ["a", "b"] * 60, "group": [f"p{i % 30}" for i in range(120)], "width": range(120)}
    )
    levels, told = examine(columns_of(images), (), 2, np.ones(120, bool))
    assert [one.name for one in levels] == ["site"]
    assert {one.name: one.why_not for one in told} == {
        "group": "more than 20 values: persons or recordings rather than an attribute",
        "site": "",
    }
    images["group"] = ["north", None] * 60
    assert [one.name for one in examine(columns_of(images), (), 2, np.ones(120, bool))[0]] == ["group", "site"]


def test_every_column_is_told_with_its_missing_values_and_why_it_was_left_out():
    _, told = levels_of(
        site=["a", "b", None, "a"] * 10,
        empty=[None] * 40,
        same=["x"] * 40,
        id=[f"file {i}" for i in range(40)],
        rare=[f"v{i // 4}" for i in range(40)],
        small=5,
    )
    assert [(one.name, one.levels, one.missing, one.why_not) for one in told] == [
        ("site", 2, 10, ""),
        ("empty", 0, 40, "the column is empty"),
        ("same", 1, 0, "the column has one value only"),
        ("id", 40, 0, "the column names single images"),
        ("rare", 10, 0, "no value has 5 images"),
    ]


def test_missing_values_are_the_last_level():
    (site,), _ = levels_of(site=["b", None, "a", "a", "b"])
    assert site.names == ("a", "b", MISSING)
    assert site.codes.tolist() == [1, 2, 0, 0, 1]
    assert site.known.tolist() == [True, False, True, True, True]


def test_values_beyond_the_twelve_largest_stand_together():
    (site,), _ = levels_of(site=[f"s{i:02}" for i in range(15) for _ in range(20 - i)])
    assert site.names == (*(f"s{i:02}" for i in range(12)), "3 others", MISSING)
    assert site.named == 12
    assert (site.codes == 12).sum() == 8 + 7 + 6


def test_a_rare_value_is_never_alone_nor_the_only_one_that_is_held_back():
    (site,), _ = levels_of(site=["a"] * 9 + ["b"] * 8 + ["c"] * 5 + ["d"], small=5)
    assert site.names == ("a", "b", "2 others", MISSING)  # c joins d: one value below five could be counted
    assert np.bincount(site.codes).tolist() == [9, 8, 6]


def test_many_numbers_become_ranges_with_open_ends():
    (age,), _ = levels_of(age=[*range(20, 70), None])
    assert age.names == ("below 29.8", "29.8 to 39.6", "39.6 to 49.4", "49.4 to 59.2", "from 59.2", MISSING)
    assert np.bincount(age.codes).tolist() == [10] * 5 + [1]


def test_ranges_of_large_numbers_have_names_of_their_own():
    (taken,), _ = levels_of(taken=[1.7e9 + i for i in range(50)])
    assert len(set(taken.names)) == 6
    assert taken.names[0] == "below 1.70000001e+09"
    assert np.bincount(taken.codes).tolist() == [10] * 5


def test_ranges_with_too_few_images_are_not_examined():
    _, (age,) = levels_of(age=list(range(20)), small=5)
    assert age.why_not == "too few images: a range of its numbers has fewer than 5"


def test_a_column_that_is_asked_for_must_be_there_and_others_say_that_they_were_not():
    table = pd.DataFrame({"site": ["a", "b"] * 10, "lamp": ["x", "y"] * 10})
    levels, told = examine(table, ("site",), 2, np.ones(20, bool))
    assert [one.name for one in levels] == ["site"]
    assert {one.name: one.why_not for one in told}["lamp"] == "not among the attributes that were asked for"
    with pytest.raises(BadUsage, match="no column sex in the data; the columns are site, lamp"):
        examine(table, ("sex",), 2, np.ones(20, bool))


def test_only_the_rows_that_count_decide_what_the_levels_are():
    table = pd.DataFrame({"site": ["a"] * 8 + ["b"] * 8 + ["c"] * 8})
    (site,), _ = examine(table, (), 2, np.arange(24) < 16)
    assert site.names == ("a", "b", "1 other", MISSING)
    assert (site.codes[16:] == 2).all()


def test_different_numbers_are_different_values():
    (code,), _ = levels_of(code=[1000001.0, 1000002.0, 0.1, 0.1 + 1e-9, None] * 8)
    assert code.names == ("0.1", "0.100000001", "1000001", "1000002", MISSING)


@given(st.lists(st.sampled_from(["a", "b", "c", "d", "e", None]), min_size=1, max_size=60), st.integers(1, 6))
def test_every_image_has_one_level_and_no_level_is_small(values: list[str | None], small: int):
    levels, (told,) = levels_of(site=values, small=small)
    assert told.missing == values.count(None)
    for one in levels:
        sizes = np.bincount(one.codes, minlength=len(one.names))
        assert sizes.sum() == len(values)
        assert sizes[-1] == values.count(None)
        assert all(n == 0 or n >= small for n in sizes[:-1])
        assert one.known.sum() == len(values) - values.count(None)
