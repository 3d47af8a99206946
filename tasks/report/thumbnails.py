"""Small pictures as data addresses. Always encoded anew: no byte of a user's file reaches the page."""

import base64
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pandas as pd
from PIL import Image, UnidentifiedImageError

from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.prepared import Pixels

_WIDEST_PX = 1600


@dataclass(frozen=True)
class Thumbnails:
    """Previews of images from the prepared pixels: `rows` gives the row of a content hash."""

    pixels: Pixels | None
    rows: dict[str, int]

    def of(self, sha256: str, side_px: int) -> str | None:
        """A square JPEG preview as a data address; None for an image that has no pixels."""
        row = self.rows.get(sha256)
        if row is None or self.pixels is None:
            return None
        picture = Image.fromarray(self.pixels[row]).resize((side_px, side_px), Image.Resampling.LANCZOS)
        return _address(picture, quality=80)


def thumbnails_of(checked: pd.DataFrame | None, pixels: Pixels | None) -> Thumbnails:
    """The previews that a workspace can give, none before it has prepared pixels."""
    if checked is None or pixels is None:
        return Thumbnails(None, {})
    shown = checked[checked["pixels"].between(0, len(pixels) - 1)]
    return Thumbnails(pixels, dict(zip(shown["sha256"], shown["pixels"].astype(int), strict=True)))


def embed_picture(path: Path) -> str:
    """The picture at `path`, at most _WIDEST_PX wide, as a data address.

    Raises BrokenArtifact where it is no picture.
    """
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as file:
            picture = file.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise BrokenArtifact(f"{path} is no picture ({error}); run `graft run --force augment`") from None
    picture.thumbnail((_WIDEST_PX, 4 * _WIDEST_PX), Image.Resampling.LANCZOS)
    return _address(picture, quality=85)


def _address(picture: Image.Image, quality: int) -> str:
    out = BytesIO()
    picture.save(out, format="JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode("ascii")
