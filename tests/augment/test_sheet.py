import io

import numpy as np
from PIL import Image

from tasks.augment.sheet import CELL_PX, Row, contact_sheet

RED, BLUE = (200, 30, 30), (30, 30, 200)


def flat(colour: tuple[int, int, int]) -> np.ndarray:
    """A picture of one colour."""
    return np.full((24, 24, 3), colour, np.uint8)


def opened(data: bytes) -> np.ndarray:
    """The sheet's pixels."""
    image = Image.open(io.BytesIO(data))
    assert image.format == "JPEG"
    return np.asarray(image).astype(int)


def area(sheet: np.ndarray, colour: tuple[int, int, int]) -> float:
    """How many cells' worth of pixels have nearly this colour."""
    return float((np.abs(sheet - colour).max(axis=2) < 12).sum() / CELL_PX**2)


def test_every_image_is_shown_once_at_full_size() -> None:
    rows = [Row("a", flat(RED), (flat(BLUE),) * 3), Row("b", flat(RED), (flat(BLUE),) * 3)]
    sheet = opened(contact_sheet(rows, "light"))
    assert abs(area(sheet, RED) - 2) < 0.05
    assert abs(area(sheet, BLUE) - 6) < 0.05


def test_the_border_is_white_and_labels_cannot_reach_the_images() -> None:
    long = "a name much longer than its column <script>\n" * 4
    sheet = opened(contact_sheet([Row(long, flat(RED), (flat(BLUE),))], "strong"))
    for edge in (sheet[:20], sheet[-20:], sheet[:, :20], sheet[:, -20:]):
        assert edge.min() > 250
    assert abs(area(sheet, RED) - 1) < 0.05


def test_equal_input_gives_equal_bytes_and_another_label_does_not() -> None:
    def sheet(label: str) -> bytes:
        """A sheet of one row."""
        return contact_sheet([Row(label, flat(RED), (flat(BLUE),))], "light")

    assert sheet("cat") == sheet("cat")
    assert sheet("cat") != sheet("dog")


def test_without_views_there_are_only_originals() -> None:
    assert abs(area(opened(contact_sheet([Row("a", flat(RED), ())], "none")), RED) - 1) < 0.05
