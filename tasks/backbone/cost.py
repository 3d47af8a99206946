"""What a network costs: multiply-adds of an image, counted without arithmetic, and milliseconds, measured here."""

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from tasks.backbone.entry import Entry
from tasks.backbone.network import Backbone, memory_format
from tasks.backbone.rows import best_device
from tasks.backbone.threads import fitting_threads
from tasks.backbone.weights import build_network, make_network
from tasks.contracts.files import write_text
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.progress import progress

BATCH = 32
CPU_GMACS = 200  # of a batch, some seconds on two cores; a costlier network is measured in smaller batches
_CHEAP_S = 0.7  # of a forward pass over a batch: the training step, about three times that, is measured too
_LONG_S, _ENOUGH_S, _REPEATS = 2.0, 0.5, (2, 5)
# they keep shapes and multiply nothing that is counted; without them a trace takes a third of the time
_COSTLESS = {"BatchNorm2d", "LayerNorm", "LayerNorm2d", "Dropout", "StochasticDepth"} | {
    *("ReLU", "ReLU6", "SiLU", "GELU", "Hardswish", "Hardsigmoid", "Sigmoid")
}
_FILLS = {"uniform_", "normal_", "zero_", "fill_", "erfinv_", "mul_", "add_", "clamp_"}

Network = tuple[str, int]  # by name, at a side in px


@dataclass(frozen=True)
class Timing:
    """Milliseconds of an image in a batch of `batch` images of `side_px`, the best of some repeats.

    `training_ms` is forward and backward of all layers, None where that would take too long. Weights are random, which
    costs the same.
    """

    side_px: int
    batch: int
    device: str
    forward_ms: float
    training_ms: float | None


def gmacs_of(entries: Iterable[tuple[Entry, int]]) -> list[float]:
    """Billions of multiply-adds of each whole network for one image of the side beside it.

    As published where that is the published side, else counted; counts are remembered in the user's cache folder,
    for these versions of torch and torchvision.
    """
    pairs = list(entries)
    path = counts_file()
    known = _read_counts(path)
    known |= {(one.network, side_px): one.gmacs for one, side_px in pairs if one.gmacs and side_px == one.input_px}
    missing = list(
        dict.fromkeys((one.network, side_px) for one, side_px in pairs if (one.network, side_px) not in known)
    )
    for network in progress(missing, len(missing), "counting multiply-adds, once", "networks"):
        known[network] = round(count_macs(*network) / 1e9, 4)
    if missing:
        counts = {f"{name}@{side_px}": known[name, side_px] for name, side_px in sorted(known)}
        with contextlib.suppress(OSError):  # a home that cannot be written to: they are counted again
            write_text(path, json.dumps(counts, indent=0) + "\n")
    return [known[one.network, side_px] for one, side_px in pairs]


def counts_file() -> Path:
    """Where the counts are remembered."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    name = f"macs-torch-{torch.__version__}-torchvision-{torchvision.__version__}.json"
    return Path(cache).expanduser() / "graft" / name


def measure(entry: Entry, side_px: int, gmacs: float, *, training: bool) -> Timing | None:
    """What an image of `side_px` costs on this machine, on the device and the threads that training takes.

    None where one image, of `gmacs`, would take too long.
    """
    device = best_device()
    batch = BATCH if device.type == "cuda" else min(BATCH, int(CPU_GMACS / gmacs))
    if batch < 1:
        return None
    ref = BackboneRef(entry.name, "random", entry.network, "", side_px, entry.mean, entry.std, 0)
    backbone = build_network(ref).to(device).to(memory_format=memory_format(device))
    images = torch.randn(batch, 3, side_px, side_px, generator=torch.Generator().manual_seed(0))
    images = images.to(device).contiguous(memory_format=memory_format(device))
    with fitting_threads(backbone, tuple(images.shape)):
        threads = torch.get_num_threads()
        forward = _best(lambda: _forward(backbone, images), device)
        train = _best(lambda: _step(backbone.train(), images), device) if training and forward < _CHEAP_S else None
    scale = 1000 / batch
    kind = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {threads} thread{'s' * (threads > 1)}"
    return Timing(side_px, batch, kind, forward * scale, None if train is None else train * scale)


def _forward(backbone: Backbone, images: Tensor) -> None:
    with torch.inference_mode(), torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
        backbone(images)


def _step(backbone: Backbone, images: Tensor) -> None:
    with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
        loss = backbone(images).float().square().mean()
    loss.backward()  # type: ignore[no-untyped-call]
    backbone.zero_grad()


def _best(work: Callable[[], None], device: torch.device) -> float:
    """Seconds of the fastest of some calls after the first, or of the first where that took long."""
    least, most = _REPEATS
    first = _seconds(work, device)
    repeats: list[float] = []
    while first < _LONG_S and (len(repeats) < least or (len(repeats) < most and sum(repeats) < _ENOUGH_S)):
        repeats.append(_seconds(work, device))
    return min(repeats, default=first)


def _seconds(work: Callable[[], None], device: torch.device) -> float:
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def count_macs(name: str, side_px: int) -> int:
    """Multiply-adds of the network `name` for one image, found by its shapes alone."""
    with _Weightless():
        network = make_network(name, side_px, seed=0)
    network = _without_costless(network.to("meta"))
    with torch.no_grad(), _Counter() as counter:
        network(torch.empty(1, 3, side_px, side_px, device="meta"))
    flops: int = counter.flops
    return flops // 2


def _without_costless(network: nn.Module) -> nn.Module:
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child).__name__ in _COSTLESS:
                setattr(module, name, nn.Identity())
    return network


class _Weightless(TorchFunctionMode):
    """New tensors of parameters and buffers are of the meta device, and nothing fills them."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        module, name = getattr(func, "__module__", ""), getattr(func, "__name__", "")
        if (module == "torch.nn.init" or name in _FILLS) and args and args[0].is_meta:
            return args[0]
        place = {"device": "meta"} if func in (torch.empty, torch.zeros, torch.ones) else {}
        return func(*args, **{**(kwargs or {}), **place})


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Floating-point operations by torch's own formulas: two for each multiply-add of convolutions and products."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func._overloadpacket):
            self.flops += formula(*args, **(kwargs or {}), out_val=made)
        return made


def _read_counts(path: Path) -> dict[Network, float]:
    """What is remembered; nothing where the file is missing or damaged."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8")).items()
        return {(name, int(side)): float(gmacs) for key, gmacs in rows for name, _, side in [key.partition("@")]}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
