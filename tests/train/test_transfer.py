"""Strategies carried out, from images to a network: caches change the cost and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tasks.augment.policy import make_policy
from tasks.backbone.features import FOLDER
from tasks.contracts.params import AugmentParams
from tasks.train.data import ImageBatches
from tasks.train.forward import worst_group_accuracy
from tasks.train.strategies import FeatureExtraction, FineTuning, Scratch
from tasks.train.transfer import Task, transfer
from tests.conftest import SIDE_PX
from tests.train.tiny import HEAD, RECIPE, REF, pictures, state_hash


def task(folder, policy: str = "none", **changes) -> Task:
    train_pixels, train = pictures(12, seed=1)
    val_pixels, val = pictures(5, seed=2)
    values = {
        "root": folder,
        "cache": folder / "cache",
        "checkpoints": folder / "checkpoints",
        "backbone": REF,
        "head": HEAD,
        "train": train,
        "val": replace(val, rows=val.rows + len(train)),
        "pixels": np.concatenate([train_pixels, val_pixels]),
        "policy": make_policy(AugmentParams(policy=policy), SIDE_PX),
        "recipe": RECIPE,
    }
    return Task(**(values | changes))


def shards(folder) -> set[str]:
    return {path.name for path in (folder / "cache" / FOLDER).rglob("*.safetensors")}


def test_the_control_is_another_network_than_the_candidate(tmp_path):
    tuned, scratch = (transfer(task(tmp_path), strategy) for strategy in (FineTuning(1), Scratch()))
    assert tuned.on_val.strategy == "fine_tuning"
    assert scratch.on_val.strategy == "scratch"
    assert state_hash(tuned.net) != state_hash(scratch.net)


def test_a_probe_trains_the_head_alone_and_proves_it(tmp_path):
    found = transfer(task(tmp_path), FeatureExtraction())
    assert [name for name, p in found.net.named_parameters() if p.requires_grad] == ["head.2.weight", "head.2.bias"]
    assert len(found.frozen_sha256) == 64
    assert len(shards(tmp_path)) == 2


@pytest.mark.parametrize("stages", [2, 5], ids=["some", "all"])
def test_frozen_stages_are_computed_once_and_the_losses_stay(tmp_path, monkeypatch, stages):
    strategy = FineTuning(stages)
    cached = transfer(task(tmp_path / "a"), strategy)
    monkeypatch.setattr(Task, "keeps_views", property(lambda _task: False))
    anew = transfer(task(tmp_path / "b"), strategy)
    assert shards(tmp_path / "a")
    assert not shards(tmp_path / "b")
    losses = [[epoch.train_loss for epoch in found.fitted.history] for found in (cached, anew)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert cached.frozen_sha256 == anew.frozen_sha256


def test_stored_views_are_as_many_as_asked_for_and_taken_in_turn(tmp_path):
    few = task(tmp_path, policy="medium", views=2)
    transfer(few, FineTuning(2))
    assert len(shards(tmp_path)) == 3  # two views of train, val as it is
    before = shards(tmp_path)
    transfer(replace(few, checkpoints=tmp_path / "other"), FineTuning(2, l2_sp=0.1))
    assert shards(tmp_path) == before


def test_a_damaged_row_is_computed_anew(tmp_path, capsys):
    found = transfer(task(tmp_path), FeatureExtraction())
    damaged = next((tmp_path / "cache" / FOLDER).rglob("*.safetensors"))
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(bytes(content))
    again = transfer(task(tmp_path, checkpoints=tmp_path / "other"), FeatureExtraction())
    assert "damaged" in capsys.readouterr().err
    assert state_hash(again.net) == state_hash(found.net)


def test_rows_too_many_for_memory_are_read_batch_by_batch(tmp_path, monkeypatch):
    held = transfer(task(tmp_path), FineTuning(2))
    monkeypatch.setattr("tasks.train.transfer.IN_MEMORY_BYTES", 0)
    read = transfer(task(tmp_path, checkpoints=tmp_path / "other"), FineTuning(2))
    assert state_hash(held.net) == state_hash(read.net)


def test_interpolated_weights_are_no_worse_on_val_than_either_end(tmp_path):
    plain = FineTuning(0, probe_first=True)
    tuned = transfer(task(tmp_path), plain)
    mixed = transfer(task(tmp_path, checkpoints=tmp_path / "other"), replace(plain, interpolate=True))
    assert mixed.on_val.val_accuracy >= tuned.on_val.val_accuracy
    assert 0 <= mixed.towards_tuned <= 1


def test_under_group_dro_weights_are_interpolated_for_the_worst_group(tmp_path):
    strategy = FineTuning(0, probe_first=True, interpolate=True)
    given = task(tmp_path, recipe=replace(RECIPE, group_dro=0.1))
    chosen = transfer(given, strategy)
    val = ImageBatches(given.val, given.pixels, given.backbone)
    worst = worst_group_accuracy(chosen.net, val, RECIPE.device)
    for end in (replace(strategy, interpolate=False), FeatureExtraction()):
        other = transfer(replace(given, checkpoints=tmp_path / end.name), end)
        assert worst >= worst_group_accuracy(other.net, val, RECIPE.device)
    called = chosen.net(next(val.epoch([np.arange(len(given.val))], 0, 0)).inputs).argmax(1).numpy()
    right = called == given.val.targets
    assert worst == min(right[given.val.groups == group].mean() for group in set(given.val.groups))


@pytest.mark.parametrize("changes", [{"ema": 0.5}, {}])
def test_a_frozen_zero_keeps_its_sign(tmp_path, monkeypatch, changes):
    """The mean of two negative zeros may be a positive one, which is another hash."""
    build = transfer.__globals__["build_backbone"]

    def with_zero(*arguments):
        made = build(*arguments)
        with torch.no_grad():
            made.network.conv1.weight[0, 0, 0, 0] = -0.0
        return made

    monkeypatch.setattr("tasks.train.transfer.build_backbone", with_zero)
    strategy = FineTuning(2, probe_first=not changes, interpolate=not changes)
    found = transfer(task(tmp_path, policy="light", recipe=replace(RECIPE, epochs=4, **changes)), strategy)
    assert torch.signbit(found.net.backbone.network.conv1.weight[0, 0, 0, 0])


@pytest.mark.parametrize("kind", ["linear", "cosine", "mlp"])
def test_every_head_learns(tmp_path, kind):
    learned = transfer(
        task(tmp_path, head=replace(HEAD, kind=kind, feature_stages=1), recipe=replace(RECIPE, epochs=6)), FineTuning(0)
    )
    losses = [epoch.train_loss for epoch in learned.fitted.history]
    assert losses[-1] < 0.9 * losses[0]
