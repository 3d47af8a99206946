"""Labels with probabilities for image files, by a bundle."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from tasks.backbone.weights import backbone_ref
from tasks.contracts.images import Undecodable, decode, decoder_warnings_off
from tasks.contracts.prepared import Pixels
from tasks.contracts.raw import Unreadable, places, read_raw
from tasks.register.bundle import Bundle
from tasks.train.predictor import predict

IN_MEMORY = 512  # images at once
_MAX_MEGAPIXELS = 500.0  # what a person names is not a stranger's upload; more would take gigabytes


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
    return _predict(bundle, {str(path): path.read_bytes for path in paths}, [str(path) for path in paths])


def predict_samples(bundle: Bundle, root: Path, rows: pd.DataFrame) -> list[Prediction]:
    """The same for rows of the manifest or the checked table, whose bytes lie below `root`, in archives or not."""
    named = zip(rows["path"], places(rows), rows["bytes"], strict=True)
    return _predict(
        bundle, {path: partial(read_raw, root, at, int(size)) for path, at, size in named}, list(rows["path"])
    )


def _predict(bundle: Bundle, read: dict[str, Callable[[], bytes]], names: list[str]) -> list[Prediction]:
    found: list[Prediction] = []
    with decoder_warnings_off():
        for start in range(0, len(names), IN_MEMORY):
            some = names[start : start + IN_MEMORY]
            found += _predict_some(bundle, some, [read[name] for name in some])
    return found


def _predict_some(bundle: Bundle, names: list[str], read: list[Callable[[], bytes]]) -> list[Prediction]:
    side = int(bundle.record["preprocessing"]["prepared_px"])
    decoded = [_decoded(one, side) for one in read]
    images = [pixels for pixels in decoded if not isinstance(pixels, str)]
    if images:
        found = iter(predict(bundle.net, backbone_ref(bundle.record["model"]["backbone"]), np.stack(images)))
    return [
        Prediction(name, None, None, {}, pixels)
        if isinstance(pixels, str)
        else _named(name, next(found), bundle.classes)
        for name, pixels in zip(names, decoded, strict=True)
    ]


def _decoded(read: Callable[[], bytes], side_px: int) -> Pixels | str:
    try:
        return decode(read(), side_px, max_megapixels=_MAX_MEGAPIXELS).pixels
    except Unreadable as error:
        return f"cannot be read: {error.reason}"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except Undecodable as error:
        return str(error)


def _named(name: str, probabilities: np.ndarray, classes: tuple[str, ...]) -> Prediction:
    order = np.argsort(-probabilities, kind="stable")
    named = {classes[i]: round(float(probabilities[i]), 6) for i in order}
    best = classes[order[0]]
    return Prediction(name, best, named[best], named)
