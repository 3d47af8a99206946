"""The loop, the strategies and the batches, on a small real network and real (tiny) pictures."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.backbone.layouts import resnet18
from tasks.backbone.network import Backbone, TransferNet
from tasks.contracts.errors import BadData, BadEnvironment, BadUsage, BrokenArtifact, GraftError
from tasks.contracts.records import BackboneRef
from tasks.train.data import FeatureBatches, ImageBatches, Samples, split_evenly
from tasks.train.loop import Recipe, choose_device, fit, learning_rate_at
from tasks.train.model import fresh_net
from tasks.train.strategies import (
    FeatureExtraction,
    FineTuning,
    Scratch,
    fingerprint,
    freeze,
    frozen_modules,
    parameter_groups,
    require_unmoved,
)
from tests.conftest import CLASSES, SIDE_PX, draw

REF = BackboneRef("tiny", "random", "resnet18", "", SIDE_PX, (0.5,) * 3, (0.25,) * 3, 0)


def backbone(seed: int = 0) -> Backbone:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Backbone(resnet18(8, 10), 64)


def pictures(each: int, seed: int) -> tuple[np.ndarray, Samples]:
    rng = np.random.default_rng(seed)
    pixels = np.stack([draw(label, rng) for label in CLASSES for _ in range(each)])
    targets = np.repeat(np.arange(len(CLASSES)), each)
    hashes = tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in pixels)
    return pixels, Samples(np.arange(len(pixels)), targets, np.ones(len(pixels), np.float32), hashes)


def recipe(**changes) -> Recipe:
    values = {"epochs": 3, "batch_size": 16, "learning_rate": 3e-3, "label_smoothing": 0.1, "patience": 5, "seed": 0}
    return Recipe(**(values | changes), device=torch.device("cpu"))


def trained(strategy, augment=None, **changes) -> tuple[TransferNet, tuple]:
    pixels, samples = pictures(20, seed=1)
    val_pixels, val_samples = pictures(8, seed=2)
    net = fresh_net(backbone(), len(CLASSES), 0.2, seed=0)
    net.train()
    freeze(frozen_modules(net, strategy))
    fitted = fit(
        net,
        parameter_groups(net, 1.0, 0.01),
        ImageBatches(samples, pixels, REF, augment),
        ImageBatches(val_samples, val_pixels, REF),
        recipe(**changes),
    )
    return net, fitted


def test_training_learns_and_keeps_the_epoch_of_least_val_loss():
    net, fitted = trained(Scratch(), epochs=8)
    losses = [epoch.val_loss for epoch in fitted.history]
    assert fitted.best_epoch == 1 + int(np.argmin(losses))
    assert fitted.history[fitted.best_epoch - 1].val_accuracy > 0.6
    assert not net.training


def test_early_stopping_ends_the_run():
    _, fitted = trained(Scratch(), epochs=30, learning_rate=1e-9, patience=1)
    assert len(fitted.history) < 30


def test_equal_seeds_give_equal_bytes_and_other_seeds_do_not():
    first, second, other = (fingerprint(trained(Scratch(), seed=seed)[0].modules()) for seed in (0, 0, 1))
    assert first == second != other


@pytest.mark.parametrize("upto", [1, 3])
def test_frozen_stages_do_not_move_and_the_rest_does(upto):
    start = fresh_net(backbone(), len(CLASSES), 0.2, seed=0)
    net, _ = trained(FineTuning(upto))
    frozen = FineTuning(upto)
    assert fingerprint(frozen_modules(net, frozen)) == fingerprint(frozen_modules(start, frozen))
    assert fingerprint(net.backbone.network.layer4.modules()) != fingerprint(start.backbone.network.layer4.modules())
    ours, theirs = (n.backbone.network.layer4[0].bn1.running_mean for n in (net, start))
    assert not torch.equal(ours, theirs)


def test_feature_extraction_freezes_the_whole_backbone():
    net = fresh_net(backbone(), 3, 0.0, seed=0)
    net.train()
    freeze(frozen_modules(net, FeatureExtraction()))
    trainable = [name for name, p in net.named_parameters() if p.requires_grad]
    assert trainable == ["head.2.weight", "head.2.bias"]
    assert not any(part.training for part in net.backbone.modules())
    assert net.head.training


def test_the_head_trains_on_features_alone():
    _, samples = pictures(20, seed=1)
    rng = np.random.default_rng(0)
    features = torch.from_numpy(
        np.eye(3, dtype=np.float32)[samples.targets] + rng.normal(0, 0.1, (60, 3)).astype(np.float32)
    )
    head = torch.nn.Linear(3, 3)
    groups = [{"params": list(head.parameters()), "weight_decay": 0.0, "rate": 1.0}]
    batches = FeatureBatches(samples, features)
    fitted = fit(head, groups, batches, batches, recipe(epochs=20, learning_rate=0.1))
    assert fitted.history[-1].val_accuracy == 1.0


def test_too_many_frozen_stages_names_the_stages_there_are():
    with pytest.raises(BadUsage, match=r"train.frozen_stages is 99.*layer4"):
        frozen_modules(fresh_net(backbone(), 3, 0.0, 0), FineTuning(99))


def test_moved_weights_are_refused():
    net = backbone()
    before = fingerprint(net.modules())
    net.network.bn1.running_mean += 1e-7
    with pytest.raises(GraftError, match="moved"):
        require_unmoved(before, fingerprint(net.modules()))


def test_weight_decay_spares_norms_and_biases():
    net = fresh_net(backbone(), 3, 0.0, 0)
    groups = parameter_groups(net, 0.1, 0.05)
    assert all((p.ndim > 1) == (g["weight_decay"] > 0) for g in groups for p in g["params"])
    assert {g["rate"] for g in groups} == {1.0, 0.1}
    assert sum(len(g["params"]) for g in groups) == len(list(net.parameters()))


def test_a_loss_that_is_no_number_stops_and_says_where():
    with pytest.raises(BadData, match=r"epoch 1, batch \d+; lower train.learning_rate"):
        trained(Scratch(), learning_rate=1e30)


def test_cuda_is_never_replaced_in_silence():
    if torch.cuda.is_available():
        assert choose_device("cuda").type == "cuda"
    else:
        with pytest.raises(BadEnvironment, match="no CUDA GPU"):
            choose_device("cuda")
    assert choose_device("cpu").type == "cpu"


def test_augmentation_depends_on_sample_and_epoch_not_on_order():
    pixels, samples = pictures(4, seed=1)
    seen: dict[int, list[int]] = {}

    def record(image, seed):
        seen.setdefault(int(image.astype(np.int64).sum()), []).append(seed)
        return image

    batches = ImageBatches(samples, pixels, REF, record)
    forwards, backwards = np.arange(len(samples)), np.arange(len(samples))[::-1].copy()
    for order, epoch in ((forwards, 0), (backwards, 0), (forwards, 1)):
        list(batches.epoch(order, 5, seed=0, epoch=epoch))
    assert all(first == second != third for first, second, third in seen.values())
    assert len({seeds[0] for seeds in seen.values()}) == len(samples)


@given(st.integers(2, 500), st.integers(3, 64))
def test_batches_cover_every_sample_once_and_none_is_a_single_image(images, batch_size):
    parts = split_evenly(np.arange(images), batch_size)
    assert np.array_equal(np.concatenate(parts), np.arange(images))
    sizes = [len(part) for part in parts]
    assert max(sizes) <= batch_size
    assert min(sizes) > 1
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(2, 2000))
def test_the_learning_rate_warms_up_to_its_peak_and_falls_to_nothing(total):
    rates = [learning_rate_at(step, total) for step in range(total)]
    assert max(rates) == pytest.approx(1.0)
    assert all(0 <= rate <= 1 for rate in rates)
    peak = int(np.argmax(rates))
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_a_missing_model_is_an_integrity_error(tmp_path):
    from tasks.train.predictor import predict_folder

    with pytest.raises(BrokenArtifact):
        predict_folder(tmp_path, np.zeros((1, 8, 8, 3), np.uint8))
