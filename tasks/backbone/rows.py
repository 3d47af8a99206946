"""Computing rows of a frozen network: features of a backbone, or what a trunk gives where the frozen stages end.

Of each image as it is, or of one of its stored views. Every batch has the same shape, the last one padded: with
another shape the arithmetic library may take another path, and a row would depend on its neighbours in the last bits.
"""

import hashlib
import json
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.backbone.network import Backbone, memory_format, to_input
from tasks.backbone.split import Trunk
from tasks.backbone.threads import fitting_threads
from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.images import PIXELS_VERSION
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.prepared import Pixels
from tasks.contracts.progress import progress

CODE = 2  # raised when rows change: another pooling, another resize
BATCH = {"cpu": 32, "cuda": 256}

Floats = NDArray[np.float32]


class PixelSource(Protocol):
    """What gives prepared pixels by index: an array (n, side, side, 3), or `Rows` of one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(images, side in px, side, 3)."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: Any, /) -> Pixels: ...


@dataclass(frozen=True)
class View:
    """Stored view number `number` of each image: what `augment` makes of it with the seed that its hash has."""

    policy_digest: str
    augment: Callable[[Pixels, int], Pixels]
    seeds: Callable[[str], int]
    number: int


def best_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_kind() -> str:
    """What that is, as far as results depend on it."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else torch.backends.cpu.get_cpu_capability()


def library_versions() -> list[str]:
    """Of the libraries whose arithmetic results depend on."""
    return [torch.__version__, torchvision.__version__]


def state_sha256(module: nn.Module) -> str:
    """The hash of all parameters and buffers with their names and shapes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Work:
    """What makes rows: a frozen network, and images by their hashes. Features on a GPU are made in bfloat16.

    With `is_precise` they are not: what is evaluated is what `graft predict` will compute.
    """

    source: Backbone | Trunk
    ref: BackboneRef
    pixels: PixelSource
    sha256s: Sequence[str]
    view: View | None
    is_precise: bool = False

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        return self.source.width if isinstance(self.source, Trunk) else self.source.features

    @cached_property
    def keys(self) -> list[str]:
        """What a row depends on beside the folder's key: the image and, of a view, its number and its very seed."""
        view = self.view
        if view is None:
            return list(self.sha256s)
        named = (f"{sha256}:{view.number}:{view.seeds(sha256)}" for sha256 in self.sha256s)
        return [hashlib.sha256(name.encode()).hexdigest() for name in named]

    def folder_key(self) -> str:
        """What all rows depend on: the weights as they are in memory, the input, the policy, the arithmetic."""
        device = best_device()
        parts = {
            "code": CODE,
            "source": _identity(self.source),
            "network": self.ref.network,
            "input": [self.ref.input_px, *self.ref.mean, *self.ref.std],
            "prepared": [self.pixels.shape[1], PIXELS_VERSION],
            "policy": self.view.policy_digest if self.view else "",
            "arithmetic": [device_kind(), self._is_bfloat16(device), BATCH[device.type]],
            "versions": library_versions(),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def missing(self, known: Container[str]) -> NDArray[np.int64]:
        """The first position of each key that is not known."""
        first = {key: i for i, key in reversed(list(enumerate(self.keys)))}
        return np.array([first[key] for key in dict.fromkeys(self.keys) if key not in known], np.int64)

    def compute(self, chosen: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Positions and their rows, batch by batch; nothing is touched where `chosen` is empty."""
        if not len(chosen):
            return
        device = best_device()
        size = BATCH[device.type]
        batches = np.array_split(chosen, range(size, len(chosen), size))
        what = f"{'activations' if isinstance(self.source, Trunk) else 'features'} of {self.ref.name}"
        with (
            _placed(self.source, device),
            fitting_threads(self.source, (size, 3, self.ref.input_px, self.ref.input_px)),
        ):
            for batch in progress(batches, len(batches), what, "batches"):
                yield batch, self._forward(batch, device)

    def one_by_one(self, chosen: NDArray[np.int64]) -> Floats:
        """The rows of a few images, for now only: the threads stay as the caller has them."""
        device = best_device()
        size = BATCH[device.type]
        with _placed(self.source, device):
            parts = [self._forward(part, device) for part in np.array_split(chosen, range(size, len(chosen), size))]
        rows: Floats = torch.cat(parts).float().numpy()
        return rows

    def _forward(self, chosen: NDArray[np.int64], device: torch.device) -> Tensor:
        images = self._images(chosen)
        padded = np.zeros((BATCH[device.type], *images.shape[1:]), np.uint8)
        padded[: len(images)] = images
        ref, bfloat16 = self.ref, self._is_bfloat16(device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            inputs = to_input(torch.from_numpy(padded).to(device), ref.input_px, ref.mean, ref.std)
            values: Tensor = self.source(inputs)[: len(images)].cpu()
        if not bool(torch.isfinite(values).all()):
            raise BrokenArtifact(f"{ref.name} gives features that are NaN or infinite; its weights cannot be used")
        return values if isinstance(self.source, Trunk) else values.float()

    def _is_bfloat16(self, device: torch.device) -> bool:
        if isinstance(self.source, Trunk):
            return self.source.autocast
        return device.type == "cuda" and not self.is_precise

    def _images(self, chosen: NDArray[np.int64]) -> Pixels:
        images, view = self.pixels[chosen], self.view
        if view is None:
            return images
        hashes = [self.sha256s[i] for i in chosen]
        return np.stack([view.augment(image, view.seeds(one)) for image, one in zip(images, hashes, strict=True)])


def _identity(source: Backbone | Trunk) -> list[object]:
    """What tells one source from another, as plain data."""
    if isinstance(source, Trunk):
        return ["activation", source.weights_sha256, source.end, [tap.end for tap in source.taps], source.autocast]
    return ["features", state_sha256(source), [tap.end for tap in source.taps], source.with_last]


@contextmanager
def _placed(source: nn.Module, device: torch.device) -> Iterator[None]:
    """`source` on `device` in evaluation mode, for as long as this lasts; every part gets its own mode back."""
    modes = {module: module.training for module in source.modules()}
    source.eval().to(device).to(memory_format=memory_format(device))
    try:
        yield
    finally:
        source.to("cpu")
        for module, mode in modes.items():
            module.training = mode
