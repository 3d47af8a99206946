from collections.abc import Callable

import numpy as np

from tasks.bias.maps import colour_map, overlay_map, tile_colours
from tasks.bias.overlay import GRID, edge_directions, find_overlays

LABELS = np.repeat([0, 1], 30)


def test_the_colour_of_a_patch_is_drawn_where_it_is(blobs: Callable[..., np.ndarray]) -> None:
    pictures = blobs(60, 1)
    pictures[LABELS == 1, 12:18, 30:36] = (250, 40, 40)  # the tile in row 3, column 6
    drawn = colour_map(tile_colours(pictures, np.arange(60)), LABELS, 1, "red")
    tiles = np.array(drawn.tiles)
    assert (drawn.label, tiles.shape) == ("red", (GRID, GRID))
    assert tiles[2, 5] == tiles.max() == 1.0
    assert np.delete(tiles.ravel(), 2 * GRID + 5).max() < 0.85
    assert tiles.min() >= 0.5


def test_a_colour_map_is_the_same_for_both_of_two_classes(blobs: Callable[..., np.ndarray]) -> None:
    colours = tile_colours(blobs(60, 2), np.arange(60))
    assert colour_map(colours, LABELS, 0, "x").tiles == colour_map(colours, LABELS, 1, "x").tiles


def test_a_watermark_is_drawn_where_it_is(blobs: Callable[..., np.ndarray], stamp: Callable[..., np.ndarray]) -> None:
    pictures = stamp(blobs(60, 1), np.flatnonzero(LABELS == 1))
    first = find_overlays(edge_directions(pictures, np.arange(60)), LABELS, 99, np.random.default_rng(0))[0]
    tiles = np.array(overlay_map(first, "b").tiles)
    assert tuple(int(i) for i in np.unravel_index(tiles.argmax(), tiles.shape)) == first.tile
    assert first.tile[0] >= GRID - 2 <= first.tile[1]
