"""Fixed overlays: a watermark, logo or caption that only one class carries, always at the same place.

Averaging many different pictures blurs everything except what lies at a fixed place. So the directions of the edges
are averaged over a class, pixel by pixel: where they agree with each other, and not with those of the other classes,
there is a fixed pattern. What a class naturally has in common (centred objects, a horizon) agrees over much of the
picture; an overlay agrees in a small part of it. Only the second is reported.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tasks.bias.significance import LEVEL, enough, family_wise
from tasks.contracts.prepared import Pixels

GRID = 8  # tiles along each side
MIN_IMAGES = 10  # of a class; fewer agree by chance
MIN_EXCESS = 0.06  # photographs without an overlay stay below 0.03, faint ones of a fifth of the width reach 0.1
MIN_RATIO = 4.0  # to the class's third-best tile far away; aligned digits and faces stay below 2.5
_SIDE_PX = 64  # coarse enough to bear some shift of the overlay, fine enough to blur what is only roughly aligned
_WEAK_EDGE = 8.0  # in grey levels: the gradient at which an edge counts half
_UNIT = 127.0  # directions are whole numbers, so that float32 sums are exact and do not depend on their order
_ROWS_AT_ONCE = 512
_DENSE = 12  # classes up to which a dense product is faster: its cost grows with them

Directions = NDArray[np.float32]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Overlay:
    """The most suspicious tile of one class.

    `excess` is the agreement of edge directions in the tile, in [0, 2], less that of the third-best tile far away;
    `ratio` their quotient; `p_value` is family-wise over classes and tiles; `strongest` orders the class's images;
    `excesses` are those of all tiles, (GRID, GRID).
    """

    label: int
    images: int
    tile: tuple[int, int]
    excess: float
    ratio: float
    p_value: float
    strongest: NDArray[np.int64]
    excesses: Floats

    @property
    def suspicious(self) -> bool:
        """Whether chance, and natural alignment, are both unlikely to explain it."""
        return self.p_value <= LEVEL and self.excess >= MIN_EXCESS and self.ratio >= MIN_RATIO


def place_of(tile: tuple[int, int]) -> str:
    """Where a tile (row, column) lies, in words: "bottom right corner", "top edge", "centre"."""
    row, column = (0 if index < 3 else 1 if index < GRID - 3 else 2 for index in tile)
    vertical, horizontal = ("top", "", "bottom")[row], ("left", "", "right")[column]
    if vertical and horizontal:
        return f"{vertical} {horizontal} corner"
    return f"{vertical or horizontal} edge" if vertical or horizontal else "centre"


def edge_directions(pixels: Pixels, rows: NDArray[np.int64]) -> Directions:
    """For each row of `pixels` (n, S, S, 3): edge directions, shape (len(rows), GRID**2, pixels of a tile * 2).

    A direction is the grey gradient divided by its length, shorter for weak edges, in whole steps of 1/127.
    """
    side = GRID * max(1, min(_SIDE_PX, pixels.shape[1]) // GRID)
    tile = side // GRID
    out = np.empty((len(rows), GRID * GRID, tile * tile * 2), dtype=np.float32)
    for place, row in enumerate(rows):
        small = cv2.resize(pixels[row], (side, side), interpolation=cv2.INTER_AREA)
        grey = small.astype(np.float32).mean(axis=2)
        gradient = np.stack([cv2.Sobel(grey, cv2.CV_32F, *axis, ksize=3, scale=0.25) for axis in ((1, 0), (0, 1))], -1)
        length = np.sqrt((gradient**2).sum(-1, keepdims=True) + _WEAK_EDGE**2)
        unit = np.rint(gradient / length * _UNIT).reshape(GRID, tile, GRID, tile, 2)
        out[place] = unit.transpose(0, 2, 1, 3, 4).reshape(GRID * GRID, -1)
    return out


def find_overlays(
    directions: Directions, labels: NDArray[np.int64], permutations: int, rng: np.random.Generator
) -> list[Overlay]:
    """The most suspicious tile of each class with at least MIN_IMAGES images, the strongest first.

    `labels` (n,) holds classes 0 .. K-1, each at least once, K >= 2. The null is the strongest tile of any class
    when the labels are permuted.
    """
    counts = np.bincount(labels)
    scan = _Scan(directions, counts)
    excess, ratio = scan.scores(labels[None])
    null = _null_maxima(scan, labels, enough(permutations), rng)
    sums = scan.sums(labels[None])[0]
    found = []
    for label in np.flatnonzero(counts >= MIN_IMAGES):
        tile = int(excess[0, label].argmax())
        value = float(excess[0, label, tile])
        members = np.flatnonzero(labels == label)
        contrast = sums[label, tile] / counts[label] - (sums[:, tile].sum(0) - sums[label, tile]) / (
            len(labels) - counts[label]
        )
        strength = directions[members, tile].astype(np.float64) @ contrast
        found.append(
            Overlay(
                label=int(label),
                images=int(counts[label]),
                tile=(tile // GRID, tile % GRID),
                excess=value,
                ratio=float(ratio[0, label, tile]),
                p_value=family_wise(value, null),
                strongest=members[np.argsort(-strength, kind="stable")],
                excesses=excess[0, label].reshape(GRID, GRID),
            )
        )
    return sorted(found, key=lambda overlay: (-overlay.excess, overlay.label))


def _null_maxima(scan: "_Scan", labels: NDArray[np.int64], permutations: int, rng: np.random.Generator) -> Floats:
    """The strongest excess of any class and tile for each permutation of the labels: shape (permutations,)."""
    maxima = np.empty(permutations)
    step = max(1, _ROWS_AT_ONCE // len(scan.counts))
    for start in range(0, permutations, step):
        block = np.stack([rng.permutation(labels) for _ in range(start, min(start + step, permutations))])
        maxima[start : start + step] = scan.scores(block)[0].max(axis=(1, 2))
    return maxima


class _Scan:
    """Scores every tile of every class for given labellings, all with the same class sizes `counts` (K,)."""

    def __init__(self, directions: Directions, counts: NDArray[np.int64]) -> None:
        self.directions, self.counts = directions, counts
        self.scale = 2.0 / (directions.shape[2] * _UNIT**2)  # from sums over a tile to means over its pixels
        self.total = directions.sum(axis=0, dtype=np.float64)  # (tiles, pixels * 2)
        self.total_length = np.einsum("tp,tp->t", self.total, self.total)
        self.squares = np.einsum("ntp,ntp->nt", directions, directions, dtype=np.float64)
        self.far = _far_tiles()

    def sums(self, labellings: NDArray[np.int64]) -> Floats:
        """Directions summed over each class: (B, n) -> (B, K, tiles, pixels * 2)."""
        (blocks, images), classes = labellings.shape, len(self.counts)
        rows = (labellings + classes * np.arange(blocks)[:, None]).ravel()
        ones = np.ones(len(rows), np.float32)
        member = csr_array((ones, (rows, np.tile(np.arange(images), blocks))), shape=(blocks * classes, images))
        directions = self.directions.reshape(images, -1)
        flat = (member.toarray() if classes <= _DENSE else member) @ directions  # sums of whole numbers, so the same
        sums: Floats = flat.reshape(blocks, classes, *self.directions.shape[1:]).astype(np.float64)
        return sums

    def scores(self, labellings: NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Excess and ratio, each (B, K, tiles); zero where the others agree more than the class, or it is small."""
        member = (labellings[:, None] == np.arange(len(self.counts))[:, None]).astype(np.float64)
        sums, squares = self.sums(labellings), member @ self.squares
        own_n, rest_n = self.counts[:, None].astype(np.float64), (self.counts.sum() - self.counts)[:, None]
        length = np.einsum("bktp,bktp->bkt", sums, sums)
        along = np.einsum("bktp,tp->bkt", sums, self.total)
        own, own_noise = self._agreement(length, squares, own_n)
        rest, rest_noise = self._agreement(
            self.total_length - 2 * along + length, self.squares.sum(axis=0) - squares, rest_n
        )
        # the squared length of the class's mean less the mean of the rest, from the three products above
        near, back = 1 / own_n + 1 / rest_n, 1 / rest_n
        contrast = near**2 * length - 2 * near * back * along + back**2 * self.total_length
        contrast = contrast * self.scale - own_noise - rest_noise
        elsewhere = _third_largest_far(contrast, self.far)
        valid = (own >= rest) & (own_n >= MIN_IMAGES)
        ratio = contrast / np.maximum(elsewhere, 1e-3)
        return np.where(valid, contrast - elsewhere, 0.0), np.where(valid, ratio, 0.0)

    def _agreement(self, length: Floats, squares: Floats, images: Floats) -> tuple[Floats, Floats]:
        """Unbiased squared length of the mean direction, and the noise that was taken off it, by tile.

        `length` is the squared length of the sum of directions, `squares` the sum of their squared lengths.
        """
        mean = length * self.scale / images**2
        noise = np.maximum(squares * self.scale / images - mean, 0.0) / np.maximum(images - 1.0, 1.0)
        return mean - noise, noise


def _far_tiles() -> NDArray[np.bool_]:
    """Whether two tiles do not touch: (tiles, tiles)."""
    row, column = np.divmod(np.arange(GRID * GRID), GRID)
    distance = np.maximum(np.abs(row[:, None] - row), np.abs(column[:, None] - column))
    far: NDArray[np.bool_] = distance > 1
    return far


def _third_largest_far(values: Floats, far: NDArray[np.bool_]) -> Floats:
    """For each tile the third-largest value among those that do not touch it, at least 0: (..., tiles)."""
    out = np.empty_like(values)
    for tile, others in enumerate(far):
        out[..., tile] = np.partition(values[..., others], -3, axis=-1)[..., -3]
    return np.maximum(out, 0.0)
