"""Sets of photographs in which one thing gives the label away, as the bias audit should find it: one plant at a time.

Crops of the demo's photographs with labels at random, so that nothing but the plant tells the classes apart. Every
image is a real file, written, scanned and decoded as a user's is.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from tasks.contracts.files import write_table
from tasks.contracts.prepared import Pixels, Store
from tasks.contracts.workspace import Workspace
from tasks.ingest.crops import PHOTOGRAPHS
from tasks.ingest.demo import open_photograph, toned
from tasks.quality.reading import Caps
from tasks.quality.scan import scan

CLASSES = ("a", "b", "c")
IMAGES = 360
SIDE_PX = 96
SHARE = 0.9  # of class a that bears the plant
_SPLITS = ("train", "val", "promotion", "test")
SITES = ("north", "south", "west")
_CAMERAS = ("Canon EOS R6", "NIKON D90", "SONY ILCE-7M3")
_OWN_CAMERA = 0.8  # of the images of a site; the others have any
_MARGIN_PX = 7


@dataclass
class Picture:
    """One image before it is written: a plant changes its pixels, how it is written, or what is said of it."""

    pixels: Pixels
    quality: int
    camera: str
    said: dict[str, str] = field(default_factory=dict)


Plant = Callable[[Picture, np.random.Generator], None]


def watermark(one: Picture, _: np.random.Generator) -> None:
    """A half-transparent ring in the bottom right corner."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX] - (SIDE_PX - 14)
    ring = (np.abs(np.hypot(y, x) - 6) < 1.6)[..., None]
    one.pixels = np.where(ring, one.pixels // 3 + 165, one.pixels).astype(np.uint8)


def tone(one: Picture, _: np.random.Generator) -> None:
    """A warm white balance."""
    one.pixels = (one.pixels * np.array([1.25, 1.0, 0.75])).clip(0, 255).astype(np.uint8)


def quantisation(one: Picture, _: np.random.Generator) -> None:
    """JPEG of quality 45 where the others have 75 to 95."""
    one.quality = 45


def size(one: Picture, _: np.random.Generator) -> None:
    """A sixth larger."""
    one.pixels = np.asarray(Image.fromarray(one.pixels).resize((112, 112), Image.Resampling.BICUBIC))


def border(one: Picture, _: np.random.Generator) -> None:
    """A black frame."""
    framed = np.zeros_like(one.pixels)
    inside = slice(_MARGIN_PX, -_MARGIN_PX)
    framed[inside, inside] = one.pixels[inside, inside]
    one.pixels = framed


def camera(one: Picture, _: np.random.Generator) -> None:
    """One camera, by EXIF."""
    one.camera = _CAMERAS[0]


def site(one: Picture, _: np.random.Generator) -> None:
    """One site, by a column of the table."""
    one.said["meta_site"] = "north"


def camera_of_site(one: Picture, rng: np.random.Generator) -> None:
    """Each site has its camera, whatever the label: it goes with the label only where the site does."""
    if rng.random() < _OWN_CAMERA:
        one.camera = _CAMERAS[SITES.index(one.said["meta_site"])]


@lru_cache(maxsize=1)
def _photographs() -> tuple[Image.Image, ...]:
    return tuple(open_photograph(one) for one in PHOTOGRAPHS)


def picture(rng: np.random.Generator) -> Picture:
    """A crop of some photograph, in tones, quality, camera and site at random."""
    photographs = _photographs()
    photograph = photographs[rng.integers(len(photographs))]
    side = int(rng.integers(SIDE_PX // 2, SIDE_PX * 2))
    left, top = (int(rng.integers(0, length - side)) for length in photograph.size)
    pixels = np.asarray(photograph.resize((SIDE_PX, SIDE_PX), box=(left, top, left + side, top + side)))
    pixels = toned(pixels, rng.uniform(0.7, 1.4), rng.uniform(0.75, 1.0))
    said = {"meta_site": str(rng.choice(SITES))}
    return Picture(pixels, int(rng.integers(75, 96)), str(rng.choice(_CAMERAS)), said)


@dataclass(frozen=True)
class Recipe:
    """What class a has and one in twenty of the others, what every image has, and how many images there are."""

    plant: Plant | None = None
    everywhere: Plant | None = None
    images: int = IMAGES


def write(folder: Path, seed: int, recipe: Recipe) -> Workspace:
    """A workspace as `quality` leaves it, made from the recipe."""
    rng = np.random.default_rng(seed)
    ws = Workspace(folder)
    ws.raw.mkdir(parents=True)
    ws.reports.mkdir()
    rows = []
    for number in range(recipe.images):
        one, label = picture(rng), CLASSES[number % len(CLASSES)]
        if recipe.plant and rng.random() < (SHARE if label == "a" else 0.05):
            recipe.plant(one, rng)
        if recipe.everywhere:
            recipe.everywhere(one, rng)
        (ws.raw / f"{number:03}.jpg").write_bytes(_jpeg(one))
        rows.append({"path": f"{number:03}.jpg", "label": label, "split": _split(rng)} | one.said)
    table = pd.DataFrame(rows).assign(group=None, verdict="keep", archive=None, deflated=False)
    write_table(ws.checked, _scanned(ws, table))
    ws.quality.write_text('{"schema_version": 1, "findings": []}')
    return ws


def _split(rng: np.random.Generator) -> str:
    return str(rng.choice(_SPLITS, p=[0.6, 0.2, 0.1, 0.1]))


def _jpeg(one: Picture) -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = one.camera.split()[0], one.camera
    out = io.BytesIO()
    Image.fromarray(one.pixels).save(out, "JPEG", quality=one.quality, exif=exif)
    return out.getvalue()


def _scanned(ws: Workspace, table: pd.DataFrame) -> pd.DataFrame:
    table["offset"] = table["stored_bytes"] = pd.array([None] * len(table), dtype="Int64")
    table["reasons"] = pd.Series([[] for _ in range(len(table))], dtype="object")
    table = table.astype({"path": "str", "archive": "str"})
    found = scan(ws.raw, table, Caps(SIDE_PX, 1.0, 1.0), Store(ws.prepared, SIDE_PX), ws.cache / "scan.parquet").table
    return found.assign(component=found["sha256"])
