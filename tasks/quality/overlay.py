"""Whether two pictures are copies: their thumbnails laid over each other, shifted into place and compared."""

from dataclasses import dataclass
from functools import cache
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.quality.views import MIRRORED, SIDE_PX, Floats, View, turned

Mask = NDArray[np.bool_]

_SIZE = (SIDE_PX, SIDE_PX)
_MOST_OFF = 0.13  # of a side: how far the edges of two copies may lie apart
_SAME_PLACE = 0.02
_MOST_SHEAR = 0.012  # of what is not in place: the search bends what is no copy until it fits
_LEAST_COMMON = 0.5  # of the pixels
_RIM = np.ones((5, 5), np.uint8)  # in which a filter would look beyond the edge
_SURELY = 0.95  # no shift is needed to see that these are copies
_STEP_LEVELS = 0.08  # of a picture's span: a step that counts as detail
_SMOOTH = 0.5  # deviation of the steps by that of the tones; photographs have 1 and more, enlarged small pictures 0.3
_ECC_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 15, 1e-3)


@dataclass(frozen=True)
class Match:
    """Two pictures laid over each other; correlations are of the common part, at most 1."""

    tones: float  # correlation of the pixels
    detail: float  # correlation of their steps (blurred Laplacians), which pictures that only look alike do not share
    off: float  # the farthest that two edges lie apart, as a share of a side
    shear: float


@dataclass(frozen=True)
class Enough:
    """What two pictures must agree in, of which so large a share has detail, to be called copies.

    The less detail, the more must agree: what is moved or mirrored in a drawing is another drawing.
    """

    detailed: float
    detail: float
    tones: float  # where they lie in place
    moved: float  # tones where one is turned, mirrored or cropped; 1 says that no moved picture is a copy
    at_first: float  # tones before they are shifted into place


DETAILED = 0.6  # a share; of what has less nothing but the same picture in place is a copy
_ENOUGH = (
    Enough(detailed=0.9, detail=0.6, tones=0.8, moved=0.9, at_first=0.5),
    Enough(detailed=DETAILED, detail=0.9, tones=0.95, moved=0.95, at_first=0.7),
    Enough(detailed=0.0, detail=0.97, tones=0.99, moved=1.0, at_first=0.99),
)


def compare(first: Floats, second: Floats, view: View, detail: float) -> tuple[str, float] | None:
    """What sort of copies two grey pictures (64, 64) are, `first` looked at in `view`, and how alike, 0 to 1.

    `near` (in place), `cropped`, `mirrored` or `rotated`; None where they are no copies. `detail` is the lesser
    `detailed` of the two.
    """
    enough = next(enough for enough in _ENOUGH if detail >= enough.detailed)
    match = _overlay(turned(first, view.turn), second, view, enough)
    if match is None or match.detail <= enough.detail:
        return None
    in_place = view.turn == 0 and match.off < _SAME_PLACE
    if not in_place and (match.off > _MOST_OFF or match.shear > _MOST_SHEAR):
        return None
    if match.tones <= (enough.tones if in_place else enough.moved):
        return None
    turn = "mirrored" if view.turn in MIRRORED else "rotated"
    return turn if view.turn else "near" if in_place else "cropped", round(min(1.0, match.tones), 4)


def _overlay(first: Floats, second: Floats, view: View, enough: Enough) -> Match | None:
    """Lay the window of the turned `first` over `second` and shift it until it fits best.

    By the enhanced correlation coefficient (Evangelidis and Psarakis, 2008). None where it fits nowhere, or where the
    view alone already fits so badly that shifting could not mend it.
    """
    place, common = _window(view)
    match = _matched(first, second, place, common, enough.at_first)
    if match is None:
        return None
    if enough.moved == 1 or (match.tones > _SURELY and match.detail > _SURELY):
        return match
    try:
        _, place = cv2.findTransformECC(second, first, place.copy(), cv2.MOTION_AFFINE, _ECC_STEPS, None, 3)
    except cv2.error:  # it says so when the search leaves the picture
        return None
    return _matched(first, second, place, _common(place))


def _matched(first: Floats, second: Floats, place: Floats, common: Mask, least: float = -1.0) -> Match | None:
    """Compare where both are; None where that is too little, or the tones agree less than `least`."""
    if common.mean() < _LEAST_COMMON:
        return None
    moved = cv2.warpAffine(first, place, _SIZE, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    tones = _correlation(moved[common], second[common])
    if tones < least:  # the detail costs as much again
        return None
    detail = _correlation(_fine(moved)[common], _fine(second)[common])
    shear = float(np.abs(place[[0, 1], [1, 0]]).max())
    return Match(tones, detail, _off(place), shear)


@cache
def _window(view: View) -> tuple[Floats, Mask]:
    """The place of a view before it is shifted, and what is common there."""
    place = _placed(view)
    return place, _common(place)


def _common(place: Floats) -> Mask:
    """The pixels that both have, but for a rim."""
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    whole = cv2.warpAffine(np.ones(_SIZE, np.uint8), place, _SIZE, flags=flags)
    inner = cv2.erode(whole, _RIM, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(inner, bool)


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


def _fine(picture: Floats) -> Floats:
    """The steps of a picture, blurred as far as two ways to scale it differ."""
    return _laplacian(cast(Floats, cv2.GaussianBlur(picture, (0, 0), 1)))


def detailed(picture: Floats) -> float:
    """The share of 8 x 8 fields in which there is a step that counts; 0 in a picture that was enlarged from few."""
    laplacian = _laplacian(picture)
    if laplacian.std() < _SMOOTH * picture.std():
        return 0.0
    steps = np.abs(laplacian).reshape(8, SIDE_PX // 8, 8, SIDE_PX // 8).max(axis=(1, 3))
    return float((steps > _STEP_LEVELS * max(1.0, float(np.ptp(picture)))).mean())
