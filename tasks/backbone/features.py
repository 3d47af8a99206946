"""Features of a frozen backbone, computed once for each image: a cache by content, so that cost follows what changed.

A folder for each backbone and way of computing; in it shards of rows, each named by the sha256 of its own bytes.
Shards are written whole and never edited, so several processes may share the cache, and a damaged one is noticed,
removed and computed anew. Every batch has the same shape, the last one padded: with another shape the arithmetic
library may take another path, and a row would depend on its neighbours in the last bits.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from safetensors.numpy import load, save
from torch import nn

from tasks.backbone.network import Backbone, to_input
from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.files import replacing
from tasks.contracts.prepared import Pixels
from tasks.contracts.progress import progress, say
from tasks.contracts.records import BackboneRef

CODE = 1  # raised when features change: another pooling, another resize
BATCH = {"cpu": 32, "cuda": 256}
_SHARD_ROWS = 1024  # so much is lost at most when a run is killed

Floats = NDArray[np.float32]


class PixelSource(Protocol):
    """What gives prepared pixels by index: an array (n, side, side, 3), or `Rows` of one."""

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: Any, /) -> Pixels: ...


class Rows:
    """Some rows of the prepared pixels, read from disk only when they are asked for."""

    def __init__(self, pixels: Pixels, rows: NDArray[np.int64]) -> None:
        self._pixels, self._rows = pixels, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, chosen: Any, /) -> Pixels:
        """The images at these positions among the rows."""
        return self._pixels[self._rows[chosen]]


def cached_features(
    backbone: Backbone, ref: BackboneRef, pixels: PixelSource, sha256s: Sequence[str], cache: Path
) -> Floats:
    """Features (n, `backbone.features`), float32, of `pixels` (n, side, side, 3), uint8, with their content hashes.

    What `cache` holds already is read, the rest is computed and added. Raises BrokenArtifact on NaN or infinity.
    """
    folder = cache / "features" / _key(backbone, ref, pixels)
    width = backbone.features
    found = dict.fromkeys(sha256s, -1)
    rows = np.empty((len(found), width), np.float32)
    place = {sha256: i for i, sha256 in enumerate(found)}
    missing = set(place)
    for keys, values in _shards(folder, width):
        for sha256, value in zip(keys, values, strict=True):
            if sha256 in missing:
                rows[place[sha256]] = value
                missing.discard(sha256)
    first = {sha256: i for i, sha256 in reversed(list(enumerate(sha256s)))}
    wanted = [sha256 for sha256 in place if sha256 in missing]
    for start in range(0, len(wanted), _SHARD_ROWS):
        part = wanted[start : start + _SHARD_ROWS]
        values = compute_features(backbone, ref, Rows_of(pixels, first, part))
        rows[[place[sha256] for sha256 in part]] = values
        _write(folder, part, values)
    return rows[[place[sha256] for sha256 in sha256s]]
