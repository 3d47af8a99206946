"""Image folders with planted copies, for whatever searches for near-duplicates; the null twin has none.

"Slightly cropped" means here: each of the four sides loses, independently, a share of the picture that is uniform
between 0 and 10 %.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from benchmarks.lookalikes import LOOKALIKES, flats
from benchmarks.scenes import RGB, scene

Change = Callable[[RGB, np.random.Generator], RGB]

CROPPED_MOST = 0.1
_PAIRS, _LOOKALIKES, _FLATS = 0.02, 0.05, 0.02  # of the images: pairs per kind, pictures per kind of lookalike, flats
_CLUSTERS = (30, 8, 6, 5, 4, 4, 3, 3, 3, 3)  # images of one scene, in various ways, at 2,000 images
_WORTH = 2000


@dataclass(frozen=True)
class Planted:
    """`files` has `path` (train/a/..., test/b/...) and `what` it is; `pairs` all true pairs `a`, `b`, `kind`, `across`.

    `a` < `b` are paths. `kind` is how the copy was made, or `siblings` for two copies of one original. `across` says
    whether the two stand in different splits.
    """

    files: pd.DataFrame
    pairs: pd.DataFrame


@dataclass(frozen=True)
class _Image:
    pixels: RGB
    what: str
    quality: int
    cluster: int = -1


def reencoded(picture: RGB, rng: np.random.Generator) -> RGB:
    """The same pixels after a JPEG of quality 20 to 95."""
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 96))])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])


def resized(picture: RGB, rng: np.random.Generator) -> RGB:
    """Scaled by 0.3 to 2."""
    scale = np.exp(rng.uniform(np.log(0.3), np.log(2)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=method), np.uint8)


def toned(picture: RGB, rng: np.random.Generator) -> RGB:
    """Gamma 0.65 to 1.5, then contrast times 0.7 to 1.3, then up to 40 levels lighter or darker; with clipping."""
    levels = (np.arange(256) / 255) ** np.exp(rng.uniform(np.log(0.65), np.log(1.5))) * 255
    table = (levels - 127.5) * rng.uniform(0.7, 1.3) + 127.5 + rng.uniform(-40, 40)
    return np.asarray(np.clip(np.rint(table), 0, 255).astype(np.uint8)[picture])


def cropped(picture: RGB, rng: np.random.Generator, most: float = CROPPED_MOST) -> RGB:
    """Without a share of up to `most` at each side, drawn for each by itself."""
    height, width = picture.shape[:2]
    left, right, top, bottom = rng.uniform(0, most, 4)
    rows = slice(round(top * height), height - round(bottom * height))
    return picture[rows, round(left * width) : width - round(right * width)]


def mirrored(picture: RGB, rng: np.random.Generator) -> RGB:
    """Left to right or upside down."""
    return picture[:, ::-1] if rng.random() < 0.5 else picture[::-1]


def rotated(picture: RGB, rng: np.random.Generator) -> RGB:
    """By 90, 180 or 270 degrees."""
    return np.rot90(picture, int(rng.integers(1, 4)))


def greyed(picture: RGB, _rng: np.random.Generator) -> RGB:
    """Without colour."""
    return np.repeat(cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def overlaid(picture: RGB, rng: np.random.Generator) -> RGB:
    """With a line of text near a rim, a tenth of the height."""
    canvas = np.ascontiguousarray(picture)
    height, width = canvas.shape[:2]
    text, scale = f"(c) {rng.integers(1000, 10000)}", height / 300
    place = (int(rng.uniform(0.02, 0.5) * width), int(rng.choice([0.12, 0.95]) * height))
    return np.asarray(
        cv2.putText(canvas.copy(), text, place, 0, scale, (250, 250, 250), round(3 * scale), 16), np.uint8
    )


CHANGES: dict[str, Change] = {
    "reencoded": reencoded,
    "resized": resized,
    "toned": toned,
    "cropped": cropped,
    "mirrored": mirrored,
    "rotated": rotated,
    "greyed": greyed,
    "overlaid": overlaid,
}


def plant(folder: Path, seed: int, images: int, *, copies: bool = True) -> Planted:
    """Write `images` files with copies of every kind, pictures that only look alike, and flat ones.

    Without `copies`, the null twin: every copy is replaced by a scene of its own.
    """
    rng = np.random.default_rng([seed, images])
    places = [(rng.choice(["train", "test"]), number) for number in rng.permutation(images)]
    files, clusters = [], []
    for (split, number), image in zip(places, _drawn(rng, seed, images, copies), strict=True):
        label = "ab"[(image.cluster if image.cluster >= 0 else number) % 2]  # copies agree on it
        path = f"{split}/{label}/{number:06}{'.png' if image.quality > 95 else '.jpg'}"
        _write(folder / path, image)
        files.append((path, image.what))
        clusters.append(image.cluster)
    table = pd.DataFrame(files, columns=["path", "what"])
    return Planted(table, _pairs(table.assign(cluster=clusters)))


def _drawn(rng: np.random.Generator, seed: int, images: int, copies: bool) -> Iterator[_Image]:
    left = images
    number = -1
    for number, kinds in enumerate(_clusters(rng, images)):
        original = scene(number, seed)
        for place, kind in enumerate(("original", *kinds)):
            changed = CHANGES[kind](original, rng) if place else original
            pixels = changed if copies or not place else scene(images + left, seed)
            yield _Image(pixels, kind, _quality(rng), number if copies else -1)
            left -= 1
    for what, draw in {**LOOKALIKES, "flat": flats}.items():
        for pixels in draw(rng, round(images * (_FLATS if what == "flat" else _LOOKALIKES))):
            yield _Image(pixels, what, _quality(rng))
            left -= 1
    for further in range(left):
        yield _Image(scene(number + 1 + further, seed), "scene", _quality(rng))


def _clusters(rng: np.random.Generator, images: int) -> list[list[str]]:
    """The kinds of copies of each scene that has any."""
    ones = [[kind] for kind in CHANGES for _ in range(round(images * _PAIRS))]
    sizes = _CLUSTERS * max(1, round(images / _WORTH)) if images >= _WORTH else _CLUSTERS[3:6]
    return ones + [rng.choice(list(CHANGES), size - 1).tolist() for size in sizes]


def _quality(rng: np.random.Generator) -> int:
    """Of the file: JPEG 60 to 95, or PNG for a quarter."""
    return int(rng.integers(60, 96)) if rng.random() < 0.75 else 100


def _write(path: Path, image: _Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = [] if path.suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, image.quality]
    if not cv2.imwrite(str(path), image.pixels[..., ::-1], settings):
        raise OSError(f"{path} could not be written")


def _pairs(table: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for _, members in table[table["cluster"] >= 0].groupby("cluster"):
        for (_, one), (_, other) in combinations(members.iterrows(), 2):
            a, b = sorted((one["path"], other["path"]))
            kind = other["what"] if one["what"] == "original" else "siblings"
            rows.append((a, b, kind, a.split("/")[0] != b.split("/")[0]))
    return pd.DataFrame(rows, columns=["a", "b", "kind", "across"]).sort_values(["a", "b"], ignore_index=True)
