import numpy as np
import pytest

from tasks.augment.likeness import Reference, judge, learn

EACH, WIDTH = 60, 12
TARGETS = np.repeat([0, 1, 2], EACH)
GROUPS = [str(row) for row in range(3 * EACH)]
MEANS = 4.0 * np.eye(3, WIDTH)


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """Three round clouds, some six standard deviations apart, in 12 dimensions."""
    return MEANS[TARGETS] + np.random.default_rng(0).normal(size=(3 * EACH, WIDTH))


@pytest.fixture(scope="module")
def reference(values: np.ndarray) -> Reference:
    return learn(values, TARGETS, GROUPS, seed=0)


def shares(reference: Reference, views: np.ndarray) -> np.ndarray:
    """Of each class, the share that passes for each other: (3, 3)."""
    turned = judge(reference, np.arange(len(TARGETS)), views).turned
    return np.stack([turned[kind == TARGETS].mean(axis=0) for kind in range(3)])


def test_real_pictures_are_recognised_and_pass_for_no_other_class(reference: Reference) -> None:
    assert reference.recognised.mean() > 0.97
    assert reference.confused.mean() < 0.02


def test_two_classes_that_change_places_are_found_and_the_third_is_not(reference: Reference, values) -> None:
    swapped = values + (MEANS[[1, 0, 2]] - MEANS)[TARGETS]
    found = shares(reference, swapped)
    assert min(found[0, 1], found[1, 0]) > 0.25
    found[0, 1] = found[1, 0] = 0
    assert found.max() < 0.05


def test_what_lies_far_from_every_class_passes_for_none(reference: Reference, values) -> None:
    noisy = values + 6 * np.random.default_rng(1).normal(size=values.shape)
    assert shares(reference, noisy).max() < 0.1


def test_a_mark_that_the_change_leaves_behind_tells_the_changed_from_the_real(reference: Reference, values) -> None:
    """All of class 0 lands in class 1, but in a corner of it where few real ones are."""
    corner = MEANS[1] + 1.2 * np.eye(WIDTH)[5] + 0.1 * np.random.default_rng(2).normal(size=values.shape)
    marked = np.where((TARGETS == 0)[:, None], corner, values)
    judged = judge(reference, np.arange(len(TARGETS)), marked)
    assert not judged.kept[TARGETS == 0].any()
    assert shares(reference, marked)[0, 1] < 0.05


def test_a_class_of_one_group_is_never_recognised_by_a_model_that_has_not_seen_it(values) -> None:
    groups = ["one" if target == 0 else group for target, group in zip(TARGETS, GROUPS, strict=True)]
    reference = learn(values, TARGETS, groups, seed=0)
    assert not reference.recognised[TARGETS == 0].any()
    assert shares(reference, values[::-1].copy())[:, 0].max() == 0


def test_a_view_is_judged_by_a_model_that_has_not_seen_its_picture(values) -> None:
    """Labels at random: had the model seen them, it would recognise more than chance."""
    reference = learn(values, np.random.default_rng(3).permutation(TARGETS), GROUPS, seed=0)
    assert reference.recognised.mean() < 0.5
