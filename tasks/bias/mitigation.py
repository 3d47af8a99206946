"""What is done against a bias that was found: training images weighed anew, or changed so that a shortcut fails.

Nothing is done unasked (`bias.mitigate`), and what was asked for in vain is said. What was done stands in the bias
report, `augment` puts it first without testing it, as a person answers for it, and `evaluate` measures the model with
and without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.bias.association import levels
from tasks.bias.attributes import CAMERA
from tasks.bias.overlay import GRID
from tasks.contracts.records import Finding, Mitigation, Statistic

_MOST_WEIGHT = 10.0  # of one image beside the mean: a cell of a single image is not to decide everything
_FRAME = 1 / 8  # of the side, that a border may take
_HIDDEN_TILES = 0.25  # a watermark may reach beyond its strongest tile

Transform = dict[str, Any]


def _cover(top: float, left: float, height: float, width: float) -> Transform:
    return {"transform": "Cover", "top": top, "left": left, "height": height, "width": width, "p": 1.0}


# Each makes the trait a matter of chance, or takes it away, for all classes alike. A file's header is in no pixel.
_AGAINST: dict[str, tuple[Transform, ...]] = {
    "border": (
        _cover(0.0, 0.0, _FRAME, 1.0),
        _cover(1 - _FRAME, 0.0, _FRAME, 1.0),
        _cover(0.0, 0.0, 1.0, _FRAME),
        _cover(0.0, 1 - _FRAME, 1.0, _FRAME),
    ),
    "tone": (
        {"transform": "ColorJitter", "brightness": 0.4, "contrast": 0.4, "saturation": 0.6, "hue": 0.05, "p": 1.0},
        {"transform": "ToGray", "p": 0.3},
    ),
    "compression": ({"transform": "ImageCompression", "quality_range": (10, 95), "p": 1.0},),
    "size": (
        {"transform": "RandomResizedCrop", "scale": (0.5, 1.0), "ratio": (0.75, 1.33), "p": 1.0},
        {"transform": "GaussianBlur", "sigma_limit": (0.1, 1.5), "p": 0.7},
    ),
    "sharpness": (
        {"transform": "GaussianBlur", "sigma_limit": (0.1, 2.0), "p": 0.7},
        {"transform": "GaussNoise", "std_range": (0.0, 0.05), "p": 0.7},
    ),
}


@dataclass(frozen=True)
class Shortcut:
    """A trait of the image that gives classes away: its kind, and for `overlay` the tile (row, column) of GRID."""

    kind: str
    label: str
    tile: tuple[int, int] | None = None


def mitigations_of(
    train: pd.DataFrame, findings: Sequence[Finding], shortcuts: Sequence[Shortcut], wanted: Sequence[str]
) -> tuple[Mitigation, ...]:
    """What is done against what was found, of the kinds that a person wants; images are weighed by one column only.

    That is the first whose values the classes share: the strongest, or what the others follow.
    """
    columns = [one.subject for one in findings if one.check == "association"] if "association" in wanted else []
    weighed = (against_association(train["label"], train[column_of(train, name)], name) for name in columns)
    first = next(filter(None, weighed), None)
    return (*filter(None, [first]), *against_shortcuts([one for one in shortcuts if one.kind in wanted]))


def in_vain(wanted: Sequence[str], done: Sequence[Mitigation]) -> list[Finding]:
    """A finding for each kind that a person wanted acted on and nothing was done against."""
    found = []
    for kind in sorted(set(wanted) - {one.kind for one in done}):
        why = (
            "no column whose values two classes share goes with the label"
            if kind == "association"
            else "none was found"
        )
        count = Statistic("mitigations", 0.0, 1, estimator="count")
        message = f"bias.mitigate names {kind}, but nothing is done: {why}"
        found.append(Finding("not_mitigated", "info", kind, count, message, f"take {kind} out of bias.mitigate"))
    return found


def weights_of(usable: pd.DataFrame, train: pd.DataFrame, mitigations: Sequence[Mitigation]) -> pd.DataFrame:
    """A weight for each image: ones, but for training images that are weighed anew."""
    weights = pd.Series(1.0, index=sorted(set(usable["sha256"])))
    for one in (one for one in mitigations if one.means == "reweighing"):
        anew = reweighed(train["label"], train[column_of(train, one.subject)])
        weights.update(pd.Series(anew, index=train["sha256"].to_numpy()).groupby(level=0).mean())
    return pd.DataFrame({"sha256": weights.index, "weight": weights.to_numpy()})


def column_of(table: pd.DataFrame, attribute: str) -> str:
    """The column of the table that reports call `attribute`: the inverse of attributes.columns_of."""
    if f"meta_{attribute}" in table:
        return f"meta_{attribute}"
    return "camera" if attribute == CAMERA else attribute


def against_shortcuts(found: Sequence[Shortcut]) -> list[Mitigation]:
    """One mitigation for each kind of shortcut, and for each place of an overlay; in the order found."""
    out: dict[tuple[str, tuple[int, int] | None], Mitigation] = {}
    for one in found:
        transforms = (hide(one.tile),) if one.tile else _AGAINST.get(one.kind, ())
        if transforms and (one.kind, one.tile) not in out:
            out[one.kind, one.tile] = Mitigation(one.kind, one.label, "augmentation", transforms)
    return list(out.values())


def hide(tile: tuple[int, int]) -> Transform:
    """Cover a tile and what is next to it, always: what the network never sees, it cannot lean on."""
    top, left = (max(0.0, (index - _HIDDEN_TILES) / GRID) for index in tile)
    size = (1 + 2 * _HIDDEN_TILES) / GRID
    return _cover(top, left, size, size)


def against_association(labels: "pd.Series[str]", values: "pd.Series[Any]", column: str) -> Mitigation | None:
    """Reweighing by a column that the label goes with; None where no weights can tell them apart.

    That is where each class has one value only: only other images help.
    """
    even = levels(values)[1] or np.allclose(reweighed(labels, values), 1.0)
    return None if even else Mitigation("association", column, "reweighing", ())


def reweighed(labels: "pd.Series[str]", values: "pd.Series[Any]") -> NDArray[np.float64]:
    """Weights under which label and value are independent: P(label) P(value) / P(label, value), at most _MOST_WEIGHT.

    F. Kamiran and T. Calders, "Data preprocessing techniques for classification without discrimination", 2012. The
    mean over each class is 1, so that none counts for less where it has no image of some value.
    """
    label = np.unique(labels.to_numpy(dtype=str), return_inverse=True)[1]
    value = levels(values)[0]
    cells = np.zeros((label.max() + 1, value.max() + 1))
    np.add.at(cells, (label, value), 1)
    expected = cells.sum(1, keepdims=True) * cells.sum(0, keepdims=True) / len(label)
    weights = np.minimum(_MOST_WEIGHT, (expected / np.maximum(cells, 1))[label, value])
    result: NDArray[np.float64] = weights / (np.bincount(label, weights) / np.bincount(label))[label]
    return result
