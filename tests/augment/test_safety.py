from dataclasses import replace

import numpy as np
import pytest

from benchmarks import turning
from tasks.augment import safety as module
from tasks.augment.policy import Policy
from tasks.augment.records import LabelSafety
from tasks.augment.refusal import worst_changes
from tasks.augment.safety import MOST_CLASSES, MOST_OF_A_CLASS, examine, sampled
from tests.augment.conftest import Examine, given

H_FLIP = {"transform": "HorizontalFlip", "p": 0.5}
V_FLIP = {"transform": "VerticalFlip", "p": 0.5}
HALF_TURN = {"transform": "Affine", "rotate": (180.0, 180.0), "p": 0.5}
HARDER = (
    {"transform": "GaussNoise", "std_range": (0.1, 0.3), "p": 0.5},
    {"transform": "GaussianBlur", "sigma_limit": (1.0, 4.0), "p": 0.5},
)
HUE = {"transform": "ColorJitter", "hue": 1 / 3, "p": 0.5}


def bad(safety: LabelSafety) -> dict[str, tuple[str, str]]:
    """Rule -> the two classes of its worst case."""
    return {change.rule: (change.label, change.becomes) for change in worst_changes(safety)}


def only(pictures: turning.Pictures, *labels: str) -> turning.Pictures:
    """The pictures of some classes."""
    kept = [row for row, label in enumerate(pictures.labels) if label in labels]
    return replace(pictures, pixels=pictures.pixels[kept], labels=tuple(pictures.labels[row] for row in kept))


@pytest.fixture(scope="module")
def arrows() -> turning.Pictures:
    return turning.arrows(40, seed=0)


@pytest.mark.parametrize("transform", [H_FLIP, HALF_TURN])
def test_an_arrow_that_is_mirrored_or_turned_is_the_other_arrow(examined: Examine, arrows, transform: dict) -> None:
    safety = examined(arrows, transform)
    assert set(next(iter(bad(safety).values()))) == {"left", "right"}
    assert (safety.offered is None) == (transform is H_FLIP)
    both = [change for change in safety.changes if change.changes_label]
    assert {change.label for change in both} == {"left", "right"}
    assert all(change.share.n >= 30 and change.share.p_value < 0.01 and change.share.low > 0.1 for change in both)


def test_an_arrow_that_stands_on_its_head_keeps_its_label(examined: Examine, arrows) -> None:
    assert bad(examined(arrows, V_FLIP)) == {}


def test_noise_and_blur_make_arrows_harder_and_are_no_reason_to_refuse(examined: Examine, arrows) -> None:
    assert bad(examined(arrows, *HARDER)) == {}


def test_a_label_that_says_nothing_of_the_direction_survives_the_mirror(examined: Examine, arrows) -> None:
    shapes = turning.shapes(30, seed=0)
    safety = examined(shapes, H_FLIP, V_FLIP)
    assert bad(safety) == {}
    assert len({change.label for change in safety.changes}) == 3


def test_a_six_on_its_head_is_a_nine_and_two_mirrors_make_that_turn(examined: Examine) -> None:
    digits = only(turning.digits_by_font(30, seed=0), "6", "9")
    found = bad(examined(digits, H_FLIP, V_FLIP))
    assert list(found) == ["HorizontalFlip+VerticalFlip"]
    assert set(found["HorizontalFlip+VerticalFlip"]) == {"6", "9"}


def test_a_hue_that_turns_one_fruit_into_another_is_found_and_a_shade_is_not(examined: Examine) -> None:
    fruit = only(turning.fruit(30, seed=0), "red", "yellow")
    assert "ColorJitter.hue" in bad(examined(fruit, {**HUE, "hue": 1 / 6}))
    assert bad(examined(fruit, {**HUE, "hue": 0.02})) == {}


def test_a_small_class_is_said_to_be_too_small_and_never_safe(examined: Examine, arrows) -> None:
    few = replace(arrows, pixels=arrows.pixels[:47], labels=arrows.labels[:47])  # seven right arrows
    safety = examined(few, H_FLIP)
    assert [(one.name, one.status, one.value) for one in safety.unknown] == [("right", "too_small", None)]
    assert safety.changes == ()
    assert safety.offered is None


def test_classes_that_cannot_be_told_apart_are_not_measurable(examined: Examine, arrows) -> None:
    shuffled = tuple(np.random.default_rng(1).permutation(arrows.labels).tolist())
    safety = examined(replace(arrows, labels=shuffled), H_FLIP)
    assert {one.status for one in safety.unknown} == {"not_measurable"}
    assert all(one.value is None and "recognised" in one.estimator for one in safety.unknown)


def test_equal_input_gives_an_equal_table_and_says_what_a_flip_would_do(examined: Examine, arrows) -> None:
    first = examined(arrows, V_FLIP)
    assert first == examined(arrows, V_FLIP)
    assert first.offered is not None
    assert first.offered.value < 0.3  # mirrored arrows are no longer recognised


def test_the_sample_is_bounded_and_depends_on_labels_alone() -> None:
    labels = [f"class {row % 30}" for row in range(30 * 150)]
    rows = sampled(labels)
    chosen = [labels[row] for row in rows]
    assert len(set(chosen)) == MOST_CLASSES
    assert {chosen.count(label) for label in set(chosen)} == {MOST_OF_A_CLASS}
    assert set(chosen) == {labels[::-1][row] for row in sampled(labels[::-1])}


def test_a_change_that_was_seen_is_not_made_again(arrows, tmp_path, monkeypatch) -> None:
    made, compute = [], module.compute_features
    monkeypatch.setattr(module, "compute_features", lambda *args: made.append(len(args[2])) or compute(*args))
    pictures = given(arrows)
    first = examine(pictures, Policy("own", HARDER, turning.SIDE_PX), tmp_path, 0)
    assert sum(made) > len(arrows.labels)
    seen, made[:] = sum(made), []
    assert examine(pictures, Policy("own", HARDER, turning.SIDE_PX), tmp_path, 0) == first
    assert made == []
    examine(pictures, Policy("own", HARDER, turning.SIDE_PX), tmp_path, 1)  # another seed, other changes
    assert sum(made) == seen
