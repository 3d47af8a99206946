"""What each strategy freezes, thaws and how fast its parts learn."""

from itertools import pairwise

import pytest
import torch

from tasks.contracts.errors import BadUsage, GraftError
from tasks.train.strategies import (
    BACKBONE_RATE,
    FeatureExtraction,
    FineTuning,
    Scratch,
    fingerprint,
    parameter_groups,
    parts_of,
    require_unmoved,
    set_state,
)
from tests.train.tiny import RECIPE, net, state_hash, train

STAGES = 5


def parts(learned, strategy, epochs: int = 10, source: str = "embedded"):
    return parts_of(learned, strategy, source, epochs)


@pytest.mark.parametrize("upto", [1, 3])
def test_frozen_stages_do_not_move_and_the_rest_does(upto):
    start, learned = net(), net()
    train(learned, FineTuning(upto))
    assert fingerprint(parts(learned, FineTuning(upto))) == fingerprint(parts(start, FineTuning(upto)))
    assert state_hash(learned.backbone.network.layer4) != state_hash(start.backbone.network.layer4)
    ours, theirs = (n.backbone.network.layer4[0].bn1.running_mean for n in (learned, start))
    assert not torch.equal(ours, theirs)


def test_feature_extraction_freezes_the_whole_backbone():
    learned = net()
    set_state(parts(learned, FeatureExtraction()), 0)
    trainable = [name for name, p in learned.named_parameters() if p.requires_grad]
    assert trainable == ["head.2.weight", "head.2.bias"]
    leaves = [part for part in learned.backbone.modules() if not list(part.children())]
    assert not any(part.training for part in leaves)
    assert learned.head[1].training


def test_scratch_trains_everything():
    learned = net()
    set_state(parts(learned, Scratch()), 0)
    assert all(p.requires_grad for p in learned.parameters())


def test_gradual_thawing_starts_at_the_head_and_ends_early():
    learned = net()
    found = parts(learned, FineTuning(1, gradual=True))
    thaws = [part.thaws for part in found]
    assert thaws[0] is None
    assert thaws[1:] == sorted(thaws[1:], reverse=True)
    assert thaws[-1] == 0
    assert thaws[-2] >= 1
    assert max(thaws[1:]) <= 3
    learning = []
    for epoch in range(10):
        set_state(found, epoch)
        learning.append({name for name, p in learned.named_parameters() if p.requires_grad})
    assert all(before <= after for before, after in pairwise(learning))
    assert all(name.startswith("head.") for name in learning[0])
    assert "backbone.network.layer1.0.conv1.weight" in learning[3]
    assert "backbone.network.conv1.weight" not in learning[9]


def test_the_state_of_an_epoch_does_not_depend_on_the_ones_before():
    gradual = FineTuning(1, gradual=True)
    went, jumped = net(), net()
    for epoch in (0, 9, 3):
        set_state(parts(went, gradual), epoch)
    set_state(parts(jumped, gradual), 3)
    for ours, theirs in zip(went.modules(), jumped.modules(), strict=True):
        assert ours.training == theirs.training
    for ours, theirs in zip(went.parameters(), jumped.parameters(), strict=True):
        assert ours.requires_grad == theirs.requires_grad


def test_earlier_stages_learn_more_slowly():
    rates = [part.rate for part in parts(net(), FineTuning(0, layer_decay=0.5), source="torchvision")]
    assert rates == [pytest.approx(0.1 * 0.5**behind) for behind in range(STAGES, -1, -1)] + [1.0]


def test_frozen_batch_norm_keeps_the_statistics_and_trains_the_scale():
    start, learned = net(), net()
    train(learned, FineTuning(0, norms_adapt=False))
    ours, theirs = (n.backbone.network.layer4[0].bn1 for n in (learned, start))
    assert torch.equal(ours.running_mean, theirs.running_mean)
    assert not torch.equal(ours.weight, theirs.weight)


def test_a_pull_keeps_weights_near_their_start():
    start = torch.nn.utils.parameters_to_vector(net().backbone.parameters())
    ways = []
    rate = RECIPE.learning_rate / BACKBONE_RATE["embedded"]  # the pull is a share of the backbone's own
    for pull in (0.0, 50.0):
        learned = net()
        train(learned, FineTuning(0, l2_sp=pull), weight_decay=0.0, learning_rate=rate)
        ways.append((torch.nn.utils.parameters_to_vector(learned.backbone.parameters()) - start).norm())
    assert ways[1] < 0.8 * ways[0]


def test_too_many_frozen_stages_names_the_stages_there_are():
    with pytest.raises(BadUsage, match=r"frozen_stages is 99.*5 stages.*layer4"):
        parts(net(), FineTuning(99))


def test_moved_weights_are_refused():
    learned = net()
    frozen = parts(learned, FeatureExtraction())
    before = fingerprint(frozen)
    learned.backbone.network.bn1.running_mean += 1e-7
    with pytest.raises(GraftError, match="moved"):
        require_unmoved(before, fingerprint(frozen))


def test_weight_decay_spares_norms_and_biases():
    learned = net()
    groups = parameter_groups(parts(learned, FineTuning(0), source="local"), 0.05)
    assert all((p.ndim > 1) == (g["weight_decay"] > 0) for g in groups for p in g["params"])
    assert {g["rate"] for g in groups} == {1.0, 0.1}
    assert sum(len(g["params"]) for g in groups) == len(list(learned.parameters()))
