"""The prepared pixels: every usable image decoded once, square, uint8, in one memory-mapped array.

`checked.parquet` has a column `pixels`: the row of an image in this array, or -1 where it has none.
Rows follow the content hash, so equal images share one row and the array does not depend on paths.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.errors import BrokenArtifact

Pixels = NDArray[np.uint8]


def create_prepared(folder: Path, images: int, side_px: int) -> Pixels:
    """A writable array of shape (images, side_px, side_px, 3), RGB, backed by a file in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    shape = (images, side_px, side_px, 3)
    return np.lib.format.open_memmap(folder / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)


def open_prepared(folder: Path) -> Pixels:
    """The prepared pixels, read-only: shape (images, side_px, side_px, 3), uint8, RGB.

    Raises BrokenArtifact where the array is missing or broken.
    """
    path = folder / "pixels.npy"
    try:
        pixels: Pixels = np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError) as error:
        raise BrokenArtifact(f"{path} cannot be read ({error}); run `graft run --force quality`") from None
    return pixels
