from collections.abc import Callable

import numpy as np
import pytest

from tasks.bias.trivial import Score, Split, model_findings, thumbnails, trivial_model
from tasks.contracts.records import Statistic


def split_of(pixels: np.ndarray, labels: np.ndarray, rows: slice) -> Split:
    """Thumbnails of some pictures, each a group of its own."""
    numbers = np.arange(len(pixels))[rows]
    return Split(thumbnails(pixels, numbers), labels[rows], numbers.astype(str))


def test_a_trivial_model_learns_colour_and_nothing_else(blobs: Callable[..., np.ndarray]) -> None:
    pixels = blobs(120, 2)
    labels = np.tile(["blue", "grey"], 60)
    pixels[labels == "blue", ..., 2] = 255
    score = trivial_model("thumbnails", split_of(pixels, labels, slice(80)), split_of(pixels, labels, slice(80, None)))
    assert (score.within.value, score.within.n) == (1.0, 80)
    assert (score.across.value, score.across.n, score.across.high) == (1.0, 40, 1.0)
    assert score.across.low == pytest.approx(40 / (40 + 1.959964**2))  # Wilson at 40 of 40
    assert score.majority_across == 0.5
    assert score.across.p_value == pytest.approx(32 * 0.5**40)  # two models, two rates, eight families
    assert not score.falls
    shuffled = np.random.default_rng(0).permutation(labels)
    chance = trivial_model("t", split_of(pixels, shuffled, slice(80)), split_of(pixels, shuffled, slice(80, None)))
    assert 0.2 < (chance.across.value or 0.0) < 0.8


def test_what_holds_in_train_alone_falls_and_is_said(blobs: Callable[..., np.ndarray]) -> None:
    pixels = blobs(120, 3)
    labels = np.tile(["blue", "grey"], 60)
    pixels[:80][labels[:80] == "blue", ..., 2] = 255  # and in val there is none of it
    score = trivial_model("thumbnails", split_of(pixels, labels, slice(80)), split_of(pixels, labels, slice(80, None)))
    assert score.falls
    assert [(one.check, one.severity) for one in model_findings([score])] == [("trivial_model_falls", "warn")]


def test_other_class_shares_in_val_are_no_fall() -> None:
    """Class a looks like b four times of ten, in train as in val: of many a, a smaller share is named rightly."""

    def drawn(a: int, b: int, seed: int) -> Split:
        labels = np.repeat(["a", "b"], [a, b])
        alike = np.random.default_rng(seed).random(a + b) < 0.4
        inputs = ((labels == "b") | alike).astype(float)[:, None]
        return Split(inputs, labels, np.arange(a + b).astype(str))

    score = trivial_model("numbers", drawn(150, 150, 0), drawn(900, 100, 1))
    assert (score.within.low or 0.0) > (score.across.high or 1.0) + 0.05
    assert [one.check for one in model_findings([score])] == []
    within, across = score.balanced or (score.within, score.across)
    assert (within.value, across.value) == (pytest.approx(0.8, abs=0.06), pytest.approx(0.8, abs=0.06))
    assert across.n == 1000


def test_images_of_one_group_are_never_on_both_sides() -> None:
    # each group has its own place, and neighbouring groups have the other label: only a copy would help
    groups = np.repeat(np.arange(20), 5)
    inputs = np.eye(20)[groups]
    labels = np.random.default_rng(1).permutation(np.repeat(["a", "b"], 10))[groups]
    split = Split(inputs, labels, groups.astype(str))
    apart = trivial_model("places", split, split).within
    mixed = trivial_model("places", Split(inputs, labels, np.arange(100).astype(str)), split).within
    assert mixed.value == 1.0
    assert (apart.value or 0.0) < 0.7


def test_without_validation_images_it_is_not_measurable(blobs: Callable[..., np.ndarray]) -> None:
    labels = np.array(list("abab"))
    pixels = blobs(4, 3)
    score = trivial_model("thumbnails", split_of(pixels, labels, slice(4)), split_of(pixels, labels, slice(0)))
    assert (score.across.value, score.across.n, score.across.status) == (None, 0, "not_measurable")
    assert (score.within.value, score.within.status) == (None, "too_small")


def test_the_trivial_model_is_mentioned_only_where_it_is_more_than_chance() -> None:
    sure, unsure = (Statistic("accuracy", 0.6, 100, 0.5, 0.7, p_value=p_value) for p_value in (0.05, 0.06))
    assert [one.severity for one in model_findings([Score("x", sure, sure, 0.25, 0.25)])] == ["info"]
    assert model_findings([Score("x", unsure, unsure, 0.55, 0.55)]) == []
