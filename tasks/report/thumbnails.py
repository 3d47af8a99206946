"""Small pictures as data addresses. Always encoded anew: no byte of a user's file reaches the page."""

import base64
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pandas as pd
from PIL import Image, UnidentifiedImageError

from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.prepared import Pixels, Store
from tasks.contracts.workspace import Workspace

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


def thumbnails_of(ws: Workspace, checked: pd.DataFrame | None) -> Thumbnails:
    """The previews that a workspace can give, of the images whose pixels are in its cache."""
    shown = None if checked is None else checked[checked["pixels_crc32"].notna()]
    if shown is None or shown.empty:
        return Thumbnails(None, {})
    store = Store(ws.prepared, int(shown["prepared_px"].max()))
    rows = zip(shown["sha256"], store.rows(shown["sha256"]), strict=True)
    return Thumbnails(store.pixels(), {sha256: row for sha256, row in rows if row >= 0})


def embed_picture(path: Path, stage: str) -> str:
    """The picture at `path`, which `stage` makes, at most _WIDEST_PX wide, as a data address.

    Raises BrokenArtifact where it is no picture.
    """
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as file:
            picture = file.convert("RGB")
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise BrokenArtifact(f"{path} is no picture ({error}); run `graft run --force {stage}`") from None
    picture.thumbnail((_WIDEST_PX, 4 * _WIDEST_PX), Image.Resampling.LANCZOS)
    return _address(picture, quality=85)


def _address(picture: Image.Image, quality: int) -> str:
    out = BytesIO()
    picture.save(out, format="JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode("ascii")
