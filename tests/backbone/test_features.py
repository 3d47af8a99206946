from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.backbone.features import BATCH, Rows, best_device, cached_features, compute_features
from tasks.contracts.errors import BrokenArtifact

BATCH_SIZE = BATCH[best_device().type]


@pytest.fixture
def counted(embedded):
    """The backbone, its reference and a list that grows by the size of each batch it computes."""
    backbone, ref = embedded
    sizes = []

    def note(_module, inputs, _output):
        if not inputs[0].is_meta:  # a trace of shapes computes nothing
            sizes.append(len(inputs[0]))

    backbone.network.register_forward_hook(note)
    return backbone, ref, sizes


def shards(cache):
    return sorted(path for path in cache.rglob("*") if path.is_file())


def test_second_call_computes_nothing(counted, pictures, tmp_path):
    backbone, ref, sizes = counted
    pixels, hashes = pictures(70)
    first = cached_features(backbone, ref, pixels, hashes, tmp_path)
    assert sizes == [BATCH_SIZE] * -(-70 // BATCH_SIZE)
    assert first.shape == (70, backbone.features)
    assert first.dtype == np.float32
    sizes.clear()
    assert np.array_equal(cached_features(backbone, ref, pixels, hashes, tmp_path), first)
    assert sizes == []


def test_one_new_image_costs_one_batch(counted, pictures, tmp_path):
    backbone, ref, sizes = counted
    pixels, hashes = pictures(70)
    old = [i for i in range(70) if i != 13]
    cached_features(backbone, ref, pixels[old], [hashes[i] for i in old], tmp_path)
    sizes.clear()
    together = cached_features(backbone, ref, pixels, hashes, tmp_path)
    assert len(sizes) == 1
    assert together.tobytes() == compute_features(backbone, ref, pixels).tobytes()


def test_row_does_not_depend_on_its_neighbours_or_place(embedded, pictures):
    backbone, ref = embedded
    pixels, _ = pictures(70)
    order = np.random.default_rng(1).permutation(70)
    whole = compute_features(backbone, ref, pixels)
    assert compute_features(backbone, ref, pixels[order]).tobytes() == whole[order].tobytes()
    assert compute_features(backbone, ref, pixels[69:]).tobytes() == whole[69:].tobytes()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.integers(0, 11), max_size=20))
def test_any_order_and_repetition_gives_the_rows_of_the_images(embedded, pictures, tmp_path, order):
    backbone, ref = embedded
    pixels, hashes = pictures(12)
    whole = cached_features(backbone, ref, pixels, hashes, tmp_path / "whole")
    some = cached_features(backbone, ref, pixels[order], [hashes[i] for i in order], tmp_path / "some")
    assert np.array_equal(some, whole[order])


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda _: b"", lambda data: data[:-1] + b"\x01"])
def test_damaged_shard_is_noticed_and_computed_anew(counted, pictures, tmp_path, damage):
    backbone, ref, sizes = counted
    pixels, hashes = pictures(10)
    first = cached_features(backbone, ref, pixels, hashes, tmp_path)
    (shard,) = shards(tmp_path)
    whole = shard.read_bytes()
    shard.write_bytes(damage(whole))
    sizes.clear()
    assert cached_features(backbone, ref, pixels, hashes, tmp_path).tobytes() == first.tobytes()
    assert len(sizes) == 1
    assert [path.read_bytes() for path in shards(tmp_path)] == [whole]


def test_what_features_depend_on_is_in_the_key(counted, pictures, tmp_path):
    backbone, ref, sizes = counted
    pixels, hashes = pictures(3)
    cached_features(backbone, ref, pixels, hashes, tmp_path)
    sizes.clear()
    cached_features(backbone, replace(ref, mean=(0.4, 0.5, 0.5)), pixels, hashes, tmp_path)
    cached_features(backbone, replace(ref, input_px=64), pixels, hashes, tmp_path)
    cached_features(backbone, ref, pixels[:, :40, :40], hashes, tmp_path)
    with torch.no_grad():
        backbone.network.conv1.weight[0, 0, 0, 0] += 1
    cached_features(backbone, ref, pixels, hashes, tmp_path)
    assert len(sizes) == 4
    cached_features(backbone, replace(ref, name="renamed"), pixels, hashes, tmp_path)
    assert len(sizes) == 4


def test_killed_run_leaves_no_half_written_shard(counted, pictures, tmp_path):
    backbone, ref, sizes = counted
    pixels, hashes = pictures(2 * BATCH_SIZE)

    def interrupt(_module, _inputs, _output):
        if len(sizes) == 2:
            raise KeyboardInterrupt

    hook = backbone.network.register_forward_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        cached_features(backbone, ref, pixels, hashes, tmp_path)
    hook.remove()
    assert shards(tmp_path) == []
    cached_features(backbone, ref, pixels, hashes, tmp_path)
    assert len(shards(tmp_path)) == 1


def test_mode_of_the_backbone_is_given_back(embedded, pictures):
    backbone, ref = embedded
    backbone.train()
    before = backbone.network.bn1.running_mean.clone()
    compute_features(backbone, ref, pictures(2)[0])
    assert backbone.training
    assert torch.equal(backbone.network.bn1.running_mean, before)


def test_features_that_are_no_numbers_are_refused(embedded, pictures, tmp_path):
    backbone, ref = embedded
    with torch.no_grad():
        backbone.network.bn1.weight.fill_(1e38)
    with pytest.raises(BrokenArtifact, match="NaN"):
        cached_features(backbone, ref, *pictures(2), tmp_path)
    assert shards(tmp_path) == []


def test_rows_are_a_view_of_the_chosen_images(pictures):
    pixels, _ = pictures(5)
    rows = Rows(pixels, np.array([4, 0]))
    assert rows.shape == (2, 48, 48, 3)
    assert np.array_equal(rows[np.array([1, 0])], pixels[[0, 4]])


def test_no_image_no_work(counted, pictures, tmp_path):
    backbone, ref, sizes = counted
    pixels, _ = pictures(1)
    assert cached_features(backbone, ref, pixels[:0], [], tmp_path).shape == (0, backbone.features)
    assert sizes == []
