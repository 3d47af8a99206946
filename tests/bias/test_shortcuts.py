from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from tasks.bias import shortcuts
from tasks.bias.shortcuts import BestFeature, best_features, trivial_features, trivial_model
from tasks.contracts.records import Statistic

LABELS = np.repeat([0, 1, 2], 20)


def test_the_feature_that_names_a_class_has_auc_one_and_a_small_p() -> None:
    rng = np.random.default_rng(0)
    features = {"noise": rng.normal(size=60), "width": np.where(LABELS == 1, 640.0, 480.0)}
    best = {one.label: one for one in best_features(features, LABELS, 40, rng)}
    assert (best[1].feature, best[1].auc, best[1].images) == ("width", 1.0, 20)
    assert best[1].p_value == pytest.approx(1 / 41)


def test_auc_by_hand_with_ties_and_whichever_way_it_points() -> None:
    # class 0 holds 1, 1, 2 and class 1 holds 2, 3, 3, each ten times: of 9 pairs 8 are won and one is tied
    values = np.repeat([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], 10)
    labels = np.repeat([0, 1], 30)
    for sign in (1, -1):
        best = best_features({"x": sign * values}, labels, 20, np.random.default_rng(0))
        assert [one.auc for one in best] == pytest.approx([8.5 / 9, 8.5 / 9])


def test_small_classes_are_not_tested() -> None:
    labels = np.concatenate([LABELS, np.full(5, 3)])
    best = best_features({"x": np.arange(65.0)}, labels, 20, np.random.default_rng(0))
    assert [one.label for one in best] == [0, 1, 2]


def test_alarms_on_shuffled_labels_are_rare(blobs: Callable[..., np.ndarray]) -> None:
    images = pd.DataFrame({"pixels": np.arange(60), "width": np.arange(60) % 3, "height": 5})
    features = trivial_features(images, blobs(60, 1))
    alarms = 0
    for seed in range(60):
        labels = np.random.default_rng([5, seed]).permutation(LABELS)
        best = best_features(features, labels, 40, np.random.default_rng(seed))
        alarms += min(one.p_value for one in best) <= 0.05
    assert alarms <= 8  # 3 are expected; more than 8 has a chance below 1 %


def test_features_hold_size_and_the_corner_that_has_an_edge() -> None:
    pixels = np.full((1, 64, 64, 3), 100, np.uint8)
    pixels[0, 50:, 56:] = 255
    images = pd.DataFrame({"pixels": [0], "width": [640], "height": [480]})
    features = trivial_features(images, pixels)
    assert features["aspect"].tolist() == [640 / 480]
    assert features["bottom_right_edges"][0] > 0
    assert features["top_left_edges"][0] == features["bottom_left_edges"][0] == features["top_right_edges"][0] == 0
    assert features["mean_red"] == features["mean_blue"] > 100


def test_a_trivial_model_learns_colour_and_nothing_else(blobs: Callable[..., np.ndarray]) -> None:
    pixels = blobs(120, 2)
    labels = np.tile(["blue", "grey"], 60)
    pixels[labels == "blue", ..., 2] = 255
    images = pd.DataFrame({"pixels": np.arange(120), "label": labels})
    accuracy = trivial_model(pixels, images[:80], images[80:])
    assert (accuracy.value, accuracy.n, accuracy.high) == (1.0, 40, 1.0)
    assert accuracy.low == pytest.approx(40 / (40 + 1.959964**2))  # Wilson at 40 of 40
    shuffled = images.assign(label=np.random.default_rng(0).permutation(labels))
    assert 0.2 < (trivial_model(pixels, shuffled[:80], shuffled[80:]).value or 0.0) < 0.8


def test_without_validation_images_it_is_not_measurable(blobs: Callable[..., np.ndarray]) -> None:
    images = pd.DataFrame({"pixels": np.arange(4), "label": list("abab")})
    result = trivial_model(blobs(4, 3), images, images[:0])
    assert (result.value, result.n, result.status) == (None, 0, "not_measurable")


def test_only_size_and_shape_raise_a_warning() -> None:
    best = [BestFeature(0, 20, "width", 0.99, 0.01), BestFeature(1, 20, "mean_red", 1.0, 0.01)]
    best += [BestFeature(2, 20, "height", 0.8, 0.01)]
    assert [one.subject for one in shortcuts.feature_findings(best, ["a", "b", "c"])] == ["a"]


def test_the_trivial_model_is_mentioned_only_where_it_beats_the_largest_class() -> None:
    accuracy = Statistic("accuracy", 0.6, 100, 0.5, 0.7)
    assert [one.severity for one in shortcuts.model_findings(accuracy, 0.25)] == ["info"]
    assert shortcuts.model_findings(accuracy, 0.55) == []
