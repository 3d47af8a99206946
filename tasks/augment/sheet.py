"""The contact sheet: what the policy makes of one image of each class, to be judged by eye."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tasks.contracts.errors import one_line
from tasks.contracts.prepared import Pixels

CELL_PX = 120
_GAP_PX = 10
_MARGIN_PX = 36
_AFTER_ORIGINAL_PX = 26
_LABEL_PX = 150
_HEADER_PX = 40
_BACKGROUND, _INK, _FAINT, _LINE = (255, 255, 255), (32, 36, 42), (118, 124, 132), (222, 225, 229)
_JPEG = {"quality": 88, "subsampling": 0, "optimize": True}

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Row:
    """One class on the sheet: its original and the augmented views, all (S, S, 3) uint8."""

    label: str
    original: Pixels
    views: tuple[Pixels, ...]


def contact_sheet(rows: Sequence[Row], policy: str) -> bytes:
    """A JPEG with a line of images for each row; equal input gives equal bytes."""
    views = max((len(row.views) for row in rows), default=0)
    heading, text = ImageFont.load_default(16), ImageFont.load_default(15)
    title = f"augmented, policy {policy}"
    first = _MARGIN_PX + _LABEL_PX
    left = first + CELL_PX + _AFTER_ORIGINAL_PX
    shown_px = max(views * (CELL_PX + _GAP_PX) - _GAP_PX, math.ceil(heading.getlength(title)))
    width = (left + shown_px if views else first + CELL_PX) + _MARGIN_PX
    height = _MARGIN_PX + _HEADER_PX + len(rows) * (CELL_PX + _GAP_PX) - _GAP_PX + _MARGIN_PX
    sheet = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((first, _MARGIN_PX), "original", _FAINT, heading)
    if views:
        draw.text((left, _MARGIN_PX), title, _FAINT, heading)
        x = left - _AFTER_ORIGINAL_PX // 2
        draw.line([(x, _MARGIN_PX), (x, height - _MARGIN_PX)], _LINE)
    for number, row in enumerate(rows):
        y = _MARGIN_PX + _HEADER_PX + number * (CELL_PX + _GAP_PX)
        label = _fitted(row.label, text, _LABEL_PX - 2 * _GAP_PX)
        draw.text((_MARGIN_PX, y + CELL_PX // 2), label, _INK, text, anchor="lm")
        sheet.paste(_cell(row.original), (first, y))
        for place, view in enumerate(row.views):
            sheet.paste(_cell(view), (left + place * (CELL_PX + _GAP_PX), y))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", **_JPEG)
    return buffer.getvalue()


def _cell(pixels: Pixels) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels)).resize((CELL_PX, CELL_PX), Image.Resampling.LANCZOS)


def _fitted(label: str, font: Font, most_px: int) -> str:
    """`label` on one line, cut with an ellipsis where it is wider than `most_px`."""
    whole = one_line(label)
    if font.getlength(whole) <= most_px:
        return whole
    cut = whole
    while cut and font.getlength(cut + "...") > most_px:
        cut = cut[:-1]
    return cut.rstrip() + "..."
