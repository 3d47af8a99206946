"""A calibration from a trained network and the images that it did not learn from.

Val gives the temperature; val and promotion together give the scores of the sets and the limit of what is familiar.
Val chose the epoch, so it may flatter the network: by how much is measured in docs/predicting.md, and it is less than
what twice as few images would cost. Promotion decides by right and wrong alone, which nothing here changes. Test
images only report.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from tasks.backbone.cache import FOLDER, remembered
from tasks.backbone.features import Rows
from tasks.backbone.network import TransferNet
from tasks.calibrate.calibration import FALSE_FLAGS, Calibration
from tasks.calibrate.conformal import DRAWS_CODE, draws_of, quantile, scores_of
from tasks.calibrate.looks import LOOKS_CODE, looks_of
from tasks.calibrate.temperature import Floats, Ints, fit_temperature, probabilities
from tasks.calibrate.unlike import MOST_REFERENCES, Floats32, familiar
from tasks.contracts.errors import BadData
from tasks.contracts.images import PIXELS_VERSION
from tasks.contracts.model_records import BackboneRef, CalibrationRecord
from tasks.contracts.prepared import Pixels
from tasks.contracts.samples import usable
from tasks.train.predictor import cached_outputs

MOST_HELD_BACK = 10_000  # of each split, the first by content hash: a drawing that nobody chose
_LOOKED_AT = 256  # images at once
_STRANGE = 1.0  # the score of a right class that the model does not know


@dataclass(frozen=True)
class Given:
    """What a network gives of n images, how they look, and a draw for each: (n, ...)."""

    logits: Floats32
    features: Floats32
    looks: Floats32
    draws: Floats


def calibrate(  # noqa: PLR0913
    net: TransferNet,
    backbone: BackboneRef,
    classes: tuple[str, ...],
    checked: pd.DataFrame,
    prepared: Pixels,
    cache: Path,
) -> Calibration:
    """The calibration of `net`; `checked` has a column `pixels`, rows of `prepared`. `cache` is a workspace's.

    Raises BadData where val is empty.
    """
    train = usable(checked, "train").head(MOST_REFERENCES)
    val, promotion = (usable(checked, split).head(MOST_HELD_BACK) for split in ("val", "promotion"))
    if val.empty:
        raise BadData("no usable image is in the val split; add images or change quality.splits in params.yaml")
    rows = pd.concat([val, promotion], ignore_index=True)
    seen, held_back = (given_of(net, backbone, prepared, one, cache) for one in (train, rows))
    targets = indices(rows["label"], classes)
    temperature = fit_temperature(held_back.logits[: len(val)].astype(np.float64), targets[: len(val)])
    found = probabilities(held_back.logits, temperature)
    scores = np.where(targets >= 0, scores_of(found, targets), _STRANGE).astype(np.float32)
    near = familiar(seen.features, seen.looks, indices(train["label"], classes))
    limit = quantile(near.distances(held_back.features, held_back.looks), 1 - FALSE_FLAGS)
    record = CalibrationRecord(temperature, len(val), len(rows), len(train), FALSE_FLAGS, limit)
    return Calibration(record, scores, near)


def indices(labels: pd.Series, classes: tuple[str, ...]) -> Ints:
    """The index of each label among `classes`, -1 where the model does not know it (training refuses that of val)."""
    index = {label: i for i, label in enumerate(classes)}
    return np.array([index.get(label, -1) for label in labels], np.int64)


def given_of(net: TransferNet, backbone: BackboneRef, prepared: Pixels, rows: pd.DataFrame, cache: Path) -> Given:
    """What `net` gives of the images of `rows`; how a picture looks is remembered by its content."""
    pixels, hashes = Rows(prepared, rows["pixels"].to_numpy(np.int64)), rows["sha256"].tolist()
    made = cached_outputs(net, backbone, pixels, hashes, cache)
    made_by = f"cv2 {cv2.__version__}, numpy {np.__version__}"
    key = f"looks {LOOKS_CODE} and draws {DRAWS_CODE}, {pixels.shape[1]} px {PIXELS_VERSION}, {made_by}"
    seen = remembered(cache / FOLDER, key, hashes, lambda at: _seen(pixels, at))
    return Given(made.logits, made.features, seen[:, :-1].astype(np.float32), seen[:, -1])


def _seen(pixels: Rows, chosen: Ints) -> Floats:
    """Looks and, last, the draw of the chosen images: (n, width + 1); a double holds both exactly."""
    found = []
    for start in range(0, len(chosen), _LOOKED_AT):
        batch = pixels[chosen[start : start + _LOOKED_AT]]
        found.append(np.column_stack([looks_of(batch), draws_of(batch)]))
    return np.concatenate(found)
