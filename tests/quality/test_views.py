import cv2
import numpy as np
import pytest

from benchmarks.scenes import scene
from tasks.quality.views import BITS, MIRRORED, SIDE_PX, View, hashes, turned, views


def thumbnail(picture: np.ndarray) -> np.ndarray:
    small = cv2.resize(picture, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)


def apart(one: np.ndarray, other: np.ndarray) -> int:
    """Bits in which two hashes differ."""
    return int(np.unpackbits(one ^ other).sum())


@pytest.fixture(scope="module")
def greys() -> np.ndarray:
    return np.stack([thumbnail(scene(number, 5)) for number in range(6)])


def test_a_hash_of_a_turned_view_is_that_of_the_turned_picture(greys):
    every = hashes(greys)
    for number, view in enumerate(views()):
        if view.turn:
            again = hashes(np.stack([turned(grey, view.turn) for grey in greys]))[0]
            assert max(apart(a, b) for a, b in zip(again, every[number], strict=True)) <= 2  # a sign next to zero


def test_the_turns_are_the_eight_of_a_square(greys):
    seen = {turned(greys[0], turn).tobytes() for turn in range(8)}
    quarters = {np.ascontiguousarray(np.rot90(greys[0], k)).tobytes() for k in range(4)}
    assert len(seen) == 8
    assert quarters == {turned(greys[0], turn).tobytes() for turn in range(8) if turn not in MIRRORED}


def test_light_and_contrast_change_no_bit_and_size_hardly_any(greys):
    whole = hashes(greys)[0]
    assert max(apart(a, b) for a, b in zip(whole, hashes(greys * 0.5 + 90)[0], strict=True)) <= 1
    for number in range(6):
        small = cv2.resize(scene(number, 5), (120, 100), interpolation=cv2.INTER_AREA)
        assert apart(whole[number], hashes(thumbnail(small)[None])[0, 0]) < 12


def test_a_window_looks_like_the_crop_that_it_stands_for():
    picture = scene(3, 5)
    height, width = picture.shape[:2]
    every = hashes(thumbnail(picture)[None])[:, 0]
    for number, view in enumerate(views()):
        if view != View() and not view.turn:
            (top, bottom), (left, right) = view.rows, view.columns
            crop = picture[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]
            own = hashes(thumbnail(crop)[None])[0, 0]
            assert apart(own, every[number]) < 20 < apart(own, every[0])


def test_different_pictures_are_far_apart(greys):
    whole = hashes(greys)[0]
    distances = [apart(whole[i], whole[j]) for i in range(6) for j in range(i)]
    assert min(distances) > 75
    assert 100 < np.mean(distances) < BITS / 2 + 15
