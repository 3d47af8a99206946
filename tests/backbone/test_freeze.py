"""Frozen stages do not move in a training step, whatever the network; the rest does."""

import copy
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.maxvit import MaxVit
from torchvision.models.swin_transformer import SwinTransformer, SwinTransformerBlockV2
from torchvision.models.vision_transformer import VisionTransformer

from tasks.backbone.catalog import find_entry, torchvision_entries
from tasks.backbone.layouts import resnet18
from tasks.backbone.network import Backbone, TransferNet
from tasks.backbone.stages import own_state
from tasks.backbone.weights import build_network
from tasks.contracts.model_records import BackboneRef
from tasks.train.strategies import FineTuning, parts_of, set_state
from tests.backbone.test_stages import Tokens, hierarchical


def vgg() -> nn.Module:
    """torchvision's convolutions; the first of its three linear layers alone would be 100 M parameters."""
    network = models.vgg11_bn(init_weights=False)
    layers = nn.Linear(512 * 7 * 7, 16), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(16, 10)
    network.classifier = nn.Sequential(*layers)
    return network


def alexnet() -> nn.Module:
    network = models.alexnet()
    network.classifier[1], network.classifier[4] = nn.Linear(256 * 6 * 6, 16), nn.Linear(16, 16)
    network.classifier[6] = nn.Linear(16, 10)
    return network


def swin(block: Callable[..., nn.Module] | None = None) -> nn.Module:
    return SwinTransformer([4, 4], 8, [1, 2, 1], [1, 2, 2], [4, 4], stochastic_depth_prob=0.2, block=block)


SMALL: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet": (lambda: resnet18(8, 10), 64),
    "vgg": (vgg, 64),
    "alexnet": (alexnet, 64),
    "inception": (partial(models.inception_v3, aux_logits=False, transform_input=True, init_weights=False), 299),
    "googlenet": (partial(models.googlenet, aux_logits=False, transform_input=True, init_weights=False), 64),
    "densenet": (partial(models.DenseNet, 8, (1, 2, 1, 1), 16), 64),
    "efficientnet": (models.efficientnet_b0, 64),
    "convnext": (
        partial(models.ConvNeXt, [models.convnext.CNBlockConfig(*c) for c in ((8, 16, 2), (16, None, 2))], 0.2),
        32,
    ),
    "regnet": (models.regnet_y_400mf, 64),
    "mobilenet_v2": (models.mobilenet_v2, 64),
    "mobilenet_v3": (models.mobilenet_v3_small, 64),
    "mnasnet": (models.mnasnet0_5, 64),
    "shufflenet": (models.shufflenet_v2_x0_5, 64),
    "squeezenet": (models.squeezenet1_1, 64),
    "vit": (lambda: VisionTransformer(32, 8, 3, 2, 16, 32, dropout=0.1), 32),
    "swin": (swin, 32),
    "swin_v2": (partial(swin, SwinTransformerBlockV2), 32),
    "maxvit": (lambda: MaxVit((64, 64), 8, 4, [8, 16], [1, 1], 4, 0.2), 64),
    "timm_swin": (hierarchical, 32),
    "timm_vit": (Tokens, 32),
}


def digest(modules: list[nn.Module]) -> str:
    found = hashlib.sha256()
    for module in modules:
        for name, tensor in own_state(module):
            found.update(name.encode() + tensor.detach().numpy().tobytes())
    return found.hexdigest()


def take_a_step(net: TransferNet, side_px: int) -> None:
    optimizer = torch.optim.AdamW([p for p in net.parameters() if p.requires_grad], 1e-2, weight_decay=0.1)
    loss = nn.functional.cross_entropy(net(torch.rand(4, 3, side_px, side_px)), torch.arange(4) % 2)
    loss.backward()
    optimizer.step()


def require_frozen(backbone: Backbone, upto: int, side_px: int) -> None:
    net = TransferNet(copy.deepcopy(backbone), 2, 0.1).eval()
    held = [[net.backbone.network.get_submodule(name) for name in stage.modules] for stage in backbone.stages]
    set_state(parts_of(net, FineTuning(upto), "embedded", 1), 0)
    before = [digest(modules) for modules in held]
    head = digest(list(net.head.modules()))
    take_a_step(net, side_px)
    after = [digest(modules) for modules in held]
    assert after[:upto] == before[:upto]
    trained = [i for i, modules in enumerate(held) if any(owned for module in modules for owned in own_state(module))]
    assert [i for i in trained if i >= upto and after[i] == before[i]] == []
    assert digest(list(net.head.modules())) != head


@pytest.mark.parametrize("family", SMALL)
def test_frozen_stages_stay_as_they_are(family):
    make, side_px = SMALL[family]
    torch.manual_seed(0)
    backbone = Backbone(make(), side_px)
    stages = len(backbone.stages)
    for upto in {1, stages // 2, stages} if side_px < 299 else {stages // 2}:
        require_frozen(backbone, upto, side_px)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [entry.name for entry in torchvision_entries(Path("nowhere")) if entry.parameters <= 100e6]
)
def test_frozen_stages_of_published_networks_stay_as_they_are(name, folder):
    entry = find_entry(name, folder)
    side_px = 299 if name == "inception_v3" else max(entry.smallest_px, 64)
    ref = BackboneRef(name, "random", entry.network, "", side_px, entry.mean, entry.std, 0)
    backbone = build_network(ref)
    require_frozen(backbone, len(backbone.stages) // 2, side_px)
