"""A backbone on offer: what it is, where its weights are, what it was made from."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.backbone.cards import Card, Colour

SMALLEST_LAYOUT_PX, LARGEST_PX = 16, 1024


@dataclass(frozen=True)
class Entry:
    """A backbone on offer. `parameters` counts the whole network as published, `megabytes` its weights file.

    Sides are in px: `input_px` is the one it was trained at, `smallest_px` the smallest it takes (equal to
    `input_px` where it takes no other). `mean` and `std` are of pixels in [0, 1]. `file` is where the weights
    are, or will be once `url` is downloaded; of a local one, `given` is that path as the params give it.
    `sha256` is empty where nobody vouches for the whole of it. `images` is the size of the source data, 0 where it is
    endless or unknown. `gmacs` is billions of multiply-adds at `input_px` as published, 0 where nobody did.
    """

    name: str
    source: str
    network: str
    parameters: int
    megabytes: float
    input_px: int
    smallest_px: int
    mean: Colour
    std: Colour
    data: str
    images: int
    licence: str
    file: Path
    gmacs: float = 0.0
    url: str = ""
    sha256: str = ""
    given: str = ""
    card: Card | None = field(default=None, hash=False)

    @property
    def is_here(self) -> bool:
        """Whether the weights file is on this machine; it is not opened."""
        return self.file.is_file()

    @property
    def where(self) -> str:
        """`embedded`, the path of the file, `to download`, or for a card alone `missing`: DVC has the weights."""
        if self.source == "embedded":
            return "embedded"
        return str(self.file) if self.is_here else "to download" if self.url else "missing"

    @property
    def data_size(self) -> str:
        """How many images the source data are, in words; of endless ones, how many were seen."""
        if self.images:
            return f"{self.images:,} images"
        return f"endless, {self.card.images_seen:,} images seen" if self.card else "of unknown size"

    def side_px(self, prepared_px: int) -> int:
        """The side of the input for images prepared at `prepared_px`: enlarging them would add nothing but time."""
        return max(self.smallest_px, min(self.input_px, prepared_px))


def is_side(value: Any) -> bool:
    """Whether it is a side in px that an image for a network may have."""
    return type(value) is int and SMALLEST_LAYOUT_PX <= value <= LARGEST_PX
