"""What a trained network needs to be taken at its word: one temperature, scores of held-back images, what is familiar.

In a folder: `calibration.json` and `calibration.safetensors`, well under a few megabytes whatever the data.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from tasks.calibrate.conformal import least_images, plausible
from tasks.calibrate.temperature import Floats
from tasks.calibrate.unlike import Familiar, Floats32
from tasks.contracts.errors import BadUsage, BrokenArtifact, one_line
from tasks.contracts.files import replacing, write_record
from tasks.contracts.model_records import CalibrationRecord
from tasks.contracts.records import read_json

RECORD = "calibration.json"
TENSORS = "calibration.safetensors"
COVERAGE = 0.9  # of the sets, where nobody asks for another
FALSE_FLAGS = 0.05  # of images like the training images, at most so many are called unlike them
_FAMILIAR = tuple(field.name for field in fields(Familiar))
_ROUNDED = "components"  # the only large one; it is rounded before anything follows from it


@dataclass(frozen=True)
class Calibration:
    """The record, `scores` (held-back images,) of their right classes, and what is familiar."""

    record: CalibrationRecord
    scores: Floats32
    familiar: Familiar

    def sets(self, probabilities: Floats, coverage: float, draws: Floats) -> NDArray[np.bool_]:
        """Which classes are in the set of each image: (n, classes), (n,) -> (n, classes); see `plausible`."""
        return plausible(probabilities, self.scores, coverage, draws)

    def require_images(self, coverage: float) -> None:
        """Raise BadUsage where sets for `coverage` take more held-back images than there are."""
        n = len(self.scores)
        if n < least_images(coverage):
            most = int(100 * n / (n + 1)) / 100
            raise BadUsage(
                f"a coverage of {coverage} needs {least_images(coverage)} images in val and promotion, this model has "
                f"{n}; ask for --coverage {most} at most, or register a model that was made with more images"
            )

    def strangeness(self, features: Floats32, looks: Floats32) -> Floats32 | None:
        """How unlike the training images each image is, (n,): above 1 it is flagged.

        None where there were too few held-back images to set a limit.
        """
        limit = self.record.limit
        return None if limit is None else (self.familiar.distances(features, looks) / limit).astype(np.float32)


def save_calibration(folder: Path, calibration: Calibration) -> None:
    """Write both files, or neither."""
    tensors = {name: getattr(calibration.familiar, name) for name in _FAMILIAR}
    tensors[_ROUNDED] = tensors[_ROUNDED].astype(np.float16)
    with replacing(folder) as part:
        part.mkdir()
        save_file(tensors | {"scores": calibration.scores}, part / TENSORS)
        write_record(part / RECORD, calibration.record)


def load_calibration(folder: Path) -> Calibration:
    """The calibration in `folder`.

    Raises BrokenArtifact where a file is missing or broken, or does not fit the other.
    """
    data, path = read_json(folder / RECORD), folder / TENSORS
    try:
        record = CalibrationRecord(**data)
        tensors = {name: tensor.astype(np.float32) for name, tensor in load_file(path).items()}
        if "points" in tensors:  # of a graft before smoothed sets
            raise BrokenArtifact(
                f"{folder} was made by an earlier graft, in another form; `graft run` makes a new version and `graft "
                "models promote` the champion of it"
            )
        found = Calibration(record, tensors["scores"], Familiar(*(tensors[name] for name in _FAMILIAR)))
    except (SafetensorError, OSError, KeyError, TypeError) as error:
        raise BrokenArtifact(f"{folder} is no calibration ({one_line(str(error))}); run `graft run` again") from None
    if not _fits(found):
        raise BrokenArtifact(f"{path} does not fit {RECORD}; run `graft run` again")
    return found


def _fits(one: Calibration) -> bool:
    known, sound = one.familiar, all(np.isfinite(tensor).all() for tensor in (one.scores, *vars(one.familiar).values()))
    width, components = len(known.middle), len(known.components)
    found = (known.scale, known.components, known.whitening, known.centres[0], known.left_out, one.scores)
    wanted = ((width,), (components, width), (components, components), (components,), (1,), (one.record.held_back,))
    positive = one.record.temperature > 0 and known.left_out.min() > 0
    return sound and tuple(tensor.shape for tensor in found) == wanted and positive
