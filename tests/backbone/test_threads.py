"""Threads follow what a batch costs; the network that is counted is a copy without numbers, and stays as it is."""

import pytest
import torch
from torch import nn
from torchvision.models import VisionTransformer, mobilenet_v3_small, shufflenet_v2_x0_5

from tasks.backbone.layouts import resnet18
from tasks.backbone.meta import without_numbers
from tasks.backbone.threads import FLOPS_PER_THREAD, fitting_threads


@pytest.fixture(autouse=True)
def many():
    before = torch.get_num_threads()
    torch.set_num_threads(8)
    yield
    torch.set_num_threads(before)


def threads_of(module, shape):
    with fitting_threads(module, shape):
        return torch.get_num_threads()


def test_threads_are_those_that_the_multiplications_are_worth():
    layer = nn.Linear(1000, 1000)
    batches = [round(threads * FLOPS_PER_THREAD / 2e6) for threads in (1, 3, 8, 40)]
    assert [threads_of(layer, (batch, 1000)) for batch in (1, *batches)] == [1, 1, 3, 8, 8]
    assert torch.get_num_threads() == 8


@pytest.mark.parametrize(("side", "threads"), [(8, 1), (256, 4)])
def test_threads_follow_the_work_and_are_given_back(side, threads):
    network = nn.Sequential(nn.Conv2d(3, 64, 3), nn.Conv2d(64, 64, 3))  # 76,000 FLOPs and more for each pixel
    torch.set_num_threads(4)
    with fitting_threads(network, (2, 3, side, side)):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 4
    assert next(network.parameters()).device.type == "cpu"


@pytest.mark.parametrize(
    "network",
    [
        lambda: resnet18(8, 10),
        mobilenet_v3_small,
        shufflenet_v2_x0_5,
        lambda: VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=5),
    ],
    ids=["resnet18-w8", "mobilenet", "shufflenet", "vit"],
)
def test_the_network_is_left_alone(network):
    module = network().train()
    module.requires_grad_(False)
    first = next(module.parameters()).requires_grad_(True)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    modes = [part.training for part in module.modules()]
    assert 1 <= threads_of(module, (2, 3, 64, 64)) <= 8
    assert first.requires_grad
    assert [part.training for part in module.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(value.device.type == "cpu" for value in module.state_dict().values())


def test_shared_weights_are_counted_once_for_each_use():
    layer = nn.Linear(1000, 1000)
    batch = round(FLOPS_PER_THREAD / 2e6)
    assert threads_of(nn.Sequential(layer, layer), (batch, 1000)) == 2


def test_a_copy_without_numbers_is_of_the_same_form():
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(3, 4))
    module[2].weight = module[0].weight  # tied
    module[0].bias.requires_grad_(False)
    copied = without_numbers(module)
    assert {value.device.type for value in copied.state_dict().values()} == {"meta"}
    assert copied[2].weight is copied[0].weight
    assert [one.requires_grad for one in copied.parameters()] == [one.requires_grad for one in module.parameters()]
    assert {value.device.type for value in module.state_dict().values()} == {"cpu"}
