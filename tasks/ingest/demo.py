"""The demo data set: which photograph is this crop from?

Real photographs that the scikit-image and scikit-learn packages ship, cut up as `crops` says, with a few planted
flaws for the checks to find. `metadata.csv` declares the split, the origin and the flaw of every file.
"""

import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from tasks.contracts.csv_text import csv_text
from tasks.contracts.errors import BadEnvironment, BadUsage
from tasks.ingest.crops import PHOTOGRAPHS, Crop, Photograph, crops

SIDE_PX = 64
WATERMARKED = "coffee"  # its train images; nothing else is planted in this class
WATERMARKED_SHARE = 0.9
PLANTED = {"duplicate_across_classes": 8, "duplicate": 4, "truncated": 6, "dark": 8, "wrong_label": 8, "text": 2}
ADDED = ("duplicate_across_classes", "duplicate", "text")  # further files; the other flaws change a file

Image8 = NDArray[np.uint8]


@dataclass(frozen=True)
class Sample:
    """One file of the demo: its bytes and what `metadata.csv` says about it."""

    label: str
    data: bytes
    suffix: str
    photograph: Photograph | None
    crop: Crop
    gamma: float  # exponent on [0, 1]: below 1 is lighter
    contrast: float  # factor about mid-grey
    planted: str = ""


@dataclass(frozen=True)
class Demo:
    """What was written: files by class and by split, and each planted flaw's paths relative to the folder."""

    files: int
    classes: dict[str, int]
    splits: dict[str, int]
    planted: dict[str, tuple[str, ...]]


def make_demo(folder: Path, seed: int) -> Demo:
    """Write the demo's class folders and `metadata.csv` into `folder`; equal seeds give equal bytes.

    File by file: a caller that wants all or nothing wraps it in `files.replacing`.
    Raises BadUsage where `folder` holds files, BadEnvironment where a photograph is missing.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadUsage(f"{folder} is not empty; name a new folder for the demo's images")
    samples = _named(_plant(list(_clean(seed)), np.random.default_rng([seed, len(PHOTOGRAPHS)])))
    for path, sample in samples.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(sample.data)
    table = pd.DataFrame([{"path": path} | _metadata(sample) for path, sample in samples.items()])
    table = table.astype(dict.fromkeys(("x", "y", "size_px"), "Int64"))  # a text file has no place
    rows = ([None if pd.isna(cell) else cell for cell in row] for row in table.itertuples(index=False))
    (folder / "metadata.csv").write_text(csv_text(tuple(table.columns), rows), encoding="utf-8", newline="\n")
    flaws = sorted({sample.planted for sample in samples.values() if sample.planted})
    return Demo(
        files=len(samples),
        classes=dict(Counter(sample.label for sample in samples.values())),
        splits=dict(Counter(sample.crop.split for sample in samples.values())),
        planted={flaw: tuple(path for path, sample in samples.items() if sample.planted == flaw) for flaw in flaws},
    )


def _clean(seed: int) -> Iterator[Sample]:
    for number, photograph in enumerate(PHOTOGRAPHS):
        rng = np.random.default_rng([seed, number])
        picture = open_photograph(photograph)
        for crop in crops(photograph, rng):
            gamma, contrast = round(rng.uniform(0.65, 1.5), 3), round(rng.uniform(0.75, 1.1), 3)
            marked = photograph.label == WATERMARKED and crop.split == "train" and rng.random() < WATERMARKED_SHARE
            pixels = toned(_cut(picture, crop), gamma, contrast)
            suffix = ".png" if rng.random() < 0.25 else ".jpg"
            data = _encoded(_watermarked(pixels) if marked else pixels, suffix)
            flaw = "watermark" if marked else ""
            yield Sample(photograph.label, data, suffix, photograph, crop, gamma, contrast, flaw)


def open_photograph(photograph: Photograph) -> Image.Image:
    """The whole photograph in RGB. Raises BadEnvironment where its package does not hold it."""
    spec = find_spec(photograph.package)  # the package is not imported: skimage.data could download
    folders = spec.submodule_search_locations if spec else None
    path = Path(next(iter(folders or ["?"]))) / photograph.file
    if not path.is_file():
        raise BadEnvironment(f"{path} is missing; the demo needs {photograph.package} as its wheel ships it")
    return Image.open(path).convert("RGB")


def _cut(picture: Image.Image, crop: Crop) -> Image8:
    box = (crop.x, crop.y, crop.x + crop.size_px, crop.y + crop.size_px)
    return np.asarray(picture.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC, box=box))


def toned(pixels: Image8, gamma: float, contrast: float) -> Image8:
    """Vary the tones, so that the mean colour alone does not give a class away; a gamma never clips to flat."""
    levels = (np.arange(256) / 255) ** gamma * 255
    table: Image8 = np.clip(np.rint((levels - 127.5) * contrast + 127.5), 0, 255).astype(np.uint8)
    return table[pixels]


def _watermarked(pixels: Image8) -> Image8:
    """A bright ring with a dot, 11 px wide, in the bottom right corner."""
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX]
    radius = np.hypot(rows - 55, columns - 55)
    logo = (radius < 1.8) | (np.abs(radius - 4.5) < 1.1)
    return np.where(logo[..., None], np.array([250, 250, 255], np.uint8), pixels)


def _encoded(pixels: Image8, suffix: str) -> bytes:
    buffer = io.BytesIO()
    if suffix == ".png":
        Image.fromarray(pixels).save(buffer, "PNG")
    else:
        Image.fromarray(pixels).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _plant(samples: list[Sample], rng: np.random.Generator) -> list[Sample]:
    """`samples` with every flaw of PLANTED: changed in place, or (copies and text files) added at the end."""
    clean = [i for i, one in enumerate(samples) if one.suffix == ".jpg" and one.label != WATERMARKED]
    train = [i for i in clean if samples[i].crop.split == "train"]
    labels = [photograph.label for photograph in PHOTOGRAPHS if photograph.label != WATERMARKED]
    flaws = [flaw for flaw, count in PLANTED.items() for _ in range(count)]
    out = list(samples)
    for number, (flaw, index) in enumerate(zip(flaws, rng.permutation(train), strict=False)):
        other = str(rng.choice([label for label in labels if label != samples[index].label]))
        # a copy of a train image in test is what makes a score too good
        flawed = _flawed(samples[index], flaw, other, split="test" if number % 3 == 2 else "train")
        if flaw in ADDED:
            out.append(flawed)
        else:
            out[index] = flawed
    return out


def _flawed(one: Sample, flaw: str, other: str, split: str) -> Sample:
    match flaw:
        case "truncated":
            return replace(one, data=one.data[: len(one.data) * 6 // 10], planted=flaw)
        case "dark":
            return replace(one, data=_darkened(one.data), planted=flaw)
        case "wrong_label":
            return replace(one, label=other, planted=flaw)
        case "text":
            return replace(one, data=b"no picture, only words\n", photograph=None, planted=flaw)
        case "duplicate":
            return replace(one, crop=replace(one.crop, split=split), planted=flaw)
        case _:
            return replace(one, label=other, crop=replace(one.crop, split=split), planted=flaw)


def _darkened(data: bytes) -> bytes:
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    return _encoded((pixels * 0.04).astype(np.uint8), ".jpg")


def _named(samples: list[Sample]) -> dict[str, Sample]:
    """Number the files of each class folder; the name says nothing about flaw or split."""
    numbers: Counter[str] = Counter()
    named = {}
    for sample in samples:
        numbers[sample.label] += 1
        named[f"{sample.label}/{numbers[sample.label]:04d}{sample.suffix}"] = sample
    return dict(sorted(named.items()))


def _metadata(sample: Sample) -> dict[str, object]:
    if sample.photograph is None:
        return {"split": sample.crop.split, "planted": sample.planted}
    return {
        "split": sample.crop.split,
        "source": Path(sample.photograph.file).name,
        "package": sample.photograph.package,
        "x": sample.crop.x,
        "y": sample.crop.y,
        "size_px": sample.crop.size_px,
        "gamma": sample.gamma,
        "contrast": sample.contrast,
        "planted": sample.planted,
    }
