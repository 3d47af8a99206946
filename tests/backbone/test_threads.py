import pytest
import torch
from torch import nn

from tasks.backbone.threads import fitting_threads


@pytest.mark.parametrize(("side", "threads"), [(8, 1), (256, 4)])
def test_threads_follow_the_work_and_are_given_back(side, threads):
    network = nn.Sequential(nn.Conv2d(3, 64, 3), nn.Conv2d(64, 64, 3))  # 76,000 FLOPs and more for each pixel
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        with fitting_threads(network, (2, 3, side, side)):
            assert torch.get_num_threads() == threads
        assert torch.get_num_threads() == 4
        assert next(network.parameters()).device.type == "cpu"
    finally:
        torch.set_num_threads(before)
