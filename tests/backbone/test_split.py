"""A network cut behind its frozen stages gives what the whole gives, and trains as the whole does."""

import copy

import pytest
import torch
from torch import Tensor, nn

from tasks.backbone.network import Backbone, TransferNet
from tasks.backbone.split import CannotSplit, Trunk, split
from tasks.backbone.threads import fitting_threads
from tasks.contracts.errors import BadUsage
from tasks.train.strategies import FineTuning, parts_of, set_state
from tests.backbone.test_freeze import SMALL


def net_of(family: str) -> tuple[TransferNet, int]:
    make, side_px = SMALL[family]
    torch.manual_seed(0)
    return TransferNet(Backbone(make(), side_px), 2, 0.0), side_px


class Skip(nn.Module):
    """What passes by the end of the second stage: the images themselves, or what the first stage gave."""

    def __init__(self, of_images: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width, 3, 3, 2, 1) for width in (3, 3, 3))
        self.fc = nn.Linear(3, 7)
        self.of_images = of_images

    def forward(self, images: Tensor) -> Tensor:
        first = self.convs[0](images)
        last = self.convs[2](self.convs[1](first))
        return self.fc(last.mean((2, 3)) + (images if self.of_images else first).mean((2, 3)))


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("family", SMALL)
def test_both_parts_give_the_bits_of_the_whole(family, autocast):
    net, side_px = net_of(family)
    stages = len(net.backbone.stages)
    images = torch.rand(3, 3, side_px, side_px)
    for upto in {stages // 2} if autocast or side_px == 299 else {1, stages // 2, stages}:
        trunk, rest = split(net, upto, autocast)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            rows = trunk(images)
            assert rows.shape == (3, trunk.width)
            assert autocast or rows.dtype == torch.float32
            stored = rows.float()  # what a cache hands back
            assert torch.equal(rest.eval()(stored), net.eval()(images))


def test_rest_trains_the_very_parameters_of_the_net():
    net, side_px = net_of("resnet")
    set_state(parts_of(net.eval(), FineTuning(3), "embedded", 1), 0)
    other = copy.deepcopy(net)
    trunk, rest = split(net, 3, autocast=False)
    images, targets = torch.rand(8, 3, side_px, side_px), torch.arange(8) % 2
    assert net.backbone.network.layer4.training  # the check gave modes back
    assert not net.backbone.network.layer1.training
    for module, given in ((other, images), (rest, trunk(images))):
        optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], 1e-2)
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(given), targets).backward()
            optimizer.step()
    for (name, ours), theirs in zip(net.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name


def test_rest_has_nothing_of_the_frozen_stages_and_fits_the_training_loop():
    net, side_px = net_of("resnet")
    trunk, rest = split(net, 3, autocast=False)
    parts = parts_of(net, FineTuning(3), "embedded", 1)
    frozen = {p for part in parts if part.thaws is None for p in part.parameters()}
    assert set(rest.parameters()) == set(net.parameters()) - frozen
    with fitting_threads(rest, (16, trunk.width)):
        rest(trunk(torch.rand(16, 3, side_px, side_px)))
    names = set(rest.state_dict())
    assert "head.2.weight" in names
    assert {name for name in names if name.startswith("network")} == {
        name.removeprefix("backbone.") for name in net.state_dict() if "layer3" in name or "layer4" in name
    }


def test_trunk_stays_as_it_was_when_the_net_moves_on():
    net, side_px = net_of("resnet")
    trunk, _ = split(net, 2, autocast=False)
    images = torch.rand(2, 3, side_px, side_px)
    before, key = trunk(images), trunk.weights_sha256
    with torch.no_grad():
        net.backbone.network.conv1.weight += 1
    assert torch.equal(trunk.train()(images), before)
    assert Trunk(net.backbone, 2, autocast=False).weights_sha256 != key


def test_key_of_a_trunk_is_of_its_own_stages_alone():
    net, _ = net_of("resnet")
    before = [Trunk(net.backbone, upto, autocast=False).weights_sha256 for upto in (2, 5)]
    with torch.no_grad():
        net.backbone.network.layer4[0].bn1.running_mean += 1
    after = [Trunk(net.backbone, upto, autocast=False).weights_sha256 for upto in (2, 5)]
    assert before[0] == after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize("of_images", [True, False])
def test_what_passes_by_the_end_of_the_trunk_is_refused(of_images):
    net = TransferNet(Backbone(Skip(of_images), 32), 2)
    with pytest.raises(CannotSplit, match=r"Skip cannot be cut behind convs.1") as caught:
        split(net, 2, autocast=False)
    assert str(caught.value).isprintable()
    assert all(module.training for module in net.modules())


class Noisy(nn.Module):
    """Gives other numbers at each call: nothing that its parts could be held against."""

    def __init__(self) -> None:
        super().__init__()
        self.convs, self.fc = nn.Sequential(nn.Conv2d(3, 3, 3, 2, 1), nn.Conv2d(3, 3, 3, 2, 1)), nn.Linear(3, 7)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.convs[0](images)
        return self.fc(self.convs[1](maps + torch.rand_like(maps)).mean((2, 3)))


def test_parts_that_give_other_logits_are_refused():
    with pytest.raises(CannotSplit, match="other logits"):
        split(TransferNet(Backbone(Noisy(), 32, feature_stages=1), 2), 1, autocast=False)


@pytest.mark.parametrize("stages", [0, 6])
def test_a_trunk_of_no_such_stages_is_refused(stages):
    with pytest.raises(BadUsage, match="1 to 5 stages"):
        split(net_of("resnet")[0], stages, autocast=False)


def test_rows_of_mixed_precision_take_half_the_room():
    net, side_px = net_of("resnet")
    assert Trunk(net.backbone, 1, autocast=True)(torch.rand(1, 3, side_px, side_px)).dtype == torch.bfloat16
