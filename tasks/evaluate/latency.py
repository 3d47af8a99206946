"""How long a model takes for an image on this machine, and what it needs: time, memory, parameters, bytes on disk.

Timings differ from run to run, so no stage writes them: an output that changes by itself would make others stale.
"""

import platform
import resource
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from tasks.backbone.features import best_device
from tasks.backbone.network import TransferNet, memory_format, to_input
from tasks.backbone.threads import fitting_threads
from tasks.contracts.model_records import BackboneRef

LARGE = 32
_SECONDS, _LEAST, _MOST = 0.5, 3, 200  # of each measurement, and its repeats
_WARM = 1
_CLEARLY = 0.6  # of what was known: a single image that is quicker than this says that others used the machine then


@dataclass(frozen=True)
class Pace:
    """Milliseconds of an image in batches of `batch`: the median and the 90th percentile of `repeats`.

    `measured` is when, in UTC.
    """

    batch: int
    p50_ms: float
    p90_ms: float
    repeats: int
    measured: str


@dataclass(frozen=True)
class Latency:
    """What a model costs on `device`, from prepared pixels to probabilities, decoding of files not counted.

    `peak_mb` is the GPU memory that torch took at the large batch, or on a CPU what the whole process has ever had.
    """

    device: str
    threads: int
    input_px: int
    single: Pace
    large: Pace
    peak_mb: float
    parameters: int
    disk_mb: float  # of its weights as safetensors


@torch.inference_mode()
def measure_latency(net: TransferNet, ref: BackboneRef, large: int = LARGE, known: Latency | None = None) -> Latency:
    """Measure on the best device there is, in some seconds; `net` is left there, in evaluation mode.

    `known` is what a network that costs the same took here before. A single image is timed again, and of both the
    quicker one stays; the large batch, the long part, only where the single image was clearly quicker this time.
    Raises ValueError where `large` is no batch.
    """
    if large < 1:
        raise ValueError(f"a batch has at least 1 image, not {large}")
    device = best_device()
    net.to(device).to(memory_format=memory_format(device)).eval()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    single, threads = _pace(net, ref, 1, device)
    if known and single.p50_ms >= _CLEARLY * known.single.p50_ms:
        peak_mb = known.peak_mb if device.type == "cuda" else _peak_mb(device)
        return replace(known, single=_quicker(single, known.single), peak_mb=peak_mb)
    many, threads = _pace(net, ref, large, device) if large > 1 else (single, threads)
    many = _quicker(many, known.large) if known else many
    state = net.state_dict()
    return Latency(
        device=name_of(device),
        threads=threads,
        input_px=ref.input_px,
        single=single,
        large=many,
        peak_mb=_peak_mb(device),
        parameters=sum(parameter.numel() for parameter in net.parameters()),
        disk_mb=len(save({name: tensor.cpu().contiguous() for name, tensor in state.items()})) / 1e6,
    )


def _pace(net: TransferNet, ref: BackboneRef, batch: int, device: torch.device) -> tuple[Pace, int]:
    """Whole batches from pixels in memory to probabilities in memory, and the threads that they took."""
    side = ref.input_px
    pixels = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), dtype=np.uint8)

    def once() -> float:
        start = time.perf_counter()
        images = to_input(torch.from_numpy(pixels).to(device), side, ref.mean, ref.std)
        torch.softmax(net(images).float(), dim=1).cpu()  # which waits for a GPU
        return time.perf_counter() - start

    with fitting_threads(net, (batch, 3, side, side)):
        threads = torch.get_num_threads()
        for _ in range(_WARM):
            once()
        taken: list[float] = []
        until = time.perf_counter() + _SECONDS
        while len(taken) < _LEAST or (time.perf_counter() < until and len(taken) < _MOST):
            taken.append(once())
    p50, p90 = np.quantile(taken, [0.5, 0.9]) * 1000 / batch
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Pace(batch, float(p50), float(p90), len(taken), now), threads


def _quicker(one: Pace, other: Pace) -> Pace:
    return min(one, other, key=lambda pace: pace.p50_ms)


def _peak_mb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def name_of(device: torch.device) -> str:
    """The model of the GPU or of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cores = Path("/proc/cpuinfo")  # Linux alone names the processor there
    lines = cores.read_text(encoding="utf-8", errors="replace").splitlines() if cores.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
