"""How many threads a network's arithmetic is worth."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tasks.backbone.meta import without_numbers

FLOPS_PER_THREAD = 2e9  # of a forward pass over one batch


@contextmanager
def fitting_threads(module: nn.Module, shape: tuple[int, ...]) -> Iterator[None]:
    """Let torch use as many CPU threads as a batch of `shape` through `module` is worth; at most those it has.

    Small operations are over before a second thread has woken up, and where others use the cores too, the threads
    of one operation wait for each other in vain: a ResNet-18 of width 24 at 64 px trained at 480 images per CPU second
    on one thread and at 60 on two. The count depends on the network and the machine only, so results stay repeatable.
    """
    before = torch.get_num_threads()
    traced = without_numbers(module).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        traced(torch.empty(shape, device="meta"))
    torch.set_num_threads(max(1, min(before, round(counter.get_total_flops() / FLOPS_PER_THREAD))))
    try:
        yield
    finally:
        torch.set_num_threads(before)
