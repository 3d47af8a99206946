from itertools import pairwise

import pytest
import torch

from tasks.backbone.catalog import find_entry
from tasks.backbone.network import Backbone
from tasks.backbone.weights import build_network
from tasks.contracts.records import BackboneRef

FAMILIES = {  # name -> features: channels of the last three stages, and the width before the head where it adds to them
    "resnet18": 128 + 256 + 512,
    "vgg11_bn": 512 + 512 + 512 + 4096,
    "inception_v3": None,
    "googlenet": 480 + 832 + 1024,
    "densenet121": None,
    "squeezenet1_1": 128 + 256 + 512,
    "mobilenet_v3_small": None,
    "efficientnet_b0": None,
    "convnext_tiny": 192 + 384 + 768,
    "regnet_y_400mf": None,
    "vit_b_16": 768,
    "swin_t": 96 + 768,
    "shufflenet_v2_x0_5": None,
}
SHAPELESS = {"vit_b_16", "swin_t"}


@pytest.fixture(params=FAMILIES)
def built(request, folder) -> tuple[str, Backbone, int]:
    entry = find_entry(request.param, folder)
    ref = BackboneRef(entry.name, "random", entry.network, "", entry.input_px, entry.mean, entry.std, 0)
    if entry.name.startswith("regnet"):  # computes its layout with tensors, which the meta device cannot
        return entry.name, build_network(ref).to("meta"), entry.input_px
    with torch.device("meta"):
        return entry.name, build_network(ref), entry.input_px


def test_head_and_stages_are_found(built):
    name, backbone, side_px = built
    output = backbone(torch.empty(2, 3, side_px, side_px, device="meta"))
    assert output.shape == (2, backbone.features)
    assert FAMILIES[name] in (None, backbone.features)
    assert len(backbone.stages) >= (1 if name in SHAPELESS else 4)
    sides = [stage.side for stage in backbone.stages]
    assert sides == sorted(sides, reverse=True)
    assert len(set(sides)) == len(sides)


def test_stages_hold_each_parameter_once_from_the_stem_on(built):
    name, backbone, _ = built
    order = {id(parameter): i for i, parameter in enumerate(backbone.network.parameters())}
    frozen = [
        {id(p) for module in backbone.stage_modules(upto) for p in module.parameters()}
        for upto in range(len(backbone.stages) + 1)
    ]
    assert all(fewer <= more for fewer, more in pairwise(frozen))
    assert next(iter(order)) in frozen[1] or name == "vit_b_16"  # whose class token comes before its stem
    tail = {id(p) for end in backbone.tail for p in backbone.network.get_submodule(end).parameters()}
    assert not tail & frozen[-1]
    left = {p for p, parameter in backbone.network.named_parameters() if id(parameter) not in tail | frozen[-1]}
    assert left <= {"class_token"}
