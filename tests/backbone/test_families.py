"""Head and stages of every classification network of torchvision, on the meta device: shapes without arithmetic."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from tasks.backbone.catalog import Entry, find_entry, torchvision_entries
from tasks.backbone.network import Backbone
from tasks.backbone.stages import own_state
from tasks.backbone.weights import build_network
from tasks.contracts.model_records import BackboneRef


def family_of(entry: Entry) -> str:
    return models.get_model_builder(entry.network).__module__


ALL = torchvision_entries(Path("nowhere"))
SMALLEST = {family_of(entry): entry.name for entry in sorted(ALL, key=lambda entry: -entry.parameters)}.values()
FEATURES = {  # channels of the last three stages, and the width before the head where it adds to them
    "resnet18": 128 + 256 + 512,
    "vgg11_bn": 512 + 512 + 512 + 4096,
    "googlenet": 480 + 832 + 1024,
    "squeezenet1_1": 128 + 256 + 512,
    "convnext_tiny": 192 + 384 + 768,
    "vit_b_16": 768,
    "swin_t": 96 + 768,
}
TAPS = {
    "resnet50": ("layer2", "layer3", "layer4"),
    "inception_v3": ("Mixed_5d", "Mixed_6e", "Mixed_7c"),
    "densenet121": ("features.transition2.conv", "features.transition3.conv", "features"),
    "mobilenet_v3_small": ("features.3", "features.8", "features"),
    "efficientnet_b0": ("features.3", "features.5", "features"),
    "regnet_y_400mf": ("trunk_output.block2", "trunk_output.block3", "trunk_output"),
    "shufflenet_v2_x0_5": ("stage2", "stage3", "conv5"),
    "maxvit_t": ("blocks.1", "blocks.2", "blocks.3"),
    "mnasnet0_5": ("layers.9", "layers.11", "layers"),
    "alexnet": ("features.4", "features.11", "avgpool"),
    "vit_b_16": (),
    "swin_t": ("features.0.0", "permute"),
}


@pytest.fixture
def weightless(monkeypatch):
    """Parameters leave for the meta device as they are made; RegNet's layout, which is arithmetic, stays possible."""
    register = nn.Module.register_parameter

    def on_meta(module: nn.Module, name: str, given: nn.Parameter | None) -> None:
        register(module, name, None if given is None else nn.Parameter(given.detach().to("meta")))

    monkeypatch.setattr(nn.Module, "register_parameter", on_meta)


@pytest.fixture
def build(weightless):
    def make(entry: Entry) -> Backbone:
        ref = BackboneRef(entry.name, "random", entry.network, "", entry.input_px, entry.mean, entry.std, 0)
        return build_network(ref).to("meta")

    return make


def names_of(backbone: Backbone) -> list[str]:
    return [name for stage in backbone.stages for name in stage.modules] + list(backbone.tail)


def cases() -> list:
    quick = {*SMALLEST, *FEATURES, *TAPS}
    return [pytest.param(one, id=one.name, marks=() if one.name in quick else pytest.mark.slow) for one in ALL]


@pytest.mark.parametrize("entry", cases())
def test_every_network_has_a_head_and_stages_that_hold_each_tensor_once(build, entry):
    backbone = build(entry)
    output = backbone(torch.empty(2, 3, entry.input_px, entry.input_px, device="meta"))
    assert output.shape == (2, backbone.features)
    assert FEATURES.get(entry.name) in (None, backbone.features)
    assert TAPS.get(entry.name, tuple(tap.end for tap in backbone.taps)) == tuple(tap.end for tap in backbone.taps)
    assert len(backbone.stages) >= 4
    sides = [stage.side for stage in backbone.stages if stage.side]
    assert sides == sorted(set(sides), reverse=True)
    names = names_of(backbone)
    assert set(names) | {""} == {name for name, _ in backbone.network.named_modules()}
    held = [id(tensor) for name in names for _, tensor in own_state(backbone.network.get_submodule(name))]
    assert sorted(held) == sorted(map(id, (*backbone.network.parameters(), *backbone.network.buffers())))


@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("resnet18", ["relu", "layer1", "layer2", "layer3", "layer4"]),
        ("swin_t", ["features.1", "features.3", "features.5", "permute"]),
        ("vit_b_32", ["encoder.dropout", *(f"encoder.layers.encoder_layer_{i}" for i in range(12))]),
    ],
)
def test_stages_are_where_a_reader_of_the_paper_would_cut(build, folder, name, ends):
    backbone = build(find_entry(name, folder))
    assert [stage.end for stage in backbone.stages] == ends
    held = [set(stage.modules) for stage in backbone.stages]
    assert all(held)
    assert sum(map(len, held)) == len(set().union(*held))


def test_what_the_whole_of_a_vit_owns_belongs_to_its_stem(build, folder):
    backbone = build(find_entry("vit_b_16", folder))
    assert backbone.stages[0].modules == ("", "conv_proj", "encoder", "encoder.dropout")
    assert "encoder.layers.encoder_layer_3.self_attention.out_proj" in backbone.stages[4].modules  # never called
    assert backbone.tail == ("encoder.ln", "heads", "heads.head")
