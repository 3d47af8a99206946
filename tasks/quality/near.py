"""Near-duplicates: found by perceptual hashes, believed only after the pixels were laid over each other.

A copy may be re-encoded, resized, lighter or darker, mirrored, turned by quarters, or slightly cropped: up to about
a tenth at each side. Flat pictures resemble nothing.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, cast

import cv2
import faiss
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.quality.views import BITS, MIRRORED, SIDE_PX, Codes, Floats, View, hashes, turned, views

Rows = NDArray[np.int64]
Pair = tuple[int, int, str, float]

_BLOCK = 1024  # thumbnails in memory at once
_FLAT_LEVELS = 4.0  # standard deviation below which a picture has nothing to compare
_RADIUS_BITS = 66  # the farthest of the planted copies lay at 67, most below 40
_NEIGHBOURS = 40
_LOOKED_AT = 10
_MOST_COPIES, _CROWD, _DENSE, _ALMOST_EQUAL = 12, 6, 0.5, 0.99  # pictures, pictures, share of pairs, similarity
_EXHAUSTIVE = 20_000  # pictures up to which every hash is compared with every other
_CELLS_PER_ROOT, _CELLS_SEARCHED, _TRAINED_PER_CELL = 4, 16, 40

_MOST_OFF = 0.13  # of a side: how far the edges of two copies may lie apart
_SAME_PLACE = 0.02
_MOST_SHEAR = 0.03
_LEAST_COMMON = 0.6  # of the pixels
_SURELY = 0.95  # no shift is needed to see that these are copies
_STEP_LEVELS = 0.08  # of a picture's span: a step that counts as detail
_ECC_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 1e-3)


class Thumbnails(Protocol):
    """(n, 64, 64, 3) uint8, RGB, read by slices and by index arrays."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: Rows | slice) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Match:
    """Two pictures laid over each other; correlations are of the common part, at most 1."""

    tones: float  # correlation of the pixels
    detail: float  # correlation of their Laplacians, which pictures that only look alike do not share
    off: float  # the farthest that two edges lie apart, as a share of a side
    shear: float


@dataclass(frozen=True)
class Enough:
    """What two pictures must agree in, of which so large a share has detail, to be called copies.

    The less detail, the more must agree: what is moved or mirrored in a drawing is another drawing.
    """

    detailed: float
    tones: float
    detail: float
    at_first: float  # tones before they are shifted into place
    anywhere: bool  # also where they are turned, mirrored or cropped


_ENOUGH = (
    Enough(0.9, 0.9, 0.5, 0.5, anywhere=True),
    Enough(0.6, 0.95, 0.83, 0.7, anywhere=True),
    Enough(0.0, 0.98, 0.9, 0.98, anywhere=False),
)


def find_near(thumbnails: Thumbnails) -> pd.DataFrame:
    """Pairs of near-duplicates: positions `a` < `b`, `kind` and `similarity` (of the pixels, 0 to 1), sorted.

    `kind` is `near`, `cropped`, `mirrored` or `rotated`. Of more than _MOST_COPIES of one picture only those that are
    in place and almost equal are listed.
    """
    rows, codes = _hashed(thumbnails)
    if len(rows) < 2:
        return _table([])
    found = _candidates(codes)
    pairs = list(_believed(thumbnails, rows, found[found["nearest"]]))
    together = _components(len(thumbnails), pairs)[rows]
    siblings = together[found["low"]] == together[found["high"]]
    pairs += _believed(thumbnails, rows, found[siblings & ~found["nearest"]])
    return _table(_without_chains(len(thumbnails), pairs))


def _without_chains(count: int, pairs: list[Pair]) -> list[Pair]:
    """Drop the doubtful pairs of a component in which few resemble each other directly.

    Copies of one picture nearly all resemble each other. Where each resembles only its next, as drawings of a shape at
    other places do, or where very many do, it is likeness, not copying: only pairs in place and almost equal stand.
    """
    component = _components(count, pairs)
    size = np.bincount(component, minlength=count)
    links = np.bincount([component[pair[0]] for pair in pairs], minlength=count)
    loose = (size > _MOST_COPIES) | ((size >= _CROWD) & (2 * links < _DENSE * size * (size - 1)))
    return [pair for pair in pairs if not loose[component[pair[0]]] or (pair[2] == "near" and pair[3] > _ALMOST_EQUAL)]


def _table(pairs: list[Pair]) -> pd.DataFrame:
    table = pd.DataFrame(pairs, columns=["a", "b", "kind", "similarity"])
    table = table.astype({"a": "int64", "b": "int64", "kind": "str", "similarity": "float64"})
    return table.sort_values(["a", "b"], ignore_index=True)


def nearest(index: Codes, queries: Codes, neighbours: int) -> tuple[NDArray[np.int32], Rows]:
    """Distances in bits and positions (queries, neighbours) of the nearest of `index` (n, BITS / 8), -1 for none.

    Exact up to _EXHAUSTIVE; beyond, the _CELLS_SEARCHED nearest of 4 * sqrt(n) cells are looked into.
    """
    found = faiss.IndexBinaryFlat(BITS) if len(index) <= _EXHAUSTIVE else _in_cells(index)
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
    try:
        found.add(index)
        distances, positions = found.search(queries, min(neighbours, len(index)))
    finally:
        faiss.omp_set_num_threads(before)
    return distances, positions


def _in_cells(index: Codes) -> "faiss.IndexBinaryIVF":
    cells = int(_CELLS_PER_ROOT * len(index) ** 0.5)
    found = faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(BITS), BITS, cells)
    found.nprobe, found.cp.seed = _CELLS_SEARCHED, 0
    found.train(index[:: max(1, len(index) // (cells * _TRAINED_PER_CELL))])
    return found


def _hashed(thumbnails: Thumbnails) -> tuple[Rows, Codes]:
    """The rows that are not flat, and their hashes (views, rows, BITS / 8)."""
    rows, codes = [np.empty(0, np.int64)], []
    for start in range(0, len(thumbnails), _BLOCK):
        grey = _grey(thumbnails[slice(start, start + _BLOCK)])
        uneven = np.flatnonzero(grey.std(axis=(1, 2)) > _FLAT_LEVELS)
        rows.append(start + uneven)
        codes.append(hashes(grey[uneven]))
    return np.concatenate(rows), np.concatenate(codes, axis=1) if codes else np.empty((0, 0, 0), np.uint8)


def _grey(pictures: NDArray[np.uint8]) -> Floats:
    tall = pictures.reshape(-1, SIDE_PX, 3)  # one call for all of them
    return np.asarray(cv2.cvtColor(tall, cv2.COLOR_RGB2GRAY), np.float32).reshape(-1, SIDE_PX, SIDE_PX)


def _candidates(codes: Codes) -> pd.DataFrame:
    """Pairs within the radius: `a` as looked at in `view`, `b` as it is; for each pair the nearest view.

    Where all pictures are alike there are many; `nearest` are the few that are looked at first.
    """
    parts = []
    for number, queries in enumerate(codes):
        distances, positions = nearest(codes[0], queries, _NEIGHBOURS)
        a, place = np.nonzero((distances <= _RADIUS_BITS) & (positions != np.arange(len(queries))[:, None]))
        parts.append(np.stack([a, positions[a, place], np.full(len(a), number), distances[a, place]]))
    found = pd.DataFrame(np.concatenate(parts, axis=1).T, columns=["a", "b", "view", "bits"])
    found = found[found["b"] >= 0].sort_values(["a", "bits", "b", "view"]).drop_duplicates(["a", "b"])
    found["nearest"] = found.groupby("a").cumcount() < _LOOKED_AT
    found = found.assign(low=found[["a", "b"]].min(axis=1), high=found[["a", "b"]].max(axis=1))
    found["nearest"] = found.groupby(["low", "high"])["nearest"].transform("any")
    return found.sort_values(["low", "high", "bits", "view", "a"]).drop_duplicates(["low", "high"], ignore_index=True)


def _components(count: int, pairs: list[Pair]) -> Rows:
    ends = np.array([pair[:2] for pair in pairs], np.int64).reshape(-1, 2)
    links = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def _believed(thumbnails: Thumbnails, rows: Rows, found: pd.DataFrame) -> Iterator[Pair]:
    every = views()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for start in range(0, len(found), _BLOCK):
            block = found.iloc[start : start + _BLOCK]
            first, second = (_grey(thumbnails[rows[block[end].to_numpy()]]) for end in ("a", "b"))
            seen = [every[number] for number in block["view"]]
            kinds = pool.map(_kind, first, second, seen)
            for low, high, kind in zip(rows[block["low"]], rows[block["high"]], kinds, strict=True):
                if kind is not None:
                    yield int(low), int(high), *kind


def _kind(first: Floats, second: Floats, view: View) -> tuple[str, float] | None:
    """What sort of copies two pictures are, and how alike; None where they are none."""
    enough = _enough(min(_detailed(first), _detailed(second)))
    match = overlay(turned(first, view.turn), second, view, enough)
    if match is None or not _is_copy(match, view, enough):
        return None
    turn = "mirrored" if view.turn in MIRRORED else "rotated"
    kind = turn if view.turn else "near" if match.off < _SAME_PLACE else "cropped"
    return kind, round(min(1.0, match.tones), 4)


def _is_copy(match: Match, view: View, enough: Enough) -> bool:
    in_place = view.turn == 0 and match.off < _SAME_PLACE
    if not in_place and (not enough.anywhere or match.off > _MOST_OFF or match.shear > _MOST_SHEAR):
        return False
    return match.tones > enough.tones and match.detail > enough.detail


def _enough(detailed: float) -> Enough:
    return next(enough for enough in _ENOUGH if detailed >= enough.detailed)


def overlay(first: Floats, second: Floats, view: View, enough: Enough) -> Match | None:
    """Lay the window of the turned `first` over `second`, both (64, 64), and shift it until it fits best.

    By the enhanced correlation coefficient (Evangelidis and Psarakis, 2008). None where it fits nowhere, or where the
    view alone already fits so badly that shifting could not mend it.
    """
    place = _placed(view)
    match = _laid(first, second, place)
    if match is None or match.tones < enough.at_first:
        return None
    if not enough.anywhere or (match.tones > _SURELY and match.detail > _SURELY):
        return match
    try:
        _, place = cv2.findTransformECC(second, first, place, cv2.MOTION_AFFINE, _ECC_STEPS, None, 3)
    except cv2.error:  # it says so when the search leaves the picture
        return None
    return _laid(first, second, place)


def _laid(first: Floats, second: Floats, place: Floats) -> Match | None:
    """Compare where both are; None where that is too little."""
    size, how = (SIDE_PX, SIDE_PX), cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(first, place, size, flags=cv2.INTER_LINEAR | how)
    common = cv2.warpAffine(np.ones(size, np.uint8), place, size, flags=cv2.INTER_NEAREST | how).astype(bool)
    common[[0, -1]] = common[:, [0, -1]] = False  # a Laplacian there would look beyond the edge
    if common.mean() < _LEAST_COMMON:
        return None
    detail = _correlation(_laplacian(moved)[common], _laplacian(second)[common])
    shear = float(np.abs(place[[0, 1], [1, 0]]).max())
    return Match(_correlation(moved[common], second[common]), detail, _off(place), shear)


def _placed(view: View) -> Floats:
    """The affine map from a pixel of the window to the pixel of the picture that it shows."""
    (top, bottom), (left, right) = view.rows, view.columns
    across, down = right - left, bottom - top
    to_x = [across, 0, left * SIDE_PX - 0.5 + 0.5 * across]
    return np.array([to_x, [0, down, top * SIDE_PX - 0.5 + 0.5 * down]], np.float32)


def _off(place: Floats) -> float:
    corners = place @ np.array([[-0.5, -0.5, 1], [SIDE_PX - 0.5, SIDE_PX - 0.5, 1]], np.float32).T
    return float(np.abs(corners - np.array([-0.5, SIDE_PX - 0.5])).max() / SIDE_PX)


def _correlation(one: Floats, other: Floats) -> float:
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / max(1e-9, np.sqrt((one * one).sum() * (other * other).sum())))


def _laplacian(picture: Floats) -> Floats:
    return cast(Floats, cv2.Laplacian(picture, cv2.CV_32F, ksize=3))


def _detailed(picture: Floats) -> float:
    """The share of 8 x 8 fields in which there is a step that counts."""
    steps = np.abs(_laplacian(picture)).reshape(8, SIDE_PX // 8, 8, SIDE_PX // 8).max(axis=(1, 3))
    return float((steps > _STEP_LEVELS * max(1.0, float(np.ptp(picture)))).mean())
