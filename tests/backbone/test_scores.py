from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import RidgeClassifierCV
from sklearn.preprocessing import StandardScaler

from tasks.backbone.network import to_input
from tasks.backbone.random_control import clouds, random_control
from tasks.backbone.rows import state_sha256
from tasks.backbone.scores import assign_folds, probe_scores, settle_batch_norm, thumbnails
from tasks.backbone.weights import build_network


def blobs(count: int, width: int, distance: float, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = np.arange(count) % classes
    return (rng.normal(size=(count, width)) + distance * rng.normal(size=(classes, width))[targets]), targets


def alone(count: int) -> list[str]:
    return [str(i) for i in range(count)]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=60),
    st.integers(2, 6),
    st.integers(0, 5),
)
def test_groups_never_cross_folds(images, folds, seed):
    targets, groups = np.array([target for target, _ in images]), [str(group) for _, group in images]
    fold_of = assign_folds(targets, groups, folds, seed)
    assert all(len({fold_of[i] for i, one in enumerate(groups) if one == group}) == 1 for group in groups)
    assert set(fold_of) == set(range(min(folds, len(set(groups)))))


@given(st.lists(st.integers(0, 3), min_size=12, max_size=60), st.integers(2, 6), st.integers(0, 5))
def test_without_groups_every_class_is_spread_evenly(labels, folds, seed):
    targets = np.array(labels)
    fold_of = assign_folds(targets, alone(len(targets)), folds, seed)
    for target in set(labels):
        counts = np.bincount(fold_of[targets == target], minlength=folds)
        assert counts.max() - counts.min() <= 1


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 40)), min_size=1, max_size=60),
    st.integers(1, 5),
    st.integers(0, 5),
)
def test_each_group_goes_where_fewest_of_its_classes_are(images, folds, seed):
    targets, groups = np.array([target for target, _ in images]), [str(group) for _, group in images]
    names, group_of = np.unique(groups, return_inverse=True)
    members = np.zeros((len(names), 4), int)
    np.add.at(members, (group_of, targets), 1)
    filled, expected = np.zeros((min(folds, len(names)), 4), int), np.zeros(len(names), int)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    for group in shuffled[np.argsort(-members[shuffled].sum(axis=1), kind="stable")]:
        expected[group] = np.lexsort((filled.sum(axis=1), filled @ members[group]))[0]
        filled[expected[group]] += members[group]
    assert np.array_equal(assign_folds(targets, groups, folds, seed), expected[group_of])


def test_folds_follow_the_seed():
    targets = np.arange(30) % 3
    first = assign_folds(targets, alone(30), 5, 0)
    assert np.array_equal(first, assign_folds(targets, alone(30), 5, 0))
    assert not np.array_equal(first, assign_folds(targets, alone(30), 5, 1))


def test_separable_classes_are_told_apart_and_noise_is_not():
    features, targets = blobs(150, 20, distance=3.0)
    fold_of = assign_folds(targets, alone(150), 5, 0)
    good = probe_scores(features, targets, fold_of)
    assert good.accuracy.value == 1.0
    assert good.fold_accuracies == (1.0,) * 5
    assert good.right.all()
    noise = probe_scores(blobs(150, 20, distance=0.0)[0], targets, fold_of)
    assert noise.accuracy.low < 1 / 3 < noise.accuracy.high


def test_accuracy_counts_every_image_once():
    features, targets = blobs(91, 8, distance=0.6)
    fold_of = assign_folds(targets, alone(91), 4, 0)
    probe = probe_scores(features, targets, fold_of)
    sizes = np.bincount(fold_of)
    assert probe.accuracy.n == 91
    assert probe.accuracy.value == probe.right.mean() == pytest.approx(np.dot(sizes, probe.fold_accuracies) / 91)


@pytest.mark.parametrize(("width", "distance"), [(12, 0.35), (400, 0.1)])  # fewer and more features than images
def test_same_answers_as_scikit_learn(width, distance):
    features, targets = blobs(120, width, distance)
    fold_of = assign_folds(targets, alone(120), 3, 0)
    right = np.zeros(120, bool)
    for fold in range(3):
        seen = fold_of != fold
        scale = StandardScaler().fit(features[seen])
        model = RidgeClassifierCV(width * 10.0 ** np.arange(-3, 3)).fit(scale.transform(features[seen]), targets[seen])
        right[~seen] = model.predict(scale.transform(features[~seen])) == targets[~seen]
    assert 0.4 < right.mean() < 1
    assert np.array_equal(probe_scores(features, targets, fold_of).right, right)


def test_scale_and_dead_features_do_not_matter():
    features, targets = blobs(90, 10, distance=0.5)
    fold_of = assign_folds(targets, alone(90), 3, 0)
    other = np.hstack([features * 1e6, np.full((90, 2), 7.0)]).astype(np.float32)
    assert probe_scores(other, targets, fold_of).accuracy.value == pytest.approx(
        probe_scores(features, targets, fold_of).accuracy.value, abs=0.03
    )


def test_class_with_a_single_image_is_missed_and_breaks_nothing():
    features, targets = blobs(61, 10, distance=3.0)
    targets = np.where(np.arange(61) == 60, 3, targets)
    probe = probe_scores(features, targets, assign_folds(targets, alone(61), 5, 0))
    assert not probe.right[60]
    assert probe.accuracy.value >= 58 / 61


def test_training_part_of_one_class():
    probe = probe_scores(np.eye(2), np.array([0, 1]), np.array([0, 1]))
    assert probe.accuracy.value == 0.0


def test_one_group_is_not_measurable():
    targets = np.array([0, 1, 0, 1])
    probe = probe_scores(np.eye(4), targets, assign_folds(targets, ["a"] * 4, 5, 0))
    assert (probe.accuracy.value, probe.accuracy.status) == (None, "not_measurable")


@settings(max_examples=10)
@given(st.integers(1, 70))
def test_thumbnail_is_the_mean_of_its_blocks(count):
    pixels = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    expected = pixels.reshape(count, 16, 2, 16, 2, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2).reshape(count, -1)
    assert np.allclose(thumbnails(pixels), expected, atol=1e-4)


def test_batch_norm_of_a_random_network_is_settled_on_the_images(embedded, pictures):
    ref = replace(embedded[1], source="random")
    backbone = build_network(ref, 5)
    pixels, _ = pictures(64)
    settle_batch_norm(backbone, ref, pixels)
    with torch.inference_mode():
        maps = backbone.network.conv1(to_input(torch.from_numpy(pixels), ref.input_px, ref.mean, ref.std))
    assert torch.allclose(backbone.network.bn1.running_mean, maps.mean(dim=(0, 2, 3)), atol=1e-4)
    assert not any(module.training for module in backbone.modules())


def test_the_random_control_is_the_same_network_whatever_the_data_and_settled_once(embedded, tmp_path, monkeypatch):
    ref, settled = replace(embedded[1], input_px=32), []
    monkeypatch.setattr(
        "tasks.backbone.random_control.settle_batch_norm",
        lambda *args: settled.append(args[1].name) or settle_batch_norm(*args),
    )
    places = ((5, "a"), (5, "b"), (5, "a"), (6, "a"))
    found = [random_control(ref, seed, tmp_path / place) for seed, place in places]
    assert {(blank.source, blank.name) for _, blank in found} == {("random", f"{ref.name} with random weights")}
    first, elsewhere, again, other = (state_sha256(network) for network, _ in found)
    assert first == elsewhere == again != other
    assert len(settled) == 3
    assert not any(module.training for network, _ in found for module in network.modules())
    pictures = clouds(3, 32)
    assert pictures.shape == (3, 32, 32, 3)
    assert np.array_equal(pictures, clouds(5, 32)[:3])
    assert all(np.ptp(picture) > 30 for picture in pictures)


def test_settling_works_for_one_image(embedded, pictures):
    ref = replace(embedded[1], source="random")
    backbone = build_network(ref, 5)
    settle_batch_norm(backbone, ref, pictures(1)[0])
    assert all(torch.isfinite(tensor).all() for tensor in backbone.state_dict().values())
