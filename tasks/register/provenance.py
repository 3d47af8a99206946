"""Where a model comes from, as far as the stage's own inputs tell: backbone, data, settings, libraries."""

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.backbone.catalog import find_entry, weights_folder
from tasks.contracts.errors import BadUsage
from tasks.contracts.images import FORMATS, PIXELS_VERSION
from tasks.contracts.params_file import load_params
from tasks.contracts.samples import usable

# of those on which the way from bytes to logits depends
LIBRARIES = ("graft", "numpy", "opencv-python-headless", "pillow", "safetensors", "simplejpeg", "torch", "torchvision")
SECTIONS = ("seed", "augment", "select", "train")  # what shaped the weights, beside the data; dvc.yaml names them too
NOT_SAID = "not said"


def backbone_origin(model: dict[str, Any], root: Path) -> dict[str, str]:
    """Name, source, data and licence of the backbone of a ModelRecord, read as plain data.

    A file that the user brought has no card, so nobody said.
    """
    ref = model["backbone"]
    said = {"name": ref["name"], "source": ref["source"], "sha256": ref["weights_sha256"]}
    if ref["source"] == "random":
        return {**said, "data": "none: it starts from random weights", "licence": "none"}
    try:
        entry = find_entry(ref["name"], weights_folder(), root)
    except BadUsage:
        return {**said, "data": NOT_SAID, "licence": NOT_SAID}
    return {**said, "data": entry.data or NOT_SAID, "licence": entry.licence or NOT_SAID}


def input_contract(model: dict[str, Any]) -> dict[str, Any]:
    """What the model takes and what becomes of it, for whoever brings images; it follows from the model alone."""
    ref = model["backbone"]
    return {
        "formats": list(FORMATS),
        "orientation": "EXIF is turned",
        "transparency": "over white",
        "crop": "the centre square",
        "colour": "RGB",
        "prepared_px": model["prepared_px"],
        "input_px": ref["input_px"],
        "resize": "antialiased bilinear",
        "value_range": [0.0, 1.0],
        "mean": list(ref["mean"]),
        "std": list(ref["std"]),
    }


def preprocessing(model: dict[str, Any]) -> dict[str, str | int]:
    """How pixels are made, in the terms of the code that makes them."""
    return {
        "pixels_version": PIXELS_VERSION,
        "decoder": "tasks.contracts.images",
        "prepared_px": model["prepared_px"],
        "input_px": model["backbone"]["input_px"],
        "colour": "RGB",
    }


def data_root(checked: pd.DataFrame) -> str:
    """One SHA-256 of all samples in use, with label and split: the root hash that an audit of the same data has."""
    columns = ["sha256", "label", "split"]
    kept = usable(checked)[columns].astype(object)
    rows = sorted(kept.where(kept.notna(), "").to_numpy().tolist())
    return hashlib.sha256("".join(json.dumps(row) + "\n" for row in rows).encode()).hexdigest()


def settings(params: Path) -> dict[str, Any]:
    """The settings that shaped the weights, whole, as `params.yaml` and its defaults give them."""
    whole = load_params(params).model_dump(mode="json", by_alias=True)
    return {section: whole[section] for section in SECTIONS}


def environment() -> dict[str, str]:
    """The versions of the libraries that made the bundle. Recorded, not required: the golden samples decide."""
    return {name: metadata.version(name) for name in LIBRARIES}
