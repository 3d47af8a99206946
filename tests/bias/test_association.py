import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tasks.bias import association
from tasks.bias.association import associations, levels
from tasks.bias.tables import cramers_v, merged


def measure(labels: list[str], **columns: list[object]) -> dict[str, object]:
    """The statistics by column name."""
    results = associations(pd.Series(labels), pd.DataFrame(columns), 100, np.random.default_rng(0))
    return {association.column_of(one): one for one in results}


def test_cramers_v_against_a_value_worked_out_by_hand() -> None:
    # n = 40, chi2 = 40 (15^2/400 + 5^2/400 + 5^2/400 + 15^2/400 - 1) = 10, phi2 = 10/40 - 1/39
    # corrected levels 2 - 1/39, V = sqrt((0.25 - 1/39) / (1 - 1/39))
    expected = math.sqrt((0.25 - 1 / 39) / (1 - 1 / 39))
    assert cramers_v(np.array([[15.0, 5.0], [5.0, 15.0]])) == pytest.approx(expected)


@given(arrays(np.int64, (3, 4), elements=st.integers(0, 30)))
def test_cramers_v_stays_in_its_range_and_ignores_order_and_empty_levels(table: np.ndarray) -> None:
    value = cramers_v(table.astype(float))
    assert math.isnan(value) or 0 <= value <= 1
    padded = np.pad(table[::-1, [2, 0, 3, 1]], ((0, 1), (1, 0))).astype(float)
    assert cramers_v(padded) == pytest.approx(value, nan_ok=True)
    assert cramers_v(table.T.astype(float)) == pytest.approx(value, nan_ok=True)


def test_cramers_v_is_one_where_the_column_is_the_label_and_zero_where_it_is_even() -> None:
    assert cramers_v(np.diag([10.0, 20.0, 30.0])) == pytest.approx(1.0)
    assert cramers_v(np.full((3, 3), 10.0)) == 0.0


def test_merging_keeps_the_largest_levels_and_every_image() -> None:
    codes = np.repeat([0, 1, 2, 3], [1, 5, 2, 9])
    assert np.bincount(merged(codes, 3)).tolist() == [9, 5, 3]
    assert merged(codes, 4) is codes


def test_a_column_that_names_the_label_is_a_warning_and_an_unrelated_one_is_not() -> None:
    rng = np.random.default_rng(1)
    labels = ["cat", "dog"] * 60
    results = measure(
        labels, camera=["c1" if one == "cat" else "c2" for one in labels], day=rng.choice(["mon", "tue"], 120).tolist()
    )
    assert results["camera"].value == pytest.approx(1.0)
    assert results["camera"].p_value < 0.05
    assert results["camera"].low <= results["camera"].value <= results["camera"].high
    found = association.findings(list(results.values()))
    assert [(one.subject, one.severity) for one in found] == [("camera", "warn")]


def test_numbers_are_cut_at_quantiles_so_that_a_shift_is_seen() -> None:
    rng = np.random.default_rng(2)
    labels = ["cat"] * 100 + ["dog"] * 100
    results = measure(labels, exposure=np.concatenate([rng.normal(0, 1, 100), rng.normal(3, 1, 100)]).tolist())
    assert results["exposure"].value > 0.7


def test_numbers_read_as_text_are_numbers() -> None:
    codes, problem = levels(pd.Series([str(i / 7) for i in range(100)]))
    assert problem == ""
    assert np.bincount(codes).tolist() == [20] * 5


def test_missing_values_are_a_level_of_their_own() -> None:
    labels = ["cat", "dog"] * 30
    results = measure(labels, operator=["kim" if one == "cat" else None for one in labels])
    assert results["operator"].value == pytest.approx(1.0)


def test_a_missing_number_is_no_small_number() -> None:
    codes, problem = levels(pd.Series([float(i) for i in range(20)] + [None] * 5))
    assert problem == ""
    assert np.bincount(codes).tolist() == [4, 4, 4, 4, 4, 5]
    assert len(set(codes[20:])) == 1


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([f"file {i}" for i in range(60)], "single images"),
        (["same"] * 60, "one value"),
        ([None] * 60, "empty"),
    ],
)
def test_identifiers_constants_and_empty_columns_are_not_measurable(values: list[object], why: str) -> None:
    result = measure(["cat", "dog"] * 30, column=values)["column"]
    assert (result.value, result.p_value, result.status) == (None, None, "not_measurable")
    assert why in result.estimator


def test_few_images_are_too_few() -> None:
    assert measure(["cat", "dog"] * 5, c=["x", "y"] * 5)["c"].status == "too_small"


def test_with_many_columns_a_perfect_association_still_survives_the_correction() -> None:
    labels = ["cat", "dog"] * 20
    noise = {f"c{i}": np.random.default_rng(i).choice(["x", "y"], 40).tolist() for i in range(12)}
    assert measure(labels, copy=list(labels), **noise)["copy"].p_value <= 0.05


def test_alarms_on_shuffled_labels_are_rare() -> None:
    rng = np.random.default_rng(3)
    columns = pd.DataFrame(
        {"a": rng.choice(list("xyz"), 90), "b": rng.normal(size=90), "c": rng.choice(["u", "v"], 90)}
    )
    alarms = 0
    for seed in range(40):
        labels = pd.Series(np.random.default_rng([4, seed]).permutation(np.repeat(list("klm"), 30)))
        results = associations(labels, columns, 40, np.random.default_rng(seed))
        alarms += any((one.p_value or 1.0) <= 0.05 for one in results)
    assert alarms <= 3  # an eighth of 5 % is this family's share: more than 3 of 40 has a chance below 0.2 %


def test_of_many_columns_only_those_that_go_with_the_label_are_found() -> None:
    rng = np.random.default_rng(8)
    labels = pd.Series(rng.choice(list("ab"), 200))
    columns = pd.DataFrame({f"c{i}": rng.choice(list("xyz"), 200) for i in range(30)})
    columns["faint"] = np.where(rng.random(200) < 0.35, labels, rng.choice(list("ab"), 200))
    results = associations(labels, columns, 100, np.random.default_rng(0))
    assert [one.subject for one in association.findings(results)] == ["faint"]


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(60)))
def test_the_order_of_rows_changes_no_number(order: list[int]) -> None:
    rng = np.random.default_rng(9)
    labels = pd.Series(rng.choice(list("abc"), 60))
    columns = pd.DataFrame({"s": rng.choice(list("xy"), 60), "v": rng.normal(size=60), "m": [None, "k"] * 30})
    one = associations(labels, columns, 99, np.random.default_rng(0))
    assert one == associations(labels.iloc[order], columns.iloc[order], 99, np.random.default_rng(0))


def test_a_split_that_goes_with_a_column_is_named_with_what_to_do() -> None:
    splits = pd.Series(np.repeat(["train", "test"], [60, 30]))
    columns = pd.DataFrame({"site": ["x"] * 60 + ["y"] * 30})
    results = associations(splits, columns, 99, np.random.default_rng(0), "split")
    (found,) = association.findings(results, what="split")
    assert (found.check, found.subject, found.severity) == ("split_association", "site", "warn")
    assert "the split goes with site" in found.message
