import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.register.promotion import decide

OLD, NEW = np.zeros(10, bool), np.ones(10, bool)


def right(count: int, of: int = 10) -> np.ndarray:
    return np.arange(of) < count


def test_better_on_all_is_promoted():
    decision = decide(right(8), right(7), OLD, 0.01)
    assert decision.promote
    assert (decision.candidate, decision.champion, decision.images) == (0.8, 0.7, 10)


@pytest.mark.parametrize("count", [7, 6, 0])
def test_equal_or_worse_is_not(count):
    assert not decide(right(count), right(7), OLD, 0.01).promote


def test_as_good_on_old_and_better_on_new_needs_both():
    is_new = np.repeat([False, True], 100)
    champion = np.concatenate([right(90, 100), right(50, 100)])
    one_worse_on_old = np.concatenate([right(89, 100), right(51, 100)])
    three_worse_on_old = np.concatenate([right(87, 100), right(53, 100)])
    assert decide(one_worse_on_old, champion, is_new, 0.01).promote
    assert not decide(three_worse_on_old, champion, is_new, 0.01).promote


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_a_version_never_replaces_itself_and_two_never_replace_each_other(rows):
    ours, theirs, new = (np.array(column) for column in zip(*rows, strict=True))
    assert not decide(ours, ours, new, 0.0).promote
    assert not (decide(ours, theirs, new, 0.0).promote and decide(theirs, ours, new, 0.0).promote)
