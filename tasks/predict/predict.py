"""Labels with probabilities for image files, by a bundle."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.backbone.weights import backbone_ref
from tasks.contracts.images import Undecodable, decode, decoder_warnings_off
from tasks.contracts.prepared import Pixels
from tasks.register.bundle import Bundle
from tasks.train.predictor import predict

IN_MEMORY = 512  # images at once


@dataclass(frozen=True)
class Prediction:
    """What the model says of one file: its classes with probabilities, the likeliest first; or why it cannot."""

    path: str
    label: str | None
    probability: float | None
    probabilities: dict[str, float]
    problem: str = ""


def predict_files(bundle: Bundle, paths: list[Path]) -> list[Prediction]:
    """A prediction for each path, in order; a file that cannot be decoded gets a problem and stops nothing."""
    found: list[Prediction] = []
    with decoder_warnings_off():
        for start in range(0, len(paths), IN_MEMORY):
            found += _predict_some(bundle, paths[start : start + IN_MEMORY])
    return found


def _predict_some(bundle: Bundle, paths: list[Path]) -> list[Prediction]:
    side = int(bundle.record["preprocessing"]["prepared_px"])
    decoded = [_read(path, side) for path in paths]
    images = [pixels for pixels in decoded if not isinstance(pixels, str)]
    if images:
        found = iter(predict(bundle.net, backbone_ref(bundle.record["model"]["backbone"]), np.stack(images)))
    return [
        Prediction(str(path), None, None, {}, pixels)
        if isinstance(pixels, str)
        else _named(path, next(found), bundle.classes)
        for path, pixels in zip(paths, decoded, strict=True)
    ]


def _read(path: Path, side_px: int) -> Pixels | str:
    try:
        return decode(path.read_bytes(), side_px).pixels
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except Undecodable as error:
        return str(error)


def _named(path: Path, probabilities: np.ndarray, classes: tuple[str, ...]) -> Prediction:
    order = np.argsort(-probabilities, kind="stable")
    named = {classes[i]: round(float(probabilities[i]), 6) for i in order}
    best = classes[order[0]]
    return Prediction(str(path), best, named[best], named)
