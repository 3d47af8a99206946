import pandas as pd
import pytest

from tasks.bias import representation
from tasks.contracts.records import SPLITS


def table(cells: dict[tuple[str, str, str | None], int]) -> pd.DataFrame:
    """One row for each image: (label, split, group) -> how many."""
    rows = [cell for cell, n in cells.items() for _ in range(n)]
    return pd.DataFrame(rows, columns=["label", "split", "group"])


def test_composition_counts_by_label_and_group_and_keeps_an_empty_class() -> None:
    images = table({("cat", "train", "x"): 3, ("cat", "val", "y"): 1, ("dog", "train", "x"): 2})
    assert representation.composition(images, ("cat", "dog", "emu"), 1) == {
        "cat": {"x": 3, "y": 1},
        "dog": {"x": 2},
        "emu": {},
    }


def test_small_numbers_are_held_back_with_what_would_tell_them() -> None:
    images = table({("a", "train", "x"): 3, ("a", "train", "y"): 20, ("b", "train", "x"): 9, ("b", "train", "y"): 8})
    assert representation.composition(images, ("a", "b"), 5) == {
        "a": {"x": None, "y": None},
        "b": {"x": None, "y": None},
    }


def test_without_groups_all_images_stand_together() -> None:
    assert representation.composition(table({("cat", "train", None): 3}), ("cat",), 5) == {"cat": {"all": 3}}


def test_more_than_twenty_groups_are_persons_and_stand_together_without_their_names() -> None:
    cells = {("cat", "train", f"p{i:03}"): 1 + (i < 3) for i in range(120)}
    assert representation.composition(table(cells), ("cat",), 1) == {"cat": {"120 groups": 123}}
    some = table({**cells, ("cat", "val", None): 7, ("dog", "val", "p000"): 9})
    assert representation.composition(some, ("cat", "dog"), 5) == {
        "cat": {"120 groups": 123, "all": 7},
        "dog": {"120 groups": 9},
    }
    # of a class of three nothing is told that its size does not tell
    few = table({**cells, ("dog", "val", "p000"): 3})
    assert representation.composition(few, ("cat", "dog"), 5)["dog"] == {"120 groups": 3}
    twenty = table({("cat", "train", f"p{i:03}"): 6 for i in range(20)})
    assert len(representation.composition(twenty, ("cat",), 5)["cat"]) == 20


def test_imbalance_is_largest_over_smallest_on_train_only() -> None:
    images = table({("cat", "train", None): 12, ("dog", "train", None): 3, ("dog", "test", None): 99})
    ratio = representation.imbalance_ratio(representation.split_sizes(images, ("cat", "dog")))
    assert (ratio.value, ratio.n, ratio.status) == (4.0, 15, "measured")


def test_imbalance_without_a_training_image_is_not_measurable_rather_than_zero() -> None:
    sizes = representation.split_sizes(table({("cat", "train", None): 12}), ("cat", "dog"))
    assert representation.imbalance_ratio(sizes).value is None
    assert representation.imbalance_ratio(sizes).status == "not_measurable"


@pytest.mark.parametrize("split", SPLITS)
def test_a_class_missing_from_a_split_is_found(split: str) -> None:
    images = table({(label, s, None): 4 for label in "ab" for s in SPLITS if (label, s) != ("b", split)})
    found = representation.findings(representation.split_sizes(images, ("a", "b")))
    assert [(one.check, one.subject, one.severity) for one in found] == [
        ("missing_class", "b", "error" if split == "train" else "warn")
    ]
