"""Suspect labels to look at: the contact sheet, and what is said of them."""

import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tasks.contracts.errors import one_line
from tasks.contracts.prepared import Pixels, Records
from tasks.contracts.records import Finding
from tasks.quality.label_errors import LabelCheck

MOST_SHOWN = 40
SUSPECT_PX, TYPICAL_PX = 128, 44
HASH_DIGITS = 12  # what decisions.csv wants
_TYPICAL = 3
_COLUMNS = 3
_GAP_PX, _MARGIN_PX, _HEADER_PX = 8, 28, 52
_TEXT_PX = 210
_CELL = (SUSPECT_PX + _GAP_PX + _TEXT_PX, SUSPECT_PX + 3 * _GAP_PX)
_LINE_PX = 17
_BACKGROUND, _INK, _FAINT, _RED = (255, 255, 255), (32, 36, 42), (118, 124, 132), (178, 34, 34)
_JPEG = {"quality": 88, "subsampling": 0, "optimize": True}
_EVIDENCE = 10
_MUCH = 0.1  # of all labels

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Shown:
    """One suspect on the sheet; pictures are (S, S, 3) uint8, those of its class and of the suggested one may lack."""

    pixels: Pixels
    given: str
    suggested: str
    score: float
    sha256: str
    like_given: tuple[Pixels, ...] = ()
    like_suggested: tuple[Pixels, ...] = ()


def shown(check: LabelCheck, pixels: Pixels | Records, sha256s: Sequence[str]) -> tuple[Shown, ...]:
    """The most suspect labels with their pictures.

    `pixels` and `sha256s` have one entry for each row of the features: its prepared pixels, and its hash.
    """

    def typical(label: str) -> tuple[Pixels, ...]:
        return tuple(pixels[list(check.typical.get(label, ()))])

    return tuple(
        Shown(
            pixels=pixels[[one.row]][0],
            given=one.given,
            suggested=one.suggested,
            score=one.score,
            sha256=sha256s[one.row],
            like_given=typical(one.given),
            like_suggested=typical(one.suggested),
        )
        for one in check.suspects[:MOST_SHOWN]
    )


def suspect_sheet(suspects: Sequence[Shown], total: int) -> bytes:
    """A JPEG of `suspects`, of `total` in all: each with both labels, images typical of these, and its hash.

    Equal input gives equal bytes.
    """
    lines = -(-len(suspects) // _COLUMNS)
    width = 2 * _MARGIN_PX + _COLUMNS * _CELL[0] + (_COLUMNS - 1) * 2 * _GAP_PX
    sheet = Image.new("RGB", (width, 2 * _MARGIN_PX + _HEADER_PX + lines * _CELL[1]), _BACKGROUND)
    heading, text = ImageFont.load_default(16), ImageFont.load_default(13)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN_PX, _MARGIN_PX), _title(len(suspects), total), _INK, heading)
    legend = (
        "small: images typical of the given and of the suggested label; below: hash, chance that the label is wrong"
    )
    draw.text((_MARGIN_PX, _MARGIN_PX + 24), legend, _FAINT, text)
    for number, one in enumerate(suspects):
        line, column = divmod(number, _COLUMNS)
        x = _MARGIN_PX + column * (_CELL[0] + 2 * _GAP_PX)
        _draw(sheet, (x, _MARGIN_PX + _HEADER_PX + line * _CELL[1]), one, text)
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", **_JPEG)
    return buffer.getvalue()


def label_findings(check: LabelCheck, paths: Sequence[str]) -> tuple[Finding, ...]:
    """What to say of the labels; `paths` has one entry for each row of the features."""
    if check.why:
        return (Finding("label_errors", "info", "labels", check.noise, f"labels were not checked: {check.why}"),)
    findings = []
    if check.suspects:
        findings.append(
            Finding(
                check="suspect_label",
                severity="warn",
                subject="labels",
                statistic=check.precision,
                message=_said(check),
                remedy="look at reports/suspects.jpg and write the right labels into decisions.csv",
                evidence=tuple(paths[one.row] for one in check.suspects[:_EVIDENCE]),
            )
        )
    if check.noise.value is not None and check.noise.value >= _MUCH:
        findings.append(
            Finding(
                check="label_noise",
                severity="warn",
                subject="labels",
                statistic=check.noise,
                message=f"about {check.noise.value:.0%} of the labels seem wrong: no score on them can be trusted",
                remedy="have the images labelled again, or find out how the labels came about",
            )
        )
    return tuple(findings)


def _said(check: LabelCheck) -> str:
    count = f"{len(check.suspects):,} of {check.n:,} labels {'is' if len(check.suspects) == 1 else 'are'} suspect"
    precision, (uniform, confusable) = check.precision, check.recalls
    return (
        f"{count}; {precision.value:.0%} of them are expected wrong ({precision.low:.0%} to {precision.high:.0%}). "
        f"Of errors planted to try it, it found {uniform.value:.0%}; between like classes {confusable.value:.0%}"
    )


def _title(count: int, total: int) -> str:
    what = f"{total:,} suspect label{'' if total == 1 else 's'}"
    return f"{what}, the {count} most suspect here" if count < total else what


def _draw(sheet: Image.Image, at: tuple[int, int], one: Shown, font: Font) -> None:
    draw, (x, y) = ImageDraw.Draw(sheet), at
    sheet.paste(_cell(one.pixels, SUSPECT_PX), (x, y))
    x += SUSPECT_PX + _GAP_PX
    given, suggested = _labels(one, font)
    parts = ((given, "label", one.like_given, _INK), (suggested, "rather", one.like_suggested, _RED))
    for label, what, pictures, ink in parts:
        draw.text((x, y), what, _FAINT, font)
        draw.text((x + 44, y), fitted(label, font, _TEXT_PX - 44), ink, font)
        for place, picture in enumerate(pictures[:_TYPICAL]):
            sheet.paste(_cell(picture, TYPICAL_PX - 8), (x + 44 + place * TYPICAL_PX, y + _LINE_PX))
        y += _LINE_PX + TYPICAL_PX - 4
    draw.text((x, y), f"{one.sha256[:HASH_DIGITS]}   {one.score:.0%}", _FAINT, font)


def _cell(pixels: Pixels, side_px: int) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels)).resize((side_px, side_px), Image.Resampling.LANCZOS)


def _labels(one: Shown, font: Font) -> tuple[str, str]:
    """Both labels as text that the font can draw: without their accents, unless that makes them look the same."""
    plain = [drawable(_without_accents(label), font) for label in (one.given, one.suggested)]
    given, suggested = (
        plain if plain[0] != plain[1] else [drawable(label, font) for label in (one.given, one.suggested)]
    )
    return given, suggested


def _without_accents(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def drawable(text: str, font: Font) -> str:
    """`text` on one line; what the font has no sign for as code points."""
    missing = bytes(font.getmask("\uffff"))
    return "".join(c if c == " " or bytes(font.getmask(c)) != missing else f"\\u{ord(c):04x}" for c in one_line(text))


def fitted(text: str, font: Font, most_px: int) -> str:
    """`text` cut with an ellipsis where it is wider than `most_px`."""
    if font.getlength(text) <= most_px:
        return text
    cut = text[:most_px]  # no character is narrower than a pixel
    while cut and font.getlength(cut + "...") > most_px:
        cut = cut[:-1]
    return cut.rstrip() + "..."
