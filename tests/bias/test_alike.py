import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.bias.alike import Sets, corrected, numbers_apart, p_of_table, values_apart
from tasks.bias.significance import holm


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def sets(first: int, second: int) -> Sets:
    mask = np.arange(first + second) < first
    return Sets(mask, ~mask)


def test_values_apart_by_hand():
    # 60 and 40 of 100 against 30 and 70 of 100: half of .3 + .3; chi-square = 2 (15^2/45 + 15^2/55) = 18.18
    codes = np.repeat([0, 1, 0, 1], [60, 40, 30, 70])
    found = values_apart("site", codes, sets(100, 100), rng())
    assert found.value == pytest.approx(0.3)
    assert found.p_value == pytest.approx(2.0e-5, rel=0.02)
    assert found.low < 0.3 < found.high
    assert found.low > 0.1


def test_numbers_apart_by_hand():
    # 0 to 19 against 10 to 29: at 10 half of the first lie below, none of the second
    found = numbers_apart("width", np.array([*range(20), *range(10, 30)], float), sets(20, 20))
    assert found.value == pytest.approx(0.5)
    assert found.p_value < 0.05


def test_images_without_the_number_are_left_out_and_few_are_too_few():
    numbers = np.array([1.0] * 12 + [np.nan] * 20 + [2.0] * 9)
    found = numbers_apart("jpeg_quality", numbers, sets(20, 21))
    assert (found.value, found.status, found.n) == (None, "too_small", 21)
    assert values_apart("site", np.arange(30) % 2, sets(21, 9), rng()).status == "too_small"


def test_the_exact_p_of_a_small_table_by_hand():
    # 3 of 3 against 0 of 3: of the 20 ways to choose 3 of 6 two are as extreme
    assert p_of_table(np.array([[3, 0], [0, 3]]), rng()) == pytest.approx(0.1, abs=0.01)
    assert p_of_table(np.array([[3, 0], [4, 0]]), rng()) == 1.0
    assert p_of_table(np.array([[0, 0], [4, 3]]), rng()) == 1.0


def test_alarms_are_within_their_level():
    alarms = 0
    for seed in range(300):
        draw = np.random.default_rng([1, seed])
        codes, numbers = draw.choice(4, 80, p=[0.7, 0.2, 0.08, 0.02]), draw.normal(size=80)
        found = [values_apart("a", codes, sets(50, 30), draw), numbers_apart("b", numbers, sets(50, 30))]
        alarms += any(one.p_value <= 0.05 for one in corrected(found, holm, "Holm"))
    assert alarms <= 24  # 15 are expected at most; more than 24 has a chance below 1 %


@given(st.lists(st.integers(0, 4), min_size=24, max_size=60), st.integers(0, 9))
def test_the_distance_is_symmetric_and_the_order_of_rows_changes_nothing(codes: list[int], seed: int):
    values, both = np.array(codes), sets(12, len(codes) - 12)
    one = values_apart("a", values, both, rng())
    other = values_apart("a", values, Sets(both.second, both.first), rng())
    assert one.value == pytest.approx(other.value)
    assert 0 <= one.low <= one.value <= one.high <= 1
    order = np.random.default_rng(seed).permutation(len(codes))
    assert values_apart("a", values[order], Sets(both.first[order], both.second[order]), rng()) == one
