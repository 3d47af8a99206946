import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linprog

from tasks.bias.attributes import examine
from tasks.bias.cells import cells, held_back, tables
from tasks.contracts.records import SPLITS


def table_of(rows: list[tuple[str, str, str | None]], small: int):
    """The one table of (label, split, site) rows."""
    images = pd.DataFrame(rows, columns=["label", "split", "site"])
    levels, _ = examine(images[["site"]], (), 1, np.ones(len(images), bool))
    (found,) = tables(levels, images["label"], images["split"], small)
    return found


def known_range(images: np.ndarray, hidden: np.ndarray, cell: tuple[int, int]) -> tuple[float, float]:
    """What a reader can conclude about a cell from the cells that are told and the margins."""
    places = np.argwhere(hidden)
    lines = [places[:, axis] == i for axis in (0, 1) for i in range(images.shape[axis])]
    held = np.where(hidden, images, 0)
    totals = [*held.sum(axis=1), *held.sum(axis=0)]
    goal = (places == cell).all(axis=1).astype(float)
    ends = [
        linprog(sign * goal, A_eq=np.array(lines, float), b_eq=totals, bounds=(0, None), method="highs").fun
        for sign in (1, -1)
    ]
    return ends[0], -ends[1]


def test_a_single_small_cell_takes_three_others_with_it_by_hand():
    images = np.array([[3, 20, 30], [9, 8, 40], [50, 60, 70]])
    # alone, 3 = row total - 20 - 30; with the cheapest other row and column it can trade with 20, 9 and 8
    assert held_back(images, 5).tolist() == [[True, True, False], [True, True, False], [False, False, False]]


def test_without_small_cells_nothing_is_held_back():
    assert not held_back(np.array([[5, 0], [0, 7]]), 5).any()


def test_where_all_images_have_one_value_the_margin_tells_and_no_more_is_lost():
    assert held_back(np.array([[3, 0], [50, 0]]), 5).tolist() == [[True, False], [False, False]]


@settings(deadline=None, max_examples=60)
@given(arrays(np.int64, st.tuples(st.integers(2, 4), st.integers(2, 4)), elements=st.integers(0, 9)), st.integers(2, 5))
def test_no_held_back_number_follows_from_the_others_and_the_margins(images: np.ndarray, small: int):
    hidden = held_back(images, small)
    primary = (images > 0) & (images < small)
    assert (hidden >= primary).all()
    if ((images.sum(axis=0) > 0).sum() < 2) or ((images.sum(axis=1) > 0).sum() < 2):
        return  # the margins are the cells
    for row, column in np.argwhere(primary):
        least, most = known_range(images, hidden, (row, column))
        assert most - least > 0.99, (images, hidden)


@pytest.mark.parametrize("small", [1, 5])
def test_cells_that_are_told_add_up_to_the_images(small: int):
    rng = np.random.default_rng(0)
    rows = list(
        zip(rng.choice(list("ab"), 300), rng.choice(SPLITS, 300), rng.choice(["x", "y", None], 300), strict=True)
    )
    told = cells(table_of(rows, small))
    assert all(one.images is None or one.images >= small for one in told)
    for one in told:
        value = None if one.value == "(missing)" else one.value
        own = sum(row == (one.label, one.split, value) for row in rows)
        assert one.images in (None, own)
    if small == 1:
        assert sum(one.images for one in told) == 300


def test_the_order_of_rows_changes_nothing():
    rng = np.random.default_rng(1)
    rows = [(rng.choice(["a", "b"]), rng.choice(SPLITS), rng.choice(["x", "y", "z"])) for _ in range(90)]
    assert cells(table_of(rows, 5)) == cells(table_of([rows[i] for i in rng.permutation(90)], 5))


def test_smaller_classes_stand_together():
    rows = [(f"c{i:03}", "train", "xy"[j % 2]) for i in range(80) for j in range(2 + (i < 50))]
    found = table_of(rows, 1)
    assert found.classes[:2] == ("c000", "c001")
    assert found.classes[-1] == "30 other classes"
    assert found.images[-1].sum() == 60
    assert found.named == 50
