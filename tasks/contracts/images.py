"""The only decoder: equal bytes give equal pixels in the scan, in training and in prediction.

The rule for each mode: 1-bit, grey and palette become RGB; 16-bit grey is divided by 257 (16-bit colour keeps its
high bytes); transparency is composited over white; CMYK and YCbCr are converted without a colour profile; integers
and floats of 32 bits are refused, for nothing says which of their values is white. EXIF orientation is turned.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.contracts.errors import BadData
from tasks.contracts.reasons import REASONS

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")  # by content; of an animation the first frame
PICTURE_PX = 256  # the longest that the short side of `Decoded.picture` gets

RGB = NDArray[np.uint8]

_OTHER_FORMATS = (b"%PDF", b"%!PS", b"8BPS", b"SIMPLE  =", b"\0\0\1\0", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"qoif")
_OUR_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0*", b"GIF87a", b"GIF89a")
_OUR_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82", b"GI": b";"}  # first two bytes -> the last
_ORIENTATION = 0x0112
_BROKEN = (SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, struct.error, zlib.error)


class Undecodable(BadData):
    """The bytes give no picture; `reason` is an id of contracts/reasons.py."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """`detail` is added to the reason's sentence."""
        super().__init__(f"{reason}: {REASONS[reason]}{f' ({detail})' if detail else ''}")
        self.reason = reason


@dataclass(frozen=True)
class Decoded:
    """One image. `pixels` and `picture` are upright RGB; the rest describes the file before any change of size."""

    pixels: RGB  # (side_px, side_px, 3): the centre square
    picture: RGB  # (height, width, 3): all of it, short side at most PICTURE_PX, never enlarged
    width: int  # upright
    height: int
    mode: str
    format: str


def decode(data: bytes, side_px: int, max_megapixels: float = 100.0) -> Decoded:
    """Decode an image file's bytes.

    Raises Undecodable with the reason `empty`, `not_an_image`, `unsupported_format`, `too_many_pixels`,
    `truncated` or `damaged`.
    """
    image = _open(data)
    stored, mode = image.size, image.mode
    if stored[0] * stored[1] > max_megapixels * 1e6:
        raise Undecodable("too_many_pixels", f"{stored[0]} x {stored[1]}")
    # a JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves twice what is needed
    needed = 2 * max(side_px, PICTURE_PX) / min(stored)
    if image.format in ("JPEG", "MPO") and needed < 1:
        image.draft(None, (int(stored[0] * needed) + 1, int(stored[1] * needed) + 1))
    _load(image)
    turn = _orientation(image)
    rgb = _to_rgb(image)
    width, height = stored[::-1] if turn >= 5 else stored
    return Decoded(
        pixels=_turned(_square(rgb, side_px), turn),
        picture=_turned(_reduced(rgb), turn),
        width=width,
        height=height,
        mode=mode,
        format="JPEG" if image.format == "MPO" else str(image.format),
    )


def stored_size(path: Path) -> tuple[int, int] | None:
    """Width and height as the header gives them, without decoding; None where the file is no image."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.size
    except (OSError, *_BROKEN):
        return None


@contextmanager
def decoder_warnings_off() -> Iterator[None]:
    """Silence Pillow's remarks on odd metadata; to be entered in the main thread, around the threads that decode."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def _open(data: bytes) -> Image.Image:
    if not data:
        raise Undecodable("empty")
    Image.MAX_IMAGE_PIXELS = None  # the cap is ours, and an argument
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except (OSError, *_BROKEN) as error:  # UnidentifiedImageError is an OSError
        raise Undecodable(_unopened(data), "" if isinstance(error, OSError) else str(error)) from None


def _unopened(data: bytes) -> str:
    if data.startswith(_OTHER_FORMATS) or data[4:8] == b"ftyp":
        return "unsupported_format"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "truncated" if int.from_bytes(data[4:8], "little") + 8 > len(data) else "damaged"
    if not data.startswith(_OUR_STARTS):
        return "not_an_image"
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    if data[:2] in (b"II", b"MM") and int.from_bytes(data[4:8], order) >= len(data):  # a TIFF's directory, cut off
        return "truncated"
    return "damaged" if data.endswith(_OUR_ENDS.get(data[:2], b"")) else "truncated"


def _load(image: Image.Image) -> None:
    try:
        image.load()
    except OSError as error:
        raise Undecodable("truncated" if "truncated" in str(error) else "damaged", str(error)) from None
    except EOFError:
        raise Undecodable("truncated") from None
    except _BROKEN as error:
        raise Undecodable("damaged", str(error)) from None


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8; 1 where there is none or its block cannot be read. Pillow turns a TIFF itself."""
    try:
        turn = image.getexif().get(_ORIENTATION, 1)
    except (OSError, *_BROKEN):
        return 1
    return turn if turn in range(1, 9) else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        levels = np.asarray(image, dtype=np.float32) / 257
        return Image.fromarray(np.rint(levels).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F", "LAB"):
        raise Undecodable("unsupported_format", f"pixels of mode {image.mode}")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _square(rgb: Image.Image, side_px: int) -> Image.Image:
    """The centre square, antialiased; the same as resizing the short side and cutting, without the lost rows."""
    short = min(rgb.size)
    left, top = (rgb.width - short) / 2, (rgb.height - short) / 2
    box = (left, top, left + short, top + short)
    return rgb.resize((side_px, side_px), Image.Resampling.BILINEAR, box=box)


def _reduced(rgb: Image.Image) -> Image.Image:
    scale = PICTURE_PX / min(rgb.size)
    if scale >= 1:
        return rgb
    size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
    return rgb.resize(size, Image.Resampling.BILINEAR)


def _turned(image: Image.Image, turn: int) -> RGB:
    pixels = np.asarray(image)
    if turn >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return cast(RGB, np.ascontiguousarray(pixels))
