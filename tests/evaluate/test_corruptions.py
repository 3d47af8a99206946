import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.evaluate.corruptions import KINDS, SEVERITIES, corrupt
from tests.conftest import draw

PICTURES = np.stack([draw("circles", np.random.default_rng(i)) for i in range(3)])
SEEDS = [(0, i) for i in range(3)]


def change(name: str, severity: int) -> float:
    """How far pictures are from what they were, in levels."""
    return float(np.abs(corrupt(PICTURES, name, severity, SEEDS).astype(float) - PICTURES).mean())


@pytest.mark.parametrize("name", KINDS)
def test_each_corruption_changes_pictures_more_when_it_is_severe(name):
    changes = [change(name, severity) for severity in SEVERITIES]
    assert 0 < changes[0] < changes[-1]


@pytest.mark.parametrize("name", KINDS)
def test_equal_seeds_give_equal_pictures_whatever_stands_beside_them(name):
    together = corrupt(PICTURES, name, 3, SEEDS)
    alone = corrupt(PICTURES[1:2], name, 3, SEEDS[1:2])
    assert np.array_equal(together[1:2], alone)
    assert np.array_equal(together, corrupt(PICTURES, name, 3, SEEDS))


@given(
    name=st.sampled_from(sorted(KINDS)), severity=st.sampled_from(SEVERITIES), side=st.sampled_from([1, 2, 7, 33, 300])
)
@settings(max_examples=40, deadline=None)
def test_any_side_is_taken_and_pixels_stay_pixels(name, severity, side):
    pixels = np.random.default_rng(0).integers(0, 256, (1, side, side, 3), dtype=np.uint8)
    before = pixels.copy()
    found = corrupt(pixels, name, severity, [(1,)])
    assert (found.shape, found.dtype) == (pixels.shape, np.uint8)
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.family == "noise"])
def test_noise_differs_from_picture_to_picture(name):
    same = np.repeat(PICTURES[:1], 2, axis=0)
    first, second = corrupt(same, name, 3, [(0, 1), (0, 2)])
    assert not np.array_equal(first, second)


def test_strengths_are_the_published_ones_at_the_sides_they_were_published_for():
    noise, blur = KINDS["gaussian noise"], KINDS["defocus blur"]
    assert [noise.strength(s, 32)["deviation"] for s in SEVERITIES] == pytest.approx([0.04, 0.06, 0.08, 0.09, 0.10])
    assert [noise.strength(s, 224)["deviation"] for s in SEVERITIES] == pytest.approx([0.08, 0.12, 0.18, 0.26, 0.38])
    assert noise.strength(5, 64)["deviation"] == pytest.approx(0.10 ** (1 - 0.3562) * 0.38**0.3562, rel=1e-3)
    assert noise.strength(5, 448) == noise.strength(5, 224)
    assert blur.strength(5, 448)["radius"] > 1.9 * blur.strength(5, 224)["radius"]


def test_an_empty_batch_stays_empty():
    assert corrupt(PICTURES[:0], "jpeg", 1, []).shape == (0, *PICTURES.shape[1:])
