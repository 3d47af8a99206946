"""Batches: what is in them depends on seed, epoch and sample alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.augment.policy import make_policy
from tasks.contracts.params import AugmentParams
from tasks.train.data import order_of, split_evenly
from tasks.train.mixing import mixed
from tests.conftest import SIDE_PX
from tests.train.tiny import batches


def epoch_of(made, order, epoch: int = 0, size: int = 5):
    return list(made.epoch(split_evenly(order, size), 0, epoch))


def test_augmentation_depends_on_sample_and_epoch_not_on_order():
    seen: dict[int, list[int]] = {}

    def record(image, seed):
        seen.setdefault(int(image.astype(np.int64).sum()), []).append(seed)
        return image

    made = batches(4, augment=record)
    forwards = np.arange(len(made.samples))
    for order, epoch in ((forwards, 0), (forwards[::-1].copy(), 0), (forwards, 1)):
        epoch_of(made, order, epoch)
    assert all(first == second != third for first, second, third in seen.values())
    assert len({seeds[0] for seeds in seen.values()}) == len(made.samples)


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_the_number_of_workers_changes_no_pixel(workers):
    policy = make_policy(AugmentParams(policy="strong", horizontal_flip=True), SIDE_PX)
    alone, many = (batches(10, augment=policy, workers=number) for number in (0, workers))
    order = order_of(alone.samples, "shuffled", 3, 1)
    for ours, theirs in zip(epoch_of(many, order), epoch_of(alone, order), strict=True):
        assert torch.equal(ours.inputs, theirs.inputs)
        assert torch.equal(ours.targets, theirs.targets)


def test_an_abandoned_epoch_leaves_no_thread_at_work():
    import threading

    made = batches(20, workers=4)
    running = iter(made.epoch(split_evenly(np.arange(60), 3), 0, 0))
    next(running)
    running.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


@given(st.integers(2, 500), st.integers(3, 64))
def test_batches_cover_every_sample_once_and_none_is_a_single_image(images, batch_size):
    parts = split_evenly(np.arange(images), batch_size)
    assert np.array_equal(np.concatenate(parts), np.arange(images))
    sizes = [len(part) for part in parts]
    assert max(sizes) <= batch_size
    assert min(sizes) > 1
    assert max(sizes) - min(sizes) <= 1


def test_balanced_sampling_gives_every_class_and_every_cell_its_share():
    from dataclasses import replace

    samples = batches(100).samples
    rare = np.r_[np.arange(100), np.arange(100, 110), np.arange(200, 210)]
    few = replace(samples, targets=samples.targets[rare], groups=samples.groups[rare], rows=samples.rows[rare])
    orders = [
        np.concatenate([order_of(few, how, 0, e) for e in range(50)]) for how in ("class_balanced", "group_balanced")
    ]
    for order, cells in zip(orders, (few.targets, few.groups), strict=True):
        shares = np.bincount(cells[order]) / len(order)
        assert shares == pytest.approx(1 / len(shares), abs=0.02)
    assert np.array_equal(np.sort(order_of(few, "shuffled", 0, 0)), np.arange(len(few)))


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.5, 0.0), (0.0, 1.0), (0.5, 1.0)])
def test_mixed_images_are_made_of_two_and_know_their_shares(mixup, cutmix):
    (batch,) = epoch_of(batches(4), np.arange(12), size=12)
    for seed in range(5):
        torch.manual_seed(seed)
        made = mixed(batch, mixup, cutmix)
        torch.manual_seed(seed)
        again = mixed(batch, mixup, cutmix)
        assert torch.equal(made.inputs, again.inputs)
        assert set(made.partners.tolist()) <= set(batch.targets.tolist())
        share = float(made.shares[0])
        assert 0 <= share <= 1
        assert not torch.equal(made.inputs, batch.inputs) or share == 1
    assert mixed(batch, 0.0, 0.0) is batch


def test_what_a_cut_leaves_is_the_share_of_the_loss():
    (batch,) = epoch_of(batches(4), np.arange(12), size=12)
    torch.manual_seed(1)
    made = mixed(batch, 0.0, 1.0)
    kept = (made.inputs == batch.inputs).all(dim=1).float().mean(dim=(1, 2))
    assert float(kept.min()) == pytest.approx(float(made.shares[0]), abs=0.02)
