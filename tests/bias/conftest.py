"""Pictures that share nothing but what a test plants, and a workspace as `quality` leaves it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from tasks.contracts.files import write_table
from tasks.contracts.workspace import Workspace
from tests.conftest import store_pixels

SIDE_PX = 48


def make_blobs(images: int, seed: int) -> np.ndarray:
    """Random soft pictures, (images, SIDE_PX, SIDE_PX, 3) uint8: edges everywhere, at no fixed place."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, (images, SIDE_PX, SIDE_PX, 3)).astype(np.float32)
    soft = np.stack([cv2.GaussianBlur(one, (0, 0), 2.5) for one in noise])
    return (128 + 60 * soft / soft.std()).clip(0, 255).astype(np.uint8)


def put_stamp(pictures: np.ndarray, rows: np.ndarray, top: int = 36, left: int = 36) -> np.ndarray:
    """`pictures` with a half-transparent white ring of 9 px on `rows`."""
    out = pictures.copy()
    y, x = np.mgrid[:9, :9] - 4
    ring = (np.abs(np.hypot(y, x) - 3) < 1.1)[..., None]
    patch = out[rows, top : top + 9, left : left + 9]
    out[rows, top : top + 9, left : left + 9] = np.where(ring, patch // 3 + 170, patch)
    return out


@pytest.fixture
def blobs() -> Callable[[int, int], np.ndarray]:
    """(images, seed) -> random soft pictures."""
    return make_blobs


@pytest.fixture
def stamp() -> Callable[..., np.ndarray]:
    """(pictures, rows, top, left) -> pictures with a ring on some."""
    return put_stamp


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    """Four classes of 40 images; those of class d that are for training bear a ring; `source` names class a."""
    ws = Workspace(tmp_path)
    labels = np.repeat(list("abcd"), 40)
    splits = np.tile(np.repeat(["train", "val", "promotion", "test"], [20, 8, 4, 8]), 4)
    pixels = put_stamp(make_blobs(160, 1), np.flatnonzero((labels == "d") & (splits == "train")))
    paths = [f"{label}/{i:03}.png" for i, label in enumerate(labels)]
    table = pd.DataFrame(
        {
            "path": paths,
            "label": labels,
            "split": splits,
            "group": None,
            "sha256": [hashlib.sha256(path.encode()).hexdigest() for path in paths],
            "width": np.where(labels == "b", 640, 480),
            "height": 480,
            "meta_source": np.where(labels == "a", "scanner", "phone"),
            "meta_id": paths,
            "verdict": np.where(np.arange(160) % 40 == 0, "quarantine", "keep"),
        }
    )
    write_table(ws.checked, store_pixels(ws, table, pixels))
    write_table(ws.label_errors, pd.DataFrame({"sha256": table["sha256"][[3, 50]]}))
    ws.quality.write_text(json.dumps({"schema_version": 1, "findings": []}))
    return ws
