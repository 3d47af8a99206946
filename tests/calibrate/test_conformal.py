"""Sets hold the right class as often as is asked for, whatever the scores; few images are said to be too few."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.calibrate.conformal import least_images, plausible, quantile, scores_of


@pytest.mark.parametrize(
    ("n", "share", "rank"),
    [(9, 0.9, 9), (10, 0.9, 10), (19, 0.9, 18), (99, 0.9, 90), (19, 0.95, 19), (1, 0.5, 1)],
)
def test_the_quantile_is_the_exact_one_of_few(n, share, rank):
    scores = np.random.default_rng(0).permutation(n) / n
    assert quantile(scores, share) == pytest.approx((rank - 1) / n)


@pytest.mark.parametrize(("share", "least"), [(0.5, 1), (0.9, 9), (0.95, 19), (0.99, 99), (0.9999, 9999)])
def test_so_many_images_does_a_share_take(share, least):
    assert least_images(share) == least


@given(st.integers(1, 300), st.floats(0.05, 0.99))
def test_least_images_is_where_a_quantile_begins(n, share):
    assert (quantile(np.zeros(n), share) is not None) == (n >= least_images(share))


@given(st.integers(10, 60), st.sampled_from([0.5, 0.8, 0.9]), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_a_new_score_is_covered_as_often_as_asked_in_the_mean(n, share, seed):
    """Exact for exchangeable scores without ties: the mean over which of n + 1 is the new one is k / (n + 1)."""
    scores = np.random.default_rng(seed).normal(size=n + 1)
    limits = [quantile(np.delete(scores, i), share) for i in range(n + 1)]
    covered = np.mean([limit is None or scores[i] <= limit for i, limit in enumerate(limits)])
    assert share <= covered + 1e-9
    assert covered < share + 1 / (n + 1) + 1e-9


@given(st.integers(2, 8), st.integers(0, 2**31))
def test_sets_grow_with_the_threshold_and_hold_what_scores_say(classes, seed):
    rng = np.random.default_rng(seed)
    found = rng.dirichlet(np.ones(classes), 20)
    targets = rng.integers(classes, size=20)
    low, high = sorted(rng.uniform(size=2))
    assert not (plausible(found, low) & ~plausible(found, high)).any()
    held = plausible(found, high)[np.arange(20), targets]
    assert np.array_equal(held, scores_of(found, targets) <= high)
