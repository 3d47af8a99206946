import io

import numpy as np
from PIL import Image

from tasks.contracts.model_records import Mistake
from tasks.evaluate.error_sheet import Shown, error_sheet, overlaid
from tests.hostile import HOSTILE

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)


def shown(label: str = "ant") -> Shown:
    return Shown(Mistake("a.png", "ab" * 32, label, "bee", 0.9), PIXELS, np.eye(6, dtype=np.float32))


def opened(sheet: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(sheet))
    picture.load()
    return picture


def test_equal_mistakes_give_equal_bytes_and_more_of_them_a_longer_sheet():
    one, many = error_sheet([shown()], 1, 9), error_sheet([shown()] * 7, 20, 99)
    assert one == error_sheet([shown()], 1, 9)
    assert opened(many).height > opened(one).height
    assert opened(many).width == opened(one).width


def test_without_mistakes_or_images_there_is_a_sheet_all_the_same():
    assert error_sheet([], 0, 9) != error_sheet([], 0, 0)
    assert opened(error_sheet([], 0, 0)).format == "JPEG"


def test_any_label_fits():
    sheet = error_sheet([shown(text) for text in HOSTILE.values()], len(HOSTILE), 99)
    assert opened(sheet).width == opened(error_sheet([shown()], 1, 9)).width


def test_what_speaks_for_nothing_is_left_as_it_was():
    assert np.array_equal(overlaid(PIXELS, np.zeros((6, 6), np.float32)), PIXELS)
    half = np.zeros((6, 6), np.float32)
    half[:3] = 1
    found = overlaid(PIXELS, half)
    assert np.array_equal(found[32:], PIXELS[32:])
    assert not np.array_equal(found[:16], PIXELS[:16])
