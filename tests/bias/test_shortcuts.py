from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from tasks.bias.features import is_container, kind_of, trivial_features
from tasks.bias.shortcuts import Trait, find_traits, trait_findings, trait_statistics

LABELS = np.repeat([0, 1, 2], 20)
RNG = np.random.default_rng


def strongest(traits: list[Trait]) -> dict[int, Trait]:
    """The best trait of each class."""
    return {one.label: one for one in sorted(traits, key=lambda one: one.auc)}


def test_the_feature_that_names_a_class_has_auc_one_and_a_small_p() -> None:
    features = {"noise": RNG(0).normal(size=60), "width": np.where(LABELS == 1, 640.0, 480.0)}
    best = strongest(find_traits(features, LABELS, 40, RNG(0)))
    assert (best[1].kind, best[1].feature, best[1].auc, best[1].images) == ("size", "width", 1.0, 20)
    assert best[1].p_value == pytest.approx(8 / 200)  # never fewer than 199 permutations; eight families
    assert best[1].severity == "error"
    assert best[0].severity is None or best[0].feature == "width"


def test_auc_by_hand_with_ties_and_whichever_way_it_points() -> None:
    # class 0 holds 1, 1, 2 and class 1 holds 2, 3, 3, each ten times: of 9 pairs 8 are won and one is tied
    values = np.repeat([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], 10)
    labels = np.repeat([0, 1], 30)
    for sign in (1, -1):
        found = find_traits({"noise": sign * values}, labels, 20, RNG(0))
        assert [one.auc for one in found] == pytest.approx([8.5 / 9, 8.5 / 9])


def test_small_classes_are_not_tested() -> None:
    labels = np.concatenate([LABELS, np.full(5, 3)])
    found = find_traits({"noise": np.arange(65.0)}, labels, 20, RNG(0))
    assert [one.label for one in found] == [0, 1, 2]


def test_alarms_on_shuffled_labels_are_rare(blobs: Callable[..., np.ndarray]) -> None:
    images = pd.DataFrame({"pixels": np.arange(60), "width": np.arange(60) % 3, "height": 5})
    features = trivial_features(images, blobs(60, 1))
    alarms = 0
    for seed in range(60):
        labels = RNG([5, seed]).permutation(LABELS)
        alarms += min(one.p_value for one in find_traits(features, labels, 99, RNG(seed))) <= 0.05
    assert alarms <= 4  # an eighth of 5 % is this family's share: more than 4 of 60 has a chance below 0.2 %


def test_the_order_of_images_changes_no_number(blobs: Callable[..., np.ndarray]) -> None:
    images = pd.DataFrame({"pixels": np.arange(60), "width": np.arange(60) % 7, "height": 5})
    features, order = trivial_features(images, blobs(60, 1)), RNG(3).permutation(60)
    turned = {name: values[order] for name, values in features.items()}
    assert find_traits(features, LABELS, 99, RNG(0)) == find_traits(turned, LABELS[order], 99, RNG(0))


def test_features_hold_size_and_the_corner_that_has_an_edge() -> None:
    pixels = np.full((2, 64, 64, 3), 100, np.uint8)
    pixels[0, 50:, 56:] = 255
    images = pd.DataFrame({"pixels": [0, 1], "width": [640, 480], "height": [480, 480]})
    features = trivial_features(images, pixels)
    assert features["aspect"].tolist() == [640 / 480, 1.0]
    assert features["bottom_right_edges"][0] > features["bottom_right_edges"][1] == 0
    assert not features.keys() & {"height", "top_left_edges", "bottom_left_edges", "tile_1_1_red"}  # constant
    assert features["tile_4_4_red"][0] == features["tile_4_4_blue"][0] > 100 == features["tile_4_4_red"][1]
    assert features["rim_red"][0] > features["mean_red"][0] > 100


def test_what_the_scan_found_of_a_file_is_a_feature_and_what_is_missing_speaks_for_no_class() -> None:
    images = pd.DataFrame(
        {
            "pixels": [0, 1, 2],
            "width": [10, 20, 10],
            "height": [10, 10, 10],
            "bytes": [100, 400, 100],
            "jpeg_quality": [90.0, 50.0, np.nan],
            "blockiness": [0.1, np.nan, 0.3],
            "format": ["JPEG", "JPEG", "PNG"],
            "camera": ["a", None, None],
            "has_location": pd.array([True, False, None], dtype="boolean"),
        }
    )
    features = trivial_features(images, np.zeros((3, 16, 16, 3), np.uint8))
    assert features["bytes_per_pixel"].tolist() == [1.0, 2.0, 1.0]
    assert features["jpeg_quality"].tolist() == [90.0, 50.0, 101.0]  # no JPEG: better than the best
    assert features["blockiness"].tolist() == [0.1, 0.2, 0.3]
    assert features["format PNG"].tolist() == [0.0, 0.0, 1.0]
    assert features["EXIF camera"].tolist() == features["EXIF location"].tolist() == [1.0, 0.0, 0.0]


def test_noise_is_the_standard_deviation_of_the_grain() -> None:
    grain = RNG(0).normal(128, 6, (200, 200)).round().clip(0, 255).astype(np.uint8)
    pictures = np.stack([np.repeat(grain[..., None], 3, axis=2), np.full((200, 200, 3), 9, np.uint8)])
    images = pd.DataFrame({"pixels": [0, 1], "width": 1, "height": 1})
    assert trivial_features(images, pictures)["noise"] == pytest.approx([6.0, 0.0], abs=0.2)


def test_only_what_is_never_the_subject_is_an_error_and_all_kinds_have_words() -> None:
    traits = [
        Trait(0, 20, "size", "width", 0.99, 0.02),
        Trait(1, 20, "size", "aspect", 0.85, 0.02),
        Trait(1, 20, "tone", "mean_red", 1.0, 0.02),
        Trait(1, 20, "compression", "bytes", 1.0, 0.02),
        Trait(2, 20, "sharpness", "noise", 0.8, 0.02),
        Trait(2, 20, "border", "border", 0.7, 0.06),
        Trait(2, 20, "header", "format PNG", 0.6, 0.02),
    ]
    found = trait_findings(traits, ["a", "b", "c"])
    assert [(one.check, one.subject, one.severity) for one in found] == [
        ("size_gives_class_away", "a", "error"),
        ("compression_gives_class_away", "b", "warn"),
        ("tone_gives_class_away", "b", "warn"),
        ("sharpness_gives_class_away", "c", "info"),
    ]
    assert "likewise b (0.85)" in found[0].message
    assert "unless this is what the class looks like" in found[2].message
    named = [one.name for one in trait_statistics(traits, ["a", "b", "c"])]
    assert named == ["size of a", "size of b", "tone of b", "compression of b", "sharpness of c"]


def test_where_compression_explains_it_the_cause_is_named_and_not_the_bytes() -> None:
    quality = np.where(LABELS == 0, 40.0, 90.0) + RNG(0).normal(0, 0.1, 60)
    features = {"bytes": np.where(LABELS == 0, 10.0, 20.0), "jpeg_quality": quality}
    named = {one.label: one.feature for one in find_traits(features, LABELS, 99, RNG(0)) if one.auc > 0.9}
    assert named == {0: "jpeg_quality"}


@pytest.mark.parametrize("kind", ["border", "size", "header", "compression", "tone", "sharpness"])
def test_every_feature_has_a_kind(kind: str, blobs: Callable[..., np.ndarray]) -> None:
    pictures = blobs(4, 0)
    pictures[0] = cv2.GaussianBlur(pictures[0], (0, 0), 3)
    columns = {"border": [0.0, 0.1, 0, 0], "jpeg_quality": [90.0, 80, 90, 90], "mode": list("LLLR"), "bytes": 1}
    images = pd.DataFrame({"pixels": range(4), "width": range(1, 5), "height": range(5, 9)} | columns)
    names = [name for name in trivial_features(images, pictures) if kind_of(name) == kind]
    assert names
    assert any(is_container(name) for name in names) == (kind not in ("tone", "sharpness"))


def test_features_from_the_cache_are_the_same_to_the_last_bit(blobs: Callable[..., np.ndarray], tmp_path: Path) -> None:
    pixels = blobs(70, 4)
    names = [f"{i:064x}" for i in range(70)]
    images = pd.DataFrame({"pixels": range(70), "width": 64, "height": range(1, 71), "sha256": names})
    plain, some = trivial_features(images, pixels), images.iloc[10:25].reset_index(drop=True)
    trivial_features(some, pixels, tmp_path)
    for cached in (trivial_features(images, pixels, tmp_path), trivial_features(images, pixels, tmp_path)):
        assert cached.keys() == plain.keys()
        assert all(np.array_equal(cached[name], plain[name]) for name in plain)
