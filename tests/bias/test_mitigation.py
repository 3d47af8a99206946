import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.bias.mitigation import Shortcut, against_association, against_shortcuts, hide, reweighed
from tasks.contracts.transforms import problem_of


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xyz")), min_size=30, max_size=200))
def test_reweighed_labels_and_values_are_independent(cells):
    labels, values = (pd.Series(column) for column in zip(*cells, strict=True))
    weights = reweighed(labels, values)
    assert pd.Series(weights).groupby(labels).mean().to_numpy() == pytest.approx(1)
    table = pd.DataFrame({"label": labels, "value": values, "weight": weights}).pivot_table(
        index="label", columns="value", values="weight", aggfunc="sum", fill_value=0.0
    )
    counts = pd.crosstab(labels, values).to_numpy()
    expected = np.outer(counts.sum(1), counts.sum(0)) / counts.sum()
    if counts.min() > 0 and (expected <= 10 * counts).all():  # where a cell is empty or rare, nothing can do it
        assert np.allclose(table.to_numpy() * counts.sum(), expected * table.to_numpy().sum())


def test_rare_cells_weigh_more_but_not_without_limit():
    labels = pd.Series(["a"] * 500 + ["b"] * 500)
    values = pd.Series(["x"] * 499 + ["y"] + ["y"] * 499 + ["x"])
    weights = reweighed(labels, values)
    assert weights[499] == weights.max()
    assert weights[499] / weights[0] < 20


def test_a_column_that_no_two_classes_share_cannot_be_weighed_away():
    labels = pd.Series(["a", "b"] * 20)
    assert against_association(labels, pd.Series(["north", "south"] * 20), "site") is None
    assert against_association(labels, pd.Series(["north", "south"] * 19 + ["south"] * 2), "site")


def test_each_kind_is_acted_on_once_and_each_place_of_an_overlay():
    found = [
        Shortcut("overlay", "a", (7, 7)),
        Shortcut("tone", "a"),
        Shortcut("tone", "b"),
        Shortcut("overlay", "b", (0, 0)),
        Shortcut("overlay", "c", (0, 0)),
        Shortcut("compression", "c"),
    ]
    done = against_shortcuts(found)
    assert [one.kind for one in done] == ["overlay", "tone", "overlay", "compression"]
    assert all(not problem_of(transform) for one in done for transform in one.transforms)


@pytest.mark.parametrize("tile", [(0, 0), (7, 7), (3, 4)])
def test_what_is_hidden_covers_the_tile_and_lies_in_the_image(tile):
    box = hide(tile)
    assert not problem_of(box)
    for index, (start, size) in zip(tile, (("top", "height"), ("left", "width")), strict=True):
        assert 0 <= box[start] <= index / 8 < (index + 1) / 8 <= box[start] + box[size]
