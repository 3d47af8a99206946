"""What every test may lean on: quiet dependencies, and a small set of real image files that can be learned."""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.contracts.environment import prepare_environment
from tasks.contracts.images import THUMBNAIL_PX, Decoded
from tasks.contracts.prepared import Store, checksum_of
from tasks.contracts.workspace import Workspace

prepare_environment()
os.environ["GRAFT_OFFLINE"] = "1"

CLASSES = ("circles", "crosses", "stripes")
SIDE_PX = 48


def draw(label: str, rng: np.random.Generator) -> np.ndarray:
    """A noisy picture (side, side, 3) of one of the classes, in random colours and at a random place."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX] - rng.uniform(16, 32, 2)[:, None, None]
    shapes = {
        "circles": np.abs(np.hypot(x, y) - 10) < 3,
        "crosses": np.minimum(np.abs(x), np.abs(y)) < 3,
        "stripes": (x + y) % 12 < 6,
    }
    back, front = rng.uniform(40, 110, 3), rng.uniform(150, 220, 3)
    picture = np.where(shapes[label][..., None], front, back) + rng.normal(0, 8, (SIDE_PX, SIDE_PX, 3))
    return picture.clip(0, 255).astype(np.uint8)


def write_images(folder: Path, each: int, seed: int = 0) -> Path:
    """`each` PNG files for each class, as class folders."""
    rng = np.random.default_rng(seed)
    for label in CLASSES:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for i in range(each):
            Image.fromarray(draw(label, rng)).save(folder / label / f"{seed}_{i:03}.png")
    return folder


def store_pixels(ws: Workspace, table: pd.DataFrame, pixels: np.ndarray) -> pd.DataFrame:
    """Put `pixels` (n, side, side, 3), one for each row, into the cache; the table comes back with what pins them."""
    side = pixels.shape[1]
    store = Store(ws.prepared, side)
    with store.writing():
        for sha256, picture in zip(table["sha256"], pixels, strict=True):
            thumbnail = cv2.resize(picture, (THUMBNAIL_PX, THUMBNAIL_PX))
            store.add(
                sha256, Decoded(picture, picture[..., 0], thumbnail, side, side, "RGB", "PNG", False, float("nan"))
            )
    return table.assign(prepared_px=side, pixels_crc32=[checksum_of(picture) for picture in pixels])


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with three classes of 40 images."""
    return write_images(tmp_path / "photos", 40)


@pytest.fixture
def one_core() -> Iterator[None]:
    """Training in this process alone: on a CPU there is one for each core."""
    import torch  # not for every test

    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, {min(cores)})
    torch.set_num_threads(1)
    yield
    os.sched_setaffinity(0, cores)
    torch.set_num_threads(threads)
