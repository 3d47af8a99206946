"""What the tests of pre-training share."""

import os
from collections.abc import Iterator

import pytest
import torch

CPU = torch.device("cpu")


@pytest.fixture
def one_core() -> Iterator[None]:
    """Training in this process alone: on a CPU there is one for each core."""
    cores, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, {min(cores)})
    torch.set_num_threads(1)
    yield
    os.sched_setaffinity(0, cores)
    torch.set_num_threads(threads)
