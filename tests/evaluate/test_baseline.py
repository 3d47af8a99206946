"""The best model that cannot see the subject, on pictures that differ in nothing but their tone."""

import numpy as np
import pandas as pd
import pytest

from tasks.evaluate.baseline import against_baseline, best_baseline
from tasks.evaluate.evaluation import select_test

CLASSES = ("dark", "light")
EACH = {"train": 20, "val": 10, "test": 15}


def workspace(*, gap: int = 90, splits: tuple[str, ...] = ("train", "val", "test")) -> tuple:
    """A checked table and its pixels: noise around a grey that is `gap` levels apart between the classes."""
    rng, rows, pixels = np.random.default_rng(0), [], []
    for split in splits:
        for i in range(EACH[split] + (5 if split == "train" else 0)):
            label = CLASSES[i % 2 if i < EACH[split] else 1]  # train has more light ones
            grey = 80 + gap * (label == "light")
            pixels.append(rng.integers(grey - 20, grey + 20, (24, 24, 3)))
            rows.append((f"{split}/{i}.png", f"{len(rows):064x}", label, split))
    table = pd.DataFrame(rows, columns=["path", "sha256", "label", "split"])
    table = table.assign(verdict="keep", pixels=np.arange(len(rows)), width=24, height=24)
    return table, np.array(pixels, np.uint8)


def test_a_tone_is_enough_where_nothing_else_differs_and_the_candidate_is_held_against_it():
    table, pixels = workspace()
    split = select_test(table, CLASSES)
    found = best_baseline(split, table, pixels)
    assert (found.called == split.targets).all()
    coin = np.eye(2)[np.arange(len(split.targets)) // 2 % 2]
    against = against_baseline(split, coin, found, np.random.default_rng(0), 300)
    assert against.accuracy.value == 1.0
    assert against.accuracy.name == f"accuracy from {found.sees}"
    assert against.difference.high < 0
    assert [(one.check, one.severity) for one in against.findings] == [("worse_than_trivial", "error")]
    equal = against_baseline(split, np.eye(2)[split.targets], found, np.random.default_rng(0), 300)
    assert [(one.check, one.severity) for one in equal.findings] == [("no_gain_over_trivial", "warn")]


@pytest.mark.parametrize(("gap", "splits"), [(0, ("train", "val", "test")), (90, ("train", "test"))])
def test_where_it_learns_nothing_or_val_cannot_tell_the_most_frequent_class_is_named(gap, splits):
    table, pixels = workspace(gap=gap, splits=splits)
    split = select_test(table, CLASSES)
    found = best_baseline(split, table, pixels)
    if gap == 0:  # what it made of noise may have been right by chance on val, never on the test as well
        assert (found.called == split.targets).mean() < 0.8
    else:
        assert set(found.called) == {1}
        assert found.sees.startswith("nothing")


def test_a_candidate_that_is_clearly_better_is_no_finding():
    table, pixels = workspace(splits=("train", "test"))
    split = select_test(table, CLASSES)
    found = best_baseline(split, table, pixels)
    against = against_baseline(split, np.eye(2)[split.targets], found, np.random.default_rng(0), 300)
    assert against.difference.low > 0
    assert against.findings == ()


def test_without_training_images_nothing_is_compared():
    table, pixels = workspace(splits=("test",))
    split = select_test(table, CLASSES)
    against = against_baseline(
        split, np.eye(2)[split.targets], best_baseline(split, table, pixels), np.random.default_rng(0), 300
    )
    assert {against.accuracy.status, against.difference.status} == {"not_measurable"}
    assert against.findings == ()


def test_what_is_remembered_of_pictures_changes_no_answer_and_is_not_looked_at_again(tmp_path):
    table, pixels = workspace()
    split = select_test(table, CLASSES)
    plain, first = best_baseline(split, table, pixels), best_baseline(split, table, pixels, tmp_path)
    again = best_baseline(split, table, np.zeros_like(pixels), tmp_path)
    for found in (first, again):
        assert found.sees == plain.sees
        assert np.array_equal(found.called, plain.called)
