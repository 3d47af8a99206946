"""The only decoder: equal bytes give equal pixels in the scan, in training and in prediction.

The rule for each mode: 1-bit, grey and palette become RGB; 16-bit grey is divided by 257 (16-bit colour keeps its
high bytes); transparency is composited over white; CMYK and YCbCr are converted without a colour profile; integers
and floats of 32 bits are refused, for nothing says which of their values is white. EXIF orientation is turned.

Pillow reads every header. The pixels of a JPEG come from simplejpeg: the same libjpeg-turbo and the same pixels, but
its warnings are heard, so that damage is found which Pillow passes over.
"""

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from tasks.contracts.cameras import camera_named
from tasks.contracts.errors import BadData
from tasks.contracts.reasons import REASONS

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")  # by content; of an animation the first frame
PIXELS_VERSION = 2  # raised when equal bytes give other pixels than before: no cache of the old ones is read then
GREY_PX = 256  # the longest that the short side of `Decoded.grey` gets
THUMBNAIL_PX = 64
CORE_PX = 192
_LARGE_PX = 16e6  # decoded whole, one such picture at a time: the workers of a scan would multiply its memory
_ONE_LARGE = threading.Lock()

RGB = NDArray[np.uint8]
Grey = NDArray[np.uint8]

_OTHER_FORMATS = (b"%PDF", b"%!PS", b"8BPS", b"SIMPLE  =", b"\0\0\1\0", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"qoif")
_OUR_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0*", b"GIF87a", b"GIF89a")
_OUR_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND\xaeB`\x82", b"GI": b";"}  # first two bytes -> the last
_ORIENTATION, _EXIF_GPS, _EXIF_MAKE, _EXIF_MODEL = 0x0112, 0x8825, 0x010F, 0x0110
_BROKEN = (SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, struct.error, zlib.error)


class Undecodable(BadData):
    """The bytes give no picture; `reason` is an id of contracts/reasons.py."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """`detail` is added to the reason's sentence."""
        super().__init__(f"{reason}: {REASONS[reason]}{f' ({detail})' if detail else ''}")
        self.reason = reason


@dataclass(frozen=True)
class Decoded:
    """One image. The arrays are upright; the rest describes the file before any change of size."""

    pixels: RGB  # (side_px, side_px, 3): the centre square
    grey: Grey  # (height, width): Rec. 601 luma of all of it, short side at most GREY_PX, never enlarged
    thumbnail: RGB  # (THUMBNAIL_PX, THUMBNAIL_PX, 3): all of it, whatever its aspect
    width: int  # upright
    height: int
    mode: str
    format: str
    has_location: bool  # its metadata say where it was taken
    jpeg_quality: float  # as the Independent JPEG Group counts, 1 to 100; NaN where the file is no JPEG
    core: Grey | None = None  # the middle of the file's own pixels in grey, at most CORE_PX a side; None: not decoded
    camera: str | None = (
        None  # make and model, never a serial number or a name of a person; None: its EXIF says nothing
    )


def decode(
    data: bytes,
    side_px: int,
    max_megapixels: float = 100.0,
    one_large: AbstractContextManager[object] = _ONE_LARGE,
) -> Decoded:
    """Decode an image file's bytes. `one_large` is the lock that lets one large picture at a time be decoded whole.

    Raises Undecodable with the reason `empty`, `not_an_image`, `unsupported_format`, `too_many_pixels`,
    `truncated` or `damaged`.
    """
    image = _open(data)
    stored, mode = image.size, image.mode
    if stored[0] * stored[1] > max_megapixels * 1e6:
        raise Undecodable("too_many_pixels", f"{stored[0]} x {stored[1]}")
    with one_large if stored[0] * stored[1] > _LARGE_PX and image.format != "JPEG" else nullcontext():
        rgb = _rgb(image, data, max(side_px, GREY_PX))
    turn = _orientation(image)  # after the pixels: a PNG may name it behind them
    rgb = _turned(rgb, turn)
    width, height = stored[::-1] if turn >= 5 else stored
    grey = cast(Grey, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY))
    return Decoded(
        pixels=_square(rgb, side_px),
        grey=_limited(grey),
        thumbnail=_resized(rgb, THUMBNAIL_PX, THUMBNAIL_PX),
        width=width,
        height=height,
        mode=mode,
        format="JPEG" if image.format == "MPO" else str(image.format),
        has_location=_EXIF_GPS in _exif(image),
        jpeg_quality=_jpeg_quality(image),
        core=_core(grey) if grey.shape == (height, width) else None,
        camera=camera_named(*(_text(image, tag) for tag in (_EXIF_MAKE, _EXIF_MODEL))),
    )


def stored_size(file: Path | bytes) -> tuple[int, int] | None:
    """Width and height as the header gives them, without decoding; None where it is no image or no regular file."""
    if isinstance(file, Path) and not file.is_file():
        return None
    try:
        with Image.open(file if isinstance(file, Path) else io.BytesIO(file), formats=FORMATS) as image:
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


def _rgb(image: Image.Image, data: bytes, least_px: int) -> RGB:
    """All pixels, not yet turned; a JPEG at 1/2, 1/4 or 1/8 where its short side stays at least `least_px`."""
    if image.format in ("JPEG", "MPO"):
        shrink = next((s for s in (8, 4, 2) if min(image.size) >= s * least_px), 1)
        width, height = (-(-length // shrink) for length in image.size)
        space = "CMYK" if image.mode == "CMYK" else "RGB"
        pixels = _strictly(data, space, width, height, shrink)
        if space == "RGB":
            return pixels
        image.draft(None, (width, height))  # Pillow knows whose CMYK is stored inverted
    else:
        _refuse_damage(data, str(image.format))
    _load(image)
    return np.asarray(_to_rgb(image))


def _strictly(data: bytes, space: str, width: int, height: int, shrink: int) -> RGB:
    """Decode a JPEG; whatever libjpeg warns of is damage."""
    try:
        return cast(RGB, simplejpeg.decode_jpeg(data, space, False, False, height, width, shrink))
    except ValueError as error:
        raise Undecodable("truncated" if "end of JPEG file" in str(error) else "damaged", str(error)) from None


def _refuse_damage(data: bytes, format_: str) -> None:
    """What Pillow does not look at: a PNG's checksums, a WebP's length."""
    if format_ == "WEBP" and int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise Undecodable("truncated")
    place = 8
    while format_ == "PNG":
        length, kind = int.from_bytes(data[place : place + 4]), data[place + 4 : place + 8]
        end = place + 8 + length
        if end + 4 > len(data):
            raise Undecodable("truncated")
        if zlib.crc32(memoryview(data)[place + 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise Undecodable("damaged", f"wrong checksum of {kind!r}")
        if kind == b"IEND":
            return
        place = end + 4


def _load(image: Image.Image) -> None:
    try:
        image.load()
    except OSError as error:
        raise Undecodable("truncated" if "truncated" in str(error) else "damaged", str(error)) from None
    except EOFError:
        raise Undecodable("truncated") from None
    except _BROKEN as error:
        raise Undecodable("damaged", str(error)) from None


_BASE_TABLE_SUM = 3688  # of the luminance table that the JPEG standard gives, which is quality 50


def _jpeg_quality(image: Image.Image) -> float:
    """From how much larger the luminance table's steps are than the standard's; below 30 a few too high."""
    tables = getattr(image, "quantization", None)
    if not tables:
        return float("nan")
    percent = 100 * sum(tables[min(tables)]) / _BASE_TABLE_SUM
    return float(max(1.0, min(100.0, (200 - percent) / 2 if percent <= 100 else 5000 / percent)))


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8; 1 where there is none or its block cannot be read. Pillow turns a TIFF itself."""
    turn = _exif(image).get(_ORIENTATION, 1)
    return turn if turn in range(1, 9) else 1


def _text(image: Image.Image, tag: int) -> str:
    """An EXIF tag that holds text; empty where it does not, or cannot be read."""
    try:
        value = _exif(image).get(tag)
    except _BROKEN:
        return ""
    return value if isinstance(value, str) else ""


def _exif(image: Image.Image) -> Mapping[int, Any]:
    """The EXIF tags; none where their block cannot be read."""
    try:
        return image.getexif()
    except (OSError, *_BROKEN):
        return {}


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


def _square(rgb: RGB, side_px: int) -> RGB:
    height, width = rgb.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    return _resized(rgb[top : top + short, left : left + short], side_px, side_px)


def _limited(grey: Grey) -> Grey:
    height, width = grey.shape
    scale = GREY_PX / min(height, width)
    return grey if scale >= 1 else _resized(grey, max(1, round(width * scale)), max(1, round(height * scale)))


def _core(grey: Grey) -> Grey:
    top, left = (max(0, (length - CORE_PX) // 2) for length in grey.shape)
    return grey[top : top + CORE_PX, left : left + CORE_PX]


def _resized(picture: RGB, width: int, height: int) -> RGB:
    """Averaged over pairs of pixels until less than twice too large, then bilinear; a single odd row is left out."""
    while (across := 1 + (picture.shape[1] >= 2 * width)) * (down := 1 + (picture.shape[0] >= 2 * height)) > 1:
        size = picture.shape[1] // across, picture.shape[0] // down
        picture = cv2.resize(picture[: size[1] * down, : size[0] * across], size, interpolation=cv2.INTER_AREA)
    return cast(RGB, cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR))


def _turned(rgb: RGB, turn: int) -> RGB:
    if turn == 1:
        return rgb
    if turn >= 5:
        rgb = rgb.transpose(1, 0, 2)
    if turn in (3, 4, 7, 8):
        rgb = rgb[::-1]
    if turn in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    return np.ascontiguousarray(rgb)
