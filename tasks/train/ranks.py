"""Several processes that train one network together, each on its share of every batch.

Each process holds the whole network and does the same step with the same summed gradients, so the weights stay equal.
R processes compute what one does with R pieces of a batch one after the other (`at_once`), up to summation order.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class Ranks:
    """The place of this process among all: the first one, which alone writes, has rank 0."""

    rank: int = 0
    size: int = 1

    @property
    def is_joined(self) -> bool:
        """Whether there are other processes."""
        return self.size > 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def part(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The share of positions that this process has; the shares in order of rank are all of them."""
        return np.array_split(positions, self.size)[self.rank] if self.is_joined else positions

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Make each tensor the sum over all processes, in place; one exchange for all of one type."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, summed in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(summed.view_as(tensor))

    def whole(self, share: Tensor, length: int) -> Tensor:
        """The values (length,) of all processes, of which `share` are this one's."""
        if not self.is_joined:
            return share
        values = share.new_zeros(length)
        values[self.part(np.arange(length))] = share
        self.sum([values])
        return values

    def wait(self) -> None:
        """Wait until every process has come here."""
        self.any(False)

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process."""
        if not self.is_joined:
            return flag
        count = torch.tensor([float(flag)])
        self.sum([count])
        return bool(count)


def current() -> Ranks:
    """The ranks of this process, alone where nobody joined it to others."""
    return Ranks(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Ranks()


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the processes that torchrun started; on GPUs each takes its own."""
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    try:
        yield current()
    finally:
        dist.destroy_process_group()
