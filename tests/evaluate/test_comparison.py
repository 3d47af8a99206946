import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from tasks.evaluate.comparison import accuracy_difference, discordant, mcnemar_p


def answers(both: int, won: int, lost: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.repeat([True, True, False, False], [both, won, lost, neither])
    second = np.repeat([True, False, True, False], [both, won, lost, neither])
    return first, second


def difference(first, second, seed=0):
    return accuracy_difference(first, second, np.random.default_rng(seed), 2000)


def test_difference_is_that_of_the_accuracies_and_inside_its_interval():
    found = difference(*answers(40, 30, 10, 20))
    assert (found.value, found.n) == (0.2, 100)
    assert found.low < 0.2 < found.high
    # normal approximation: sqrt((30 + 10) / 100 - 0.2**2) / 10 = 0.06, times 1.96
    assert (found.low, found.high) == pytest.approx((0.2 - 0.1176, 0.2 + 0.1176), abs=0.015)


def test_pairing_narrows_the_interval():
    tight, loose = difference(*answers(75, 6, 4, 15)), difference(*answers(15, 36, 34, 15))
    assert tight.high - tight.low < loose.high - loose.low


def test_equal_answers_leave_room_for_what_was_not_seen():
    found = difference(*answers(15, 0, 0, 5))
    assert found.value == 0.0
    assert (found.low, found.high) == pytest.approx((-0.1684, 0.1684), abs=1e-4)  # 1 - 0.025 ** (1 / 20)


def test_a_sweep_is_not_certainty():
    found = difference(*answers(0, 4, 0, 0))
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025**0.25)


def test_no_images_compare_nothing():
    found = difference(np.zeros(0, dtype=bool), np.zeros(0, dtype=bool))
    assert (found.value, found.p_value, found.status) == (None, None, "not_measurable")


def test_mcnemar_by_hand():
    # 1 of 6 discordant: 2 * (1 + 6) / 64
    assert mcnemar_p(5, 1) == pytest.approx(14 / 64)
    assert difference(*answers(3, 5, 1, 2)).p_value == mcnemar_p(5, 1)


def test_mcnemar_without_discordant_images_is_one():
    assert mcnemar_p(0, 0) == 1.0


def test_mcnemar_of_many_images_stays_exact():
    assert mcnemar_p(5200, 4800) == pytest.approx(binomtest(5200, 10000).pvalue)


@given(*(st.integers(0, 30) for _ in range(4)))
@settings(max_examples=80, deadline=None)
def test_swapping_the_models_flips_the_sign_and_keeps_p(both, won, lost, neither):
    first, second = answers(both, won, lost, neither)
    assert discordant(first, second) == discordant(second, first)[::-1] == (won, lost)
    assert mcnemar_p(won, lost) == mcnemar_p(lost, won)
    if won + lost:
        assert mcnemar_p(won, lost) == pytest.approx(binomtest(won, won + lost).pvalue)
    if len(first):
        assert difference(first, second).value == -difference(second, first).value
