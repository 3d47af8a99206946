"""The gradient of one batch, in as many pieces as memory and processes ask for."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tasks.contracts.errors import BadEnvironment, BadUsage
from tasks.train.data import Batch
from tasks.train.forward import forward
from tasks.train.mixing import mixed
from tasks.train.objective import losses
from tasks.train.ranks import Ranks

_LEAST_AT_ONCE = 2  # batch normalisation cannot train on one image
_OUT_OF_MEMORY = ("can't allocate memory", "CUDA out of memory")


@dataclass(frozen=True)
class Pieces:
    """How a batch is taken apart and mixed: `stream` is the random stream of its step, `at_once` 0 takes it whole."""

    ranks: Ranks
    at_once: int
    stream: tuple[int, int, int]
    device: torch.device
    mixup: float
    cutmix: float
    label_smoothing: float


@dataclass
class Statistics:
    """The buffers that a forward pass moves (batch-norm statistics), and how they were before."""

    module: nn.Module
    before: list[tuple[Tensor, Tensor]] = field(init=False)

    def __post_init__(self) -> None:
        """Keep them as they are now."""
        self.before = [(buffer, buffer.clone()) for buffer in self._moving()]

    @torch.no_grad()
    def restore(self) -> None:
        """Bring them back."""
        for buffer, before in self.before:
            buffer.copy_(before)

    def _moving(self) -> Iterator[Tensor]:
        for part in self.module.modules():
            if part.training:
                yield from part.buffers(recurse=False)


def backward(module: nn.Module, batch: Batch, weights: Tensor, how: Pieces, statistics: Statistics) -> Tensor | None:
    """Gradients of the weighted loss over all processes' pieces, and the loss of each sample of the whole batch.

    `batch` is this process's share; `weights` are those of the whole; `statistics` were kept just before. Batch-norm
    statistics move by the mean over the pieces, whatever their number. Returns None, with no trace left, where memory
    ran out in any process.
    """
    module.zero_grad(set_to_none=True)
    found = _all_pieces(module, batch, weights[how.ranks.part(np.arange(len(weights)))], how, statistics)
    if how.ranks.any(found is None):
        statistics.restore()
        return None
    if how.ranks.is_joined:
        how.ranks.sum([p.grad for p in module.parameters() if p.grad is not None])
        _average(statistics, how.ranks)
    return how.ranks.whole(found, len(weights)) if found is not None else None


def require_shares(images: int, batch_size: int, processes: int) -> None:
    """Raise BadUsage where some batch has no two images for each process."""
    smallest = images // -(-images // batch_size)
    if smallest < _LEAST_AT_ONCE * processes and processes > 1:
        raise BadUsage(
            f"{processes} processes cannot share batches of {smallest} images; lower train.processes or raise "
            "train.batch_size"
        )


def fewer(images: int) -> int:
    """Half as many images at a time.

    Raises BadEnvironment where there are only two.
    """
    if images <= _LEAST_AT_ONCE:
        raise BadEnvironment(
            f"not even {_LEAST_AT_ONCE} images fit into memory at a time; choose a smaller backbone or free memory"
        )
    return max(_LEAST_AT_ONCE, images // 2)


def _all_pieces(module: nn.Module, batch: Batch, weights: Tensor, how: Pieces, statistics: Statistics) -> Tensor | None:
    """The losses of this process's samples; None where memory ran out."""
    parts = _split(len(weights), how.at_once)
    several = len(parts) > 1  # nothing need be cut, summed or put back of a batch that goes through whole
    sums = [torch.zeros_like(before) for _, before in statistics.before] if several else []
    found = []
    try:
        for number, part in enumerate(parts):
            if number:
                statistics.restore()
            _seed((*how.stream, how.ranks.rank * len(parts) + number), how.device)  # mixing and dropout
            piece = mixed(batch.part(part) if several else batch, how.mixup, how.cutmix)
            sample_losses = losses(forward(module, piece.inputs, how.device), piece, how.label_smoothing)
            (sample_losses * weights[part].to(how.device)).sum().backward()  # type: ignore[no-untyped-call]
            found.append(sample_losses.detach().cpu())
            if several:
                for total, (buffer, _) in zip(sums, statistics.before, strict=True):
                    total.add_(buffer)
    except RuntimeError as error:
        if not _is_out_of_memory(error):
            raise
        return None
    if several:
        _put_mean(statistics, sums, len(parts))
    return torch.cat(found)


def _split(length: int, at_once: int) -> list[NDArray[np.int64]]:
    """As many pieces as `at_once` asks for, of two images at least."""
    pieces = min(-(-length // (at_once or length)), max(1, length // _LEAST_AT_ONCE))
    return np.array_split(np.arange(length), pieces)


def _seed(stream: tuple[int, ...], device: torch.device) -> None:
    """Seed what is drawn from; `torch.manual_seed` keeps a stack trace of every call for a GPU that is not in use."""
    seed = int(np.random.SeedSequence(stream).generate_state(1, np.uint64)[0] >> 1)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in _OUT_OF_MEMORY)


@torch.no_grad()
def _put_mean(statistics: Statistics, sums: list[Tensor], count: int) -> None:
    for total, (buffer, _) in zip(sums, statistics.before, strict=True):
        buffer.copy_(total / count)


@torch.no_grad()
def _average(statistics: Statistics, ranks: Ranks) -> None:
    buffers = [buffer for buffer, _ in statistics.before if buffer.is_floating_point()]
    ranks.sum(buffers)
    for buffer in buffers:
        buffer.div_(ranks.size)
