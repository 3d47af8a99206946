"""Where in the picture a class's own traits lie, tile by tile, so that a page can draw it."""

import cv2
import numpy as np
import pandas as pd

from tasks.bias.features import Floats
from tasks.bias.overlay import GRID, Overlay
from tasks.bias.shortcuts import Codes
from tasks.contracts.prepared import Pixels
from tasks.contracts.records import PatternMap

OVERLAY = "agreement of edge directions, less that elsewhere in the picture"
COLOUR = "AUC of the tile's colour, one-vs-rest, by its most telling channel"
_DIGITS = 4


def overlay_map(overlay: Overlay, label: str) -> PatternMap:
    """Where the edges of a class's images lie alike; 0 where they do not, or no more than in the other classes."""
    return _map(label, OVERLAY, overlay.excesses)


def tile_colours(pixels: Pixels, rows: Codes) -> Floats:
    """The mean colour of each of GRID x GRID tiles: (len(rows), GRID, GRID, 3)."""
    means = [cv2.resize(pixels[row].astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA) for row in rows]
    return np.array(means, dtype=np.float64).reshape(len(means), GRID, GRID, 3)


def colour_map(colours: Floats, codes: Codes, code: int, label: str) -> PatternMap:
    """How well each tile's colour tells a class from the rest: 0.5 not at all, 1 completely."""
    own = codes == code
    ranks = pd.DataFrame(colours.reshape(len(colours), -1)).rank().to_numpy()
    wins = ranks[own].sum(axis=0) - own.sum() * (own.sum() + 1) / 2
    auc = wins / (own.sum() * (~own).sum())
    return _map(label, COLOUR, (0.5 + np.abs(auc - 0.5)).reshape(GRID, GRID, 3).max(axis=2))


def _map(label: str, what: str, tiles: Floats) -> PatternMap:
    return PatternMap(label, what, tuple(tuple(float(one) for one in row) for row in np.round(tiles, _DIGITS)))
