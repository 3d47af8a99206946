"""The most confident mistakes on one sheet: each picture, and the same with the places that spoke for the answer."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tasks.contracts.model_records import Mistake
from tasks.contracts.prepared import Pixels
from tasks.quality.suspects import drawable, fitted

MOST_SHOWN = 12
PICTURE_PX = 128
_COLUMNS, _GAP_PX, _MARGIN_PX, _HEADER_PX, _LINE_PX = 3, 6, 28, 56, 17
_CELL = (2 * PICTURE_PX + _GAP_PX, PICTURE_PX + 3 * _LINE_PX + 3 * _GAP_PX)
_BACKGROUND, _INK, _FAINT, _RED = (255, 255, 255), (32, 36, 42), (118, 124, 132), (178, 34, 34)
_JPEG = {"quality": 88, "subsampling": 0, "optimize": True}
_HASH_DIGITS = 12  # what decisions.csv wants
_STRONGEST = 0.65  # how much of the picture the strongest place covers


@dataclass(frozen=True)
class Shown:
    """A mistake with its picture (side, side, 3), and its map (grid, grid) from 0 to 1."""

    mistake: Mistake
    pixels: Pixels
    map: NDArray[np.float32]


def error_sheet(errors: Sequence[Shown], wrong: int, tested: int) -> bytes:
    """A JPEG of `errors`, of `wrong` in all among the images `tested`; equal input gives equal bytes."""
    lines = max(1, -(-len(errors) // _COLUMNS))
    width = 2 * _MARGIN_PX + _COLUMNS * _CELL[0] + (_COLUMNS - 1) * 4 * _GAP_PX
    sheet = Image.new("RGB", (width, 2 * _MARGIN_PX + _HEADER_PX + lines * _CELL[1]), _BACKGROUND)
    heading, text = ImageFont.load_default(16), ImageFont.load_default(13)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN_PX, _MARGIN_PX), _title(len(errors), wrong, tested), _INK, heading)
    legend = "right: the same picture; red speaks most for the answer (gradient times activation), clear not at all"
    draw.text((_MARGIN_PX, _MARGIN_PX + 24), legend if errors else "", _FAINT, text)
    for number, one in enumerate(errors):
        line, column = divmod(number, _COLUMNS)
        at = _MARGIN_PX + column * (_CELL[0] + 4 * _GAP_PX), _MARGIN_PX + _HEADER_PX + line * _CELL[1]
        _draw(sheet, at, one, text)
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", **_JPEG)
    return buffer.getvalue()


def _title(shown: int, wrong: int, tested: int) -> str:
    if not tested:
        return "there are no test images"
    what = f"{wrong:,} of {tested:,} test images {'is' if wrong == 1 else 'are'} called wrong"
    return f"{what}, the {shown} most confident here" if shown < wrong else what


def overlaid(pixels: Pixels, strength: NDArray[np.float32]) -> Pixels:
    """The picture (side, side, 3) under a colour that follows a map (grid, grid) from 0 to 1; at 0 it is as it was."""
    size = pixels.shape[1::-1]
    fine = cv2.resize(np.ascontiguousarray(strength), size, interpolation=cv2.INTER_LINEAR)[..., None].clip(0, 1)
    levels = np.rint(255 * fine[..., 0]).astype(np.uint8)
    colour = np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO), np.float32)[..., ::-1]
    cover = _STRONGEST * fine
    found: Pixels = np.rint(pixels * (1 - cover) + colour * cover).astype(np.uint8)
    return found


def _draw(
    sheet: Image.Image, at: tuple[int, int], one: Shown, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> None:
    draw, (x, y) = ImageDraw.Draw(sheet), at
    for place, picture in enumerate((one.pixels, overlaid(one.pixels, one.map))):
        cell = Image.fromarray(np.ascontiguousarray(picture)).resize((PICTURE_PX,) * 2, Image.Resampling.LANCZOS)
        sheet.paste(cell, (x + place * (PICTURE_PX + _GAP_PX), y))
    y += PICTURE_PX + _GAP_PX
    said = ((one.mistake.label, "is", _INK), (one.mistake.predicted, "called", _RED))
    for label, what, ink in said:
        draw.text((x, y), what, _FAINT, font)
        draw.text((x + 48, y), fitted(drawable(label, font), font, _CELL[0] - 48), ink, font)
        y += _LINE_PX
    draw.text((x, y), f"{one.mistake.sha256[:_HASH_DIGITS]}   {one.mistake.confidence:.0%} sure", _FAINT, font)
