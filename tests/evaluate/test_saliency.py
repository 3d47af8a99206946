"""Where the evidence lies: on networks whose answer depends on a known place, and on every layout of maps."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vgg import make_layers
from torchvision.models.vision_transformer import VisionTransformer

from tasks.backbone.network import Backbone
from tasks.contracts.model_records import BackboneRef
from tasks.evaluate.saliency import place_of, saliency
from tasks.train.model import Head, fresh_net
from tests.train.tiny import net as tiny_net

SIDE = 64
REF = BackboneRef("tiny", "random", "tiny", "", SIDE, (0.0,) * 3, (1.0,) * 3, 0)
PIXELS = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)


def vgg() -> nn.Module:
    layers = make_layers([8, "M", 16, "M", 16, "M"])  # with ReLUs in place
    return nn.Sequential(layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))


def vit() -> nn.Module:
    return VisionTransformer(SIDE, 8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=4)


def swin() -> nn.Module:
    return SwinTransformer([4, 4], 16, [1, 1], [2, 2], [4, 4], num_classes=4)


@pytest.mark.parametrize(("make", "grid"), [(vgg, 8), (vit, 8), (swin, 8)])
def test_every_layout_gives_maps_between_0_and_1_and_is_left_as_it_was(make, grid):
    torch.manual_seed(0)
    net = fresh_net(Backbone(make(), SIDE), Head(3, feature_stages=1), seed=0)
    in_place = [getattr(module, "inplace", None) for module in net.modules()]
    maps = saliency(net, REF, PIXELS, np.array([0, 1, 2]))
    assert (maps.shape, maps.dtype) == ((3, grid, grid), np.float32)
    assert ((maps >= 0) & (maps <= 1)).all()
    assert set(maps.max(axis=(1, 2))) <= {0.0, 1.0}
    assert [getattr(module, "inplace", None) for module in net.modules()] == in_place
    assert all(parameter.grad is None for parameter in net.parameters())
    assert np.array_equal(maps, saliency(net, REF, PIXELS, np.array([0, 1, 2])))
    with torch.no_grad():
        net.head[-1].weight.neg_()
    opposite = saliency(net, REF, PIXELS, np.array([0, 1, 2]))
    assert (np.maximum(maps, opposite).max(axis=(1, 2)) == 1.0).all()  # what speaks against a class is for its opposite
    assert not np.array_equal(maps, opposite)


def brightness_net() -> nn.Module:
    """Its features are how bright the picture is, so the evidence for a class that likes light is where light is."""
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU()
    )
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.constant_(layer.weight, 0.1)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


def test_the_evidence_is_where_the_score_comes_from():
    net = fresh_net(Backbone(brightness_net(), SIDE), Head(2, feature_stages=1), seed=0)
    with torch.no_grad():
        net.head[-1].weight.copy_(torch.tensor([1.0, -1.0])[:, None].expand_as(net.head[-1].weight))
    pixels = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    pixels[0, :16, 40:56] = 255
    pixels[1] = pixels[0]
    likes, dislikes = saliency(net, REF, pixels, np.array([0, 1]))
    side = place_of(net).side
    row, column = np.unravel_index(likes.argmax(), likes.shape)
    assert row < side / 4 + 1
    assert column >= side / 2
    assert likes[side // 2 :].max() == 0  # the dark half says nothing
    assert dislikes.max() == 0  # nothing speaks for a class that light speaks against


def test_no_picture_gives_no_map_and_small_networks_have_a_place():
    net = tiny_net()
    assert len(saliency(net, REF, PIXELS[:0], np.empty(0, np.int64))) == 0
    assert (place_of(net).side or 0) >= 6
