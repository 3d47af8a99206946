import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.bias.attributes import MISSING, Levels
from tasks.contracts.params import EvaluateParams
from tasks.evaluate.groups import Groups, groups_of, reference_of
from tasks.evaluate.metrics import wilson
from tasks.evaluate.selection import Comparison, difference_interval, impact_ratios, ratio_interval


def people(table: dict[str, tuple[int, int]], unknown: tuple[int, int] = (0, 0)) -> tuple[Groups, np.ndarray]:
    """Groups and who is selected from a table: group -> (all, selected)."""
    rows = [*table.values(), unknown]
    codes = np.repeat(np.arange(len(rows)), [n for n, _ in rows])
    selected = np.concatenate([np.arange(n) < hits for n, hits in rows])
    return Groups(("race",), tuple(table), codes), selected


def told(groups: Groups, selected: np.ndarray, how: Comparison) -> dict[str, tuple[float | None, float | None]]:
    """Group -> (selection rate, impact ratio)."""
    said = {one.name: one.value for one in impact_ratios(groups, selected, "hired", how)}
    return {
        name: (said[f"{name}: hired, selection rate"], said[f"{name}: hired, impact ratio"])
        for name in groups.names
        if f"{name}: hired, selection rate" in said
    }


# 700 people, 38 of them of no known group. D has 12 of 700, that is 1.7 %: below the 2 % of the rule.
RACES = {"A": (200, 80), "B": (150, 45), "C": (300, 75), "D": (12, 9)}
UNKNOWN = (38, 20)


def test_a_table_worked_out_by_hand():
    groups, selected = people(RACES, UNKNOWN)
    # rates 80/200, 45/150, 75/300; the most selected that counts is A: ratios 1, .3/.4, .25/.4
    assert told(groups, selected, Comparison(0.02)) == {
        "A": (0.4, 1.0),
        "B": (0.3, pytest.approx(0.75)),
        "C": (0.25, pytest.approx(0.625)),
        "D": (0.75, None),
    }


def test_a_group_below_two_per_cent_is_left_out_with_its_number_and_its_rate():
    groups, selected = people(RACES, UNKNOWN)
    said = {one.name: one for one in impact_ratios(groups, selected, "hired", Comparison(0.02))}
    assert said["D: hired, selection rate"].n == 12
    assert said["D: hired, impact ratio"].status == "skipped"
    assert said["D: hired, impact ratio"].estimator == (
        "left out of the comparison: 12 of 700 images, below 0.02 of all"
    )


def test_without_the_rule_the_small_group_is_the_most_selected():
    groups, selected = people(RACES, UNKNOWN)
    # .4/.75, .3/.75, .25/.75
    assert told(groups, selected, Comparison(0.0)) == {
        "A": (0.4, pytest.approx(0.5333, abs=1e-4)),
        "B": (0.3, pytest.approx(0.4)),
        "C": (0.25, pytest.approx(0.3333, abs=1e-4)),
        "D": (0.75, 1.0),
    }


def test_exactly_two_per_cent_is_not_below():
    groups, selected = people({"A": (98, 49), "B": (2, 1)})
    assert told(groups, selected, Comparison(0.02))["B"] == (0.5, 1.0)


def test_a_named_reference_group_may_be_selected_less():
    groups, selected = people(RACES, UNKNOWN)
    assert told(groups, selected, Comparison(0.02, "B"))["A"] == (0.4, pytest.approx(4 / 3))
    assert told(groups, selected, Comparison(0.02, "nobody"))["A"] == (0.4, None)


def test_intersections_by_hand():
    """Sex by race: F.x 10 of 40, F.y 30 of 60, M.x 36 of 60, M.y 20 of 40; two people of unknown race."""
    cells = {("F", "x"): (40, 10), ("F", "y"): (60, 30), ("M", "x"): (60, 36), ("M", "y"): (40, 20)}
    sex = np.array([s == "M" for (s, _), (n, _) in cells.items() for _ in range(n)] + [False, True], np.int64)
    race = np.array([r == "y" for (_, r), (n, _) in cells.items() for _ in range(n)] + [2, 2], np.int64)
    selected = np.array([i < hits for n, hits in cells.values() for i in range(n)] + [True, True])
    levels = [Levels("race", ("x", "y", MISSING), 2, race), Levels("sex", ("F", "M", MISSING), 2, sex)]
    *_, both = groups_of(levels, EvaluateParams())
    assert both.of == "race and sex"
    assert told(both, selected, Comparison(0.02)) == {
        "race = x and sex = F": (0.25, pytest.approx(0.25 / 0.6)),
        "race = x and sex = M": (0.6, 1.0),
        "race = y and sex = F": (0.5, pytest.approx(0.5 / 0.6)),
        "race = y and sex = M": (0.5, pytest.approx(0.5 / 0.6)),
    }
    named = EvaluateParams(reference_groups={"race": "y", "sex": "M"})
    assert reference_of(both, named) == "race = y and sex = M"
    assert reference_of(both, EvaluateParams(reference_groups={"race": "y"})) == ""


def test_intersections_too_small_to_be_told_count_as_unknown():
    race, sex = np.repeat([0, 0, 1, 1], [30, 3, 20, 40]), np.repeat([0, 1, 0, 1], [30, 3, 20, 40])
    levels = [Levels("race", ("x", "y", MISSING), 2, race), Levels("sex", ("F", "M", MISSING), 2, sex)]
    assert [one.of for one in groups_of(levels, EvaluateParams())] == ["race", "sex"]  # nothing could be told
    assert groups_of(levels, EvaluateParams(small_group=3))[-1].sizes.tolist() == [30, 3, 20, 40]


def test_where_nobody_is_selected_a_ratio_cannot_be_measured():
    groups, selected = people({"A": (20, 0), "B": (20, 0)})
    said = impact_ratios(groups, selected, "hired", Comparison(0.02))
    assert {one.status for one in said if one.name.endswith("ratio")} == {"not_measurable"}


def test_the_interval_of_a_difference_as_published():
    # Newcombe 1998, table II, example (a), method 10: 56/70 - 48/80 has 0.0524 to 0.3339
    assert difference_interval(wilson("", 56, 70), wilson("", 48, 80)) == pytest.approx((0.0524, 0.3339), abs=5e-4)


def test_the_interval_of_a_ratio_covers_what_it_should():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(1000):
        ours, theirs = wilson("", int(rng.binomial(60, 0.3)), 60), wilson("", int(rng.binomial(80, 0.5)), 80)
        low, high = ratio_interval(ours, theirs)
        covered += low <= 0.6 <= high
    assert 0.93 <= covered / 1000 <= 0.97


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_intervals_hold_their_value(n: int, m: int, data: st.DataObject):
    ours, theirs = wilson("", data.draw(st.integers(0, n)), n), wilson("", data.draw(st.integers(1, m)), m)
    low, high = ratio_interval(ours, theirs)
    assert 0 <= low <= ours.value / theirs.value * (1 + 1e-9)
    assert ours.value / theirs.value <= high * (1 + 1e-9)
    low, high = difference_interval(ours, theirs)
    assert low - 1e-9 <= ours.value - theirs.value <= high + 1e-9


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 30)), min_size=2, max_size=5), st.integers(0, 9))
def test_the_order_of_rows_changes_nothing_and_the_highest_rate_has_ratio_one(rows, seed: int):
    table = {f"g{i}": (n, min(n, hits)) for i, (n, hits) in enumerate(rows)}
    groups, selected = people(table)
    order = np.random.default_rng(seed).permutation(len(selected))
    again = Groups(groups.columns, groups.names, groups.codes[order])
    said = told(groups, selected, Comparison(0.0))
    assert said == told(again, selected[order], Comparison(0.0))
    if selected.any():
        assert max(ratio for _, ratio in said.values()) == 1.0
