import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.bias.representativeness import representativeness
from tasks.contracts.params import ReferenceParams


def compare(site: list[str | None], shares: dict[str, float], small: int = 5, seed: int = 0):
    """The statistics by name, and the findings, for one column with a reference."""
    reference = ReferenceParams(source="census", date="2024-01-01", shares={"site": shares})
    section, found = representativeness(pd.DataFrame({"site": site}), reference, small, np.random.default_rng(seed))
    return {one.name: one for one in section.statistics}, found


def test_without_a_reference_it_is_said_that_nothing_was_measured():
    section, found = representativeness(pd.DataFrame(), ReferenceParams(), 5, np.random.default_rng(0))
    assert [(one.value, one.status) for one in section.statistics] == [(None, "not_measurable")]
    assert "bias.reference" in section.statistics[0].estimator
    assert found == []


def test_share_difference_and_ratio_by_hand():
    said, found = compare(["n"] * 30 + ["s"] * 70, {"n": 0.6, "s": 0.4})
    # chi-square = (30 - 60)^2 / 60 + (70 - 40)^2 / 40 = 37.5, one degree of freedom: p = 9.1e-10, of eight families
    assert said["site: distance"].value == pytest.approx(0.3)
    assert said["site: distance"].p_value == pytest.approx(8 * 9.141e-10, rel=1e-3)
    assert said["site = n: share"].value == pytest.approx(0.3)
    assert said["site = n: difference"].value == pytest.approx(-0.3)
    assert said["site = n: ratio"].value == pytest.approx(0.5)
    assert said["site = n: ratio"].high == pytest.approx(said["site = n: share"].high / 0.6)
    assert "0.6 in the reference: census, 2024-01-01" in said["site = n: share"].estimator
    (finding,) = found
    assert (finding.check, finding.severity, finding.subject) == ("not_representative", "warn", "site")
    assert "site = n has 0.50 times the share" in finding.message
    assert finding.remedy == "add images of site = n"


def test_a_population_that_is_missing_altogether_is_named_first():
    _, (finding,) = compare(["n"] * 60 + ["s"] * 30, {"n": 0.5, "s": 0.4, "e": 0.1})
    assert "(p 0.00" in finding.message
    assert finding.message.split(": ")[1].startswith("site = e is missing")


def test_data_like_the_reference_give_no_finding():
    said, found = compare(["n"] * 61 + ["s"] * 39, {"n": 0.6, "s": 0.4})
    assert found == []
    assert said["site: distance"].p_value > 0.5


def test_the_exact_test_by_hand():
    # n = 8, shares 1/2: outcomes 8:0 and 0:8 have 1/256 each, the others more; so p of 8:0 is 1/128, of eight families
    said, _ = compare(["n"] * 8, {"n": 0.5, "s": 0.5}, small=1)
    assert said["site: distance"].p_value == pytest.approx(8 / 128, abs=0.02)


def test_small_values_are_told_together_and_never_one_alone():
    said, _ = compare(["n"] * 40 + ["s"] * 9 + ["e"] * 2, {"n": 0.6, "s": 0.2, "e": 0.2})
    assert [name for name in said if name.endswith("share")] == ["site = n: share", "site = 2 smaller values: share"]
    assert said["site = 2 smaller values: share"].value == pytest.approx(11 / 51)


def test_values_that_the_reference_does_not_name_and_missing_ones_are_left_out_and_said():
    said, _ = compare(["n"] * 40 + ["s"] * 40 + ["x"] * 20 + [None] * 7, {"n": 0.5, "s": 0.5})
    assert said["site = n: share"].n == 80
    strange = said["site: share that the reference does not name"]
    assert (strange.value, strange.n) == (0.2, 100)
    few, _ = compare(["n"] * 40 + ["s"] * 40 + ["x"] * 2, {"n": 0.5, "s": 0.5})
    assert few["site: share that the reference does not name"].status == "too_small"


def test_a_reference_for_a_column_that_is_not_there_is_not_measurable():
    reference = ReferenceParams(source="s", date="d", shares={"age": {"old": 1.0}})
    section, found = representativeness(pd.DataFrame({"site": ["n"]}), reference, 5, np.random.default_rng(0))
    assert [(one.name, one.status) for one in section.statistics] == [("age", "not_measurable")]
    assert found == []


def test_alarms_on_draws_from_the_reference_are_rare():
    alarms, shares = 0, {"n": 0.8, "s": 0.15, "e": 0.05}
    for seed in range(200):
        rng = np.random.default_rng([1, seed])
        _, found = compare(rng.choice(list(shares), 40, p=list(shares.values())).tolist(), shares)
        alarms += len(found)
    assert alarms <= 5  # an eighth of 5 % is this family's share: more than 5 of 200 has a chance below 1 %


@given(st.lists(st.sampled_from("nsex"), min_size=1, max_size=80), st.integers(0, 9))
def test_shares_add_up_and_the_order_of_rows_changes_nothing(site: list[str], seed: int):
    shares = {"n": 0.5, "s": 0.3, "e": 0.2}
    said, found = compare(site, shares)
    again, also = compare(np.random.default_rng(seed).permutation(site).tolist(), shares)
    assert (said, found) == (again, also)
    told = [one.value for name, one in said.items() if name.endswith(": share")]
    assert not told or sum(told) == pytest.approx(1.0)
