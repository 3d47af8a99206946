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

from tasks.backbone.network import Backbone, memory_format, to_input
from tasks.backbone.threads import fitting_threads
from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.files import replacing
from tasks.contracts.prepared import Pixels
from tasks.contracts.progress import progress, say
from tasks.contracts.records import BackboneRef

CODE = 2  # raised when features change: another pooling, another resize
BATCH = {"cpu": 32, "cuda": 256}
_SHARD_ROWS = 1024  # so much is lost at most when a run is killed

Floats = NDArray[np.float32]


class PixelSource(Protocol):
    """What gives prepared pixels by index: an array (n, side, side, 3), or `Rows` of one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(images, side in px, side, 3)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: Any, /) -> Pixels: ...


class Rows:
    """Some rows of the prepared pixels, read from disk only when they are asked for."""

    def __init__(self, pixels: Pixels, rows: NDArray[np.int64]) -> None:
        self._pixels, self._rows = pixels, rows

    @property
    def shape(self) -> tuple[int, ...]:
        """(images, side in px, side, 3)."""
        return (len(self._rows), *self._pixels.shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, chosen: Any, /) -> Pixels:
        """The images at these positions among the rows."""
        images: Pixels = self._pixels[self._rows[chosen]]
        return images


def cached_features(
    backbone: Backbone, ref: BackboneRef, pixels: PixelSource, sha256s: Sequence[str], cache: Path
) -> Floats:
    """Features (n, `backbone.features`), float32, of `pixels` (n, side, side, 3), uint8, with their content hashes.

    What `cache` holds already is read, the rest is computed and added. The backbone is given back on CPU.
    Raises BrokenArtifact where features are NaN or infinite.
    """
    folder = cache / "features" / _key(backbone, ref, pixels)
    at = {sha256: i for i, sha256 in reversed(list(enumerate(sha256s)))}
    rows = np.empty((len(sha256s), backbone.features), np.float32)
    missing = dict.fromkeys(sha256s)
    for keys, values in _shards(folder):
        for sha256, value in zip(keys, values, strict=True):
            if sha256 in missing:
                del missing[sha256]
                rows[at[sha256]] = value
    unsaved: list[str] = []
    wanted = list(missing)
    for batch, values in _computed(backbone, ref, pixels, np.array([at[sha256] for sha256 in wanted], np.int64)):
        rows[batch] = values
        unsaved += [sha256s[i] for i in batch]
        if len(unsaved) >= _SHARD_ROWS:
            _write(folder, unsaved, rows[[at[sha256] for sha256 in unsaved]])
            unsaved = []
    if unsaved:
        _write(folder, unsaved, rows[[at[sha256] for sha256 in unsaved]])
    return rows[[at[sha256] for sha256 in sha256s]]


def compute_features(backbone: Backbone, ref: BackboneRef, pixels: PixelSource) -> Floats:
    """The same features without a cache."""
    rows = np.empty((len(pixels), backbone.features), np.float32)
    for batch, values in _computed(backbone, ref, pixels, np.arange(len(pixels))):
        rows[batch] = values
    return rows


def best_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _computed(
    backbone: Backbone, ref: BackboneRef, pixels: PixelSource, chosen: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    """Positions and their features, batch by batch; nothing is touched where `chosen` is empty."""
    if not len(chosen):
        return
    device, was_training = best_device(), backbone.training
    backbone.eval().to(device).to(memory_format=memory_format(device))
    batches = np.array_split(chosen, range(BATCH[device.type], len(chosen), BATCH[device.type]))
    shape = (BATCH[device.type], 3, ref.input_px, ref.input_px)
    try:
        with fitting_threads(backbone, shape):
            for batch in progress(batches, len(batches), f"features of {ref.name}", "batches"):
                yield batch, _forward(backbone, ref, pixels[batch], device)
    finally:
        backbone.to("cpu").train(was_training)


def _forward(backbone: Backbone, ref: BackboneRef, images: Pixels, device: torch.device) -> Floats:
    padded = np.zeros((BATCH[device.type], *images.shape[1:]), np.uint8)
    padded[: len(images)] = images
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        inputs = to_input(torch.from_numpy(padded).to(device), ref.input_px, ref.mean, ref.std)
        values: Floats = backbone(inputs)[: len(images)].float().cpu().numpy()
    if not np.isfinite(values).all():
        raise BrokenArtifact(f"{ref.name} gives features that are NaN or infinite; its weights cannot be used")
    return values


def _key(backbone: Backbone, ref: BackboneRef, pixels: PixelSource) -> str:
    """What features depend on beside the image: the weights as they are in memory, the input, the arithmetic."""
    device = best_device()
    arithmetic = (
        [torch.cuda.get_device_name(), "bfloat16"]
        if device.type == "cuda"
        else [torch.backends.cpu.get_cpu_capability(), "float32"]
    )
    parts = {
        "code": CODE,
        "weights": state_sha256(backbone),
        "network": ref.network,
        "input": [ref.input_px, *ref.mean, *ref.std],
        "prepared_px": pixels.shape[1],
        "arithmetic": [*arithmetic, BATCH[device.type], torch.__version__, torchvision.__version__],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def state_sha256(module: nn.Module) -> str:
    """The hash of all parameters and buffers with their names and shapes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _shards(folder: Path) -> Iterator[tuple[list[str], Floats]]:
    """Content hashes and rows of each whole shard; a damaged one is removed."""
    for path in sorted(folder.glob("*.safetensors")):
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue  # another process found it damaged
        if hashlib.sha256(content).hexdigest() != path.stem:
            say(f"{path} is damaged and computed anew")
            path.unlink(missing_ok=True)
            continue
        shard = load(content)
        yield [key.tobytes().hex() for key in shard["keys"]], shard["rows"]


def _write(folder: Path, sha256s: Sequence[str], rows: Floats) -> None:
    keys = np.frombuffer(bytes.fromhex("".join(sha256s)), np.uint8).reshape(len(sha256s), -1)
    content = save({"keys": keys, "rows": rows})
    with replacing(folder / f"{hashlib.sha256(content).hexdigest()}.safetensors") as part:
        part.write_bytes(content)
