import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.images import Decoded
from tasks.quality.frames import border
from tasks.quality.measures import (
    Measures,
    blockiness,
    colour,
    detail,
    entropy_bits,
    histogram,
    percentile,
    sharpness,
    sharpness_least,
    steps_of,
)
from tasks.quality.measures import measure as measure_decoded


def grey(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)


def measure(picture: np.ndarray) -> Measures:
    levels, (height, width) = grey(picture), picture.shape[:2]
    return measure_decoded(Decoded(picture, levels, picture, width, height, "RGB", "PNG", False, math.nan, levels))


def steepest(levels: np.ndarray) -> float:
    return sharpness(histogram(steps_of(levels)), span(levels))


def least_steep(levels: np.ndarray) -> float:
    steps = steps_of(levels)
    return sharpness_least(levels, steps, histogram(steps), span(levels))


def span(levels: np.ndarray) -> float:
    counts = histogram(levels)
    return (percentile(counts, 0.999) - percentile(counts, 0.001)) / 255


def flat(level: int, side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), level, np.uint8)


def halves(low: int, high: int) -> np.ndarray:
    picture = flat(low)
    picture[:, 32:] = high
    return picture


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)


def test_a_flat_picture():
    measures = measure(flat(51))
    assert (measures.luminance_low, measures.luminance_median, measures.luminance_high) == (0.2, 0.2, 0.2)
    assert (measures.contrast, measures.entropy_bits, measures.colour) == (0, 0, 0)
    assert math.isnan(measures.sharpness)


def test_two_halves():
    measures = measure(halves(0, 255))
    assert (measures.luminance_low, measures.luminance_high, measures.contrast) == (0, 1, 1)
    assert measures.entropy_bits == 1  # two equally frequent tones
    assert measures.sharpness == 1  # the step is the whole contrast


def test_percentiles_are_levels_that_occur():
    counts = histogram(np.array([[10, 20, 20, 200]], np.uint8))
    assert [percentile(counts, share) for share in (0, 0.25, 0.5, 0.75, 0.76, 1)] == [0, 10, 20, 20, 200, 200]


def test_entropy_of_all_levels_is_eight_bits():
    assert entropy_bits(histogram(np.arange(256, dtype=np.uint8)[None])) == 8


@given(st.floats(1.0, 4.0), st.floats(1.2, 2.0))
def test_more_blur_is_less_sharp(sigma, more):
    clear = grey(halves(20, 220))
    once, twice = (cv2.GaussianBlur(clear, (0, 0), s) for s in (sigma, sigma * more))
    assert steepest(twice) <= steepest(once) < steepest(clear)


def test_sharpness_is_the_slope_of_a_blurred_edge():
    blurred = cv2.GaussianBlur(grey(halves(0, 255)), (0, 0), 4)
    assert steepest(blurred) == pytest.approx(1 / (4 * math.sqrt(2 * math.pi)), rel=0.1)


def test_sharpness_does_not_depend_on_contrast():
    blurred = [cv2.GaussianBlur(grey(halves(*tones)), (0, 0), 3) for tones in ((0, 240), (90, 150))]
    assert steepest(blurred[0]) == pytest.approx(steepest(blurred[1]), rel=0.1)


def test_one_sharp_subject_before_a_soft_ground_is_sharp():
    soft = cv2.GaussianBlur(noise(), (0, 0), 8)
    soft[24:40, 24:40] = 255
    assert steepest(grey(soft)) > 0.3


def test_stars_make_a_night_sky_bright_and_hot_pixels_do_not():
    sky = flat(0)
    sky[::16, ::16] = 255  # 16 of 4096 pixels
    assert measure(sky).luminance_high == 1
    lens_cap = flat(0)
    lens_cap[0, :3] = 255  # 3 of 4096 pixels
    assert measure(lens_cap).luminance_high == 0


def test_colour_is_the_spread_of_the_channels():
    assert colour(flat(90)) == 0
    picture = flat(0)
    picture[..., 0] = 51
    assert colour(picture) == 0.2


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 300, 3), (300, 1, 3), (2, 2, 3)])
def test_any_shape_is_measured(shape):
    assert measure(np.zeros(shape, np.uint8)).contrast == 0


def test_a_smear_takes_the_sharpness_along_one_direction_only():
    clear = grey(noise())
    smeared = cv2.blur(clear, (21, 1))
    assert least_steep(clear) > 0.4
    assert least_steep(smeared) < 0.5 * steepest(smeared)
    turned = np.ascontiguousarray(smeared.T)
    assert least_steep(turned) == pytest.approx(least_steep(smeared), rel=0.05)


def test_a_straight_edge_is_sharp_across_and_not_along():
    assert (steepest(grey(halves(0, 255))), least_steep(grey(halves(0, 255)))) == (1, 0)


def test_a_sharp_subject_before_a_smeared_ground_is_sharp_in_all_directions():
    panned = cv2.blur(grey(noise()), (31, 1))
    panned[20:44, 20:44] = grey(noise())[20:44, 20:44]
    assert least_steep(panned) > 0.3


def test_detail_is_that_of_the_thumbnail():
    assert detail(flat(90)) == 0
    assert detail(halves(0, 51)) == 0.2


def framed(down: int, across: int, tone: int = 0) -> np.ndarray:
    return cv2.copyMakeBorder(grey(noise()), down, down, across, across, cv2.BORDER_CONSTANT, value=tone)


def test_a_frame_takes_its_share():
    assert border(framed(16, 16)) == pytest.approx(1 - (64 / 96) ** 2)
    assert border(framed(16, 0, 255)) == pytest.approx(1 / 3)
    assert border(framed(0, 16, 128)) == pytest.approx(1 / 3)


def test_no_frame():
    one_side = grey(noise())
    one_side[:16] = 0  # a clear sky
    lone = np.full((64, 64), 255, np.uint8)
    cv2.circle(lone, (32, 32), 12, 0, -1)
    page = np.full((64, 64), 255, np.uint8)
    page[12:52:4, 12:52:3] = 0  # letters and gaps
    assert [border(picture) for picture in (grey(noise()), one_side, lone, page, grey(flat(9)))] == [0] * 5


def blocks(height: int, side: int = 128) -> np.ndarray:
    tones = np.random.default_rng(1).integers(100 - height, 100 + height, (side // 8, side // 8), dtype=np.uint8)
    return np.repeat(np.repeat(tones, 8, 0), 8, 1)


def test_blocks_show_wherever_the_grid_begins():
    assert blockiness(blocks(15)) > 0.02
    assert blockiness(blocks(15)[3:, 5:]) == pytest.approx(blockiness(blocks(15)), rel=0.2)


def test_no_blocks():
    smooth = cv2.GaussianBlur(grey(noise()), (0, 0), 4)
    code = np.where(blocks(15) > 100, 255, 0).astype(np.uint8)  # modules of 8 px, of full contrast
    assert blockiness(smooth) < 0.005
    assert blockiness(code) == 0
    assert math.isnan(blockiness(blocks(15)[:40]))
