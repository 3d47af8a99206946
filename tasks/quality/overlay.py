"""Whether two pictures are copies: their thumbnails laid over each other, shifted into place and compared."""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.quality.views import MIRRORED, SIDE_PX, Floats, View, turned

Positions = NDArray[np.int64]

_SIZE = (SIDE_PX, SIDE_PX)
_EVERYWHERE = np.ones(_SIZE, np.uint8)
_EDGES = np.array([-0.5, SIDE_PX - 0.5])
_CORNERS = np.array([[-0.5, -0.5, 1], [SIDE_PX - 0.5, SIDE_PX - 0.5, 1]], np.float32).T
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
    laid = _Laid(turned(first, view.turn), second, *_window(view))
    if laid.tones < enough.at_first:  # shifting could not mend it
        return None
    surely = laid.tones > _SURELY and laid.detail > _SURELY
    shifted = laid if enough.moved == 1 or surely else _shifted(laid)
    return _verdict(shifted, view, enough) if shifted else None


@dataclass(frozen=True)
class _Laid:
    """`first` laid over `second` at a place, the map (2, 3) from a pixel of `second` to one of `first`.

    `common` (m,) are the positions of the pixels that both have. What is dear is computed when it is asked for: most
    pairs are no copies, which less can tell. Correlations are of the common part, at most 1.
    """

    first: Floats
    second: Floats
    place: Floats
    common: Positions

    @cached_property
    def tones(self) -> float:
        """The correlation of the pixels."""
        return _correlation(self._moved.take(self.common), self.second.take(self.common))

    @cached_property
    def detail(self) -> float:
        """That of their steps (blurred Laplacians), which pictures that only look alike do not share."""
        return _correlation(_fine(self._moved).take(self.common), _fine(self.second).take(self.common))

    @cached_property
    def off(self) -> float:
        """The farthest that two edges lie apart, as a share of a side."""
        return float(np.abs(self.place @ _CORNERS - _EDGES).max() / SIDE_PX)

    @property
    def shear(self) -> float:
        """The larger one of the two."""
        return float(max(abs(self.place[0, 1]), abs(self.place[1, 0])))

    @cached_property
    def _moved(self) -> Floats:
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cast(Floats, cv2.warpAffine(self.first, self.place, _SIZE, flags=flags))


def _shifted(laid: _Laid) -> _Laid | None:
    """Where the two fit best; None where they fit nowhere, or too little of them would be common.

    By the enhanced correlation coefficient (Evangelidis and Psarakis, 2008).
    """
    try:
        start = laid.place.copy()
        _, place = cv2.findTransformECC(laid.second, laid.first, start, cv2.MOTION_AFFINE, _ECC_STEPS, None, 3)
    except cv2.error:  # it says so when the search leaves the picture
        return None
    found = _Laid(laid.first, laid.second, place, _common(place))
    return found if len(found.common) >= _LEAST_COMMON * SIDE_PX**2 else None


def _verdict(laid: _Laid, view: View, enough: Enough) -> tuple[str, float] | None:
    """As `compare`; what costs the most is asked last."""
    in_place = view.turn == 0 and laid.off < _SAME_PLACE
    if not in_place and (laid.off > _MOST_OFF or laid.shear > _MOST_SHEAR):
        return None
    if laid.tones <= (enough.tones if in_place else enough.moved) or laid.detail <= enough.detail:
        return None
    turn = "mirrored" if view.turn in MIRRORED else "rotated"
    return turn if view.turn else "near" if in_place else "cropped", round(min(1.0, laid.tones), 4)


@cache
def _window(view: View) -> tuple[Floats, Positions]:
    """The place of a view before it is shifted, and what is common there."""
    place = _placed(view)
    return place, _common(place)


def _common(place: Floats) -> Positions:
    """The pixels that both have, but for a rim."""
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    whole = cv2.warpAffine(_EVERYWHERE, place, _SIZE, flags=flags)
    return np.flatnonzero(cv2.erode(whole, _RIM, borderType=cv2.BORDER_CONSTANT, borderValue=0))


def _placed(view: View) -> Floats:
    """The affine map from a pixel of the window to the pixel of the picture that it shows."""
    (top, bottom), (left, right) = view.rows, view.columns
    across, down = right - left, bottom - top
    to_x = [across, 0, left * SIDE_PX - 0.5 + 0.5 * across]
    return np.array([to_x, [0, down, top * SIDE_PX - 0.5 + 0.5 * down]], np.float32)


def _correlation(one: Floats, other: Floats) -> float:
    one, other = one - one.sum() / len(one), other - other.sum() / len(other)
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
