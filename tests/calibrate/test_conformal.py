"""Sets hold the right class as often as is asked for, whatever the scores; few images are said to be too few."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.calibrate.conformal import draws_of, least_images, plausible, quantile, scores_of


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
def test_sets_grow_with_the_coverage_and_take_the_likeliest_classes_first(classes, seed):
    rng = np.random.default_rng(seed)
    found, scores, draws = rng.dirichlet(np.ones(classes), 20), rng.uniform(size=50), rng.uniform(size=20)
    low, high = sorted(rng.uniform(0.05, 0.95, size=2))
    smaller, larger = (plausible(found, scores, share, draws) for share in (low, high))
    assert not (smaller & ~larger).any()
    right = rng.integers(classes, size=20)
    assert scores_of(found, right) == pytest.approx(1 - found[np.arange(20), right])
    left_out = np.where(larger, 0, found).max(axis=1)
    assert (np.where(larger, found, 1).min(axis=1) >= left_out).all()


@given(st.integers(10, 60), st.floats(0.5, 0.9), st.integers(1, 60), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_sets_hold_the_right_class_exactly_as_often_as_asked_whatever_the_ties(n, share, levels, seed):
    """The mean over which of n + 1 images is the new one, and over its draw: the share itself, not k / (n + 1)."""
    scores = np.random.default_rng(seed).integers(levels, size=n + 1) / 64  # exact, and with many ties
    draws = (np.arange(2000) + 0.5) / 2000
    covered = []
    for i, score in enumerate(scores):
        probability = np.full((len(draws), 1), 1 - score)
        covered.append(plausible(probability, np.delete(scores, i), share, draws).mean())
    assert np.mean(covered) == pytest.approx(share, abs=1e-3)


def test_a_score_that_lies_at_the_border_is_drawn():
    """Of 33 scores 0.9 asks for rank 30.6: what lies above 30 of them is in the set in six of ten draws."""
    scores = np.random.default_rng(0).permutation(33) / 64
    between = np.repeat(1 - (np.arange(33)[None] + 0.5) / 64, 1000, axis=0)  # above 1, 2, ... 33 of the scores
    often = plausible(between, scores, 0.9, np.arange(1000) / 1000).mean(axis=0)
    assert (often[:29] == 1).all()
    assert often[29] == pytest.approx(0.6, abs=0.002)
    assert (often[30:] == 0).all()


def test_a_draw_is_the_same_for_the_same_picture_and_even_over_others():
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 16, 16, 3), np.uint8)
    draws = draws_of(pixels)
    assert np.array_equal(draws_of(pixels[5:6]), draws[5:6])
    assert np.abs(np.histogram(draws, 10, (0, 1))[0] / 2000 - 0.1).max() < 0.03
    assert draws_of(pixels[:0]).shape == (0,)
