"""Slices that are worse than their classes explain: planted ones are found, chance is not, and no small one is told."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.bias.attributes import Levels
from tasks.contracts.errors import BadUsage
from tasks.contracts.params import EvaluateParams
from tasks.evaluate.evaluation import HeldOut
from tasks.evaluate.slices import NAME, PICTURES, candidates, slices

PARAMS = EvaluateParams()


def looked_at(n: int, wrong: np.ndarray, targets: np.ndarray, seed: int = 0, **columns) -> tuple:
    """Slices of n images of three classes of which `wrong` are called another; columns of the checked table."""
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"path": [f"{i}.png" for i in range(n)], "luminance_median": rng.random(n), **columns})
    called = np.where(wrong, (targets + 1) % 3, targets)
    split = HeldOut(rows, targets, ("ant", "bee", "cat"), 0)
    return slices(split, np.eye(3)[called], PARAMS, np.random.default_rng(seed))


def levels_of(name: str, values: np.ndarray) -> Levels:
    names, codes = np.unique(values, return_inverse=True)
    return Levels(name, (*names.tolist(), "(missing)"), len(names), codes.astype(np.int64))


def planted(seed: int, n: int = 600) -> tuple:
    rng = np.random.default_rng(seed)
    targets, site = rng.integers(3, size=n), rng.choice(["north", "south", "west"], n)
    dark = rng.random(n)
    wrong = rng.random(n) < np.where((site == "north") & (dark < 0.3), 0.7, 0.15)
    return n, wrong, targets, {"meta_site": site, "luminance_median": dark}


def test_a_planted_conjunction_is_found_named_and_a_finding():
    n, wrong, targets, columns = planted(0)
    (worst, pictures), findings = looked_at(n, wrong, targets, **columns)
    first = worst.statistics[0]
    assert "site = north" in first.name
    assert "picture's brightness = below" in first.name
    assert first.p_value <= 0.002
    assert first.high < 0.6
    assert [finding.check for finding in findings][:1] == ["worse_slice"]
    assert findings[0].subject in first.name
    assert "max-statistic over" in first.correction
    assert (worst.name, pictures.name) == (NAME, PICTURES)
    assert len(pictures.statistics) == 5


def test_where_errors_are_chance_alone_hardly_ever_anything_is_found():
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        targets = rng.integers(3, size=300)
        columns = {"meta_site": rng.choice(["a", "b", "c"], 300), "contrast": rng.random(300)}
        found += bool(looked_at(300, rng.random(300) < 0.3, targets, seed, **columns)[1])
    assert found <= 4  # 1 is expected; more than 4 has a chance of 0.3 %


def test_a_hard_class_alone_is_no_worse_slice():
    rng = np.random.default_rng(1)
    targets = rng.integers(3, size=600)
    # every image of the hard class is at one site, and only the class matters
    site = np.where(targets == 0, "north", rng.choice(["south", "west"], 600))
    wrong = rng.random(600) < np.where(targets == 0, 0.8, 0.05)
    (worst, *_), findings = looked_at(600, wrong, targets, meta_site=site)
    assert findings == []
    assert all(one.p_value is None or one.p_value > 0.05 for one in worst.statistics)


@given(seed=st.integers(0, 10_000), small=st.integers(1, 30))
@settings(max_examples=30, deadline=None)
def test_no_slice_is_small_or_leaves_a_small_rest_of_a_condition(seed, small):
    rng = np.random.default_rng(seed)
    site, sex = (levels_of(name, rng.choice(["a", "b", "c"], 120, p=(0.6, 0.3, 0.1))) for name in ("site", "sex"))
    light = levels_of("light", rng.choice(["low", "high"], 120))
    conditions = [one.codes == code for one in (site, sex, light) for code in range(one.named)]
    for one in candidates([site, sex], [light], small):
        assert max(10, small) <= one.images <= 120 - small
        if " and " in one.name:
            inside = [c for c in conditions if not (one.inside & ~c).any()]
            assert all(c.sum() - one.images >= small or c.sum() == one.images for c in inside)


def test_the_slices_do_not_depend_on_the_errors_or_their_number():
    n, wrong, targets, columns = planted(2)
    few = looked_at(n, wrong & (np.arange(n) % 7 == 0), targets, **columns)[0][0].statistics
    many = looked_at(n, wrong, targets, **columns)[0][0].statistics
    assert {one.correction for one in few} == {one.correction for one in many}


def test_nothing_is_said_where_there_are_no_errors_or_no_images():
    none = looked_at(60, np.zeros(60, bool), np.arange(60) % 3)
    assert none[0][0].statistics[0].status == "not_measurable"
    empty = looked_at(0, np.zeros(0, bool), np.zeros(0, np.int64))
    assert (len(empty[0]), empty[0][0].statistics[0].n, empty[1]) == (1, 0, [])


def test_equal_input_gives_equal_slices():
    n, wrong, targets, columns = planted(3)
    assert looked_at(n, wrong, targets, **columns) == looked_at(n, wrong, targets, **columns)


def test_a_column_that_is_not_there_is_refused():
    split = HeldOut(pd.DataFrame({"path": ["a"]}), np.zeros(1, np.int64), ("ant", "bee"), 0)
    with pytest.raises(BadUsage, match="no column planet"):
        slices(split, np.array([[1.0, 0.0]]), EvaluateParams(attributes=("planet",)), np.random.default_rng(0))
