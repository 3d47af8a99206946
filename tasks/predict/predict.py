"""The likeliest class of rows of a table, by a bundle: what versions are compared by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from tasks.backbone.rows import PixelSource
from tasks.backbone.weights import backbone_ref
from tasks.calibrate.temperature import probabilities
from tasks.contracts.raw import places, read_raw
from tasks.predict.engine import Floats32, Seen, see
from tasks.register.bundle import Bundle
from tasks.train.predictor import cached_outputs


@dataclass(frozen=True)
class Likeliest:
    """The likeliest class of an image and its calibrated probability; None: not decodable."""

    label: str | None
    probability: float | None


def predict_samples(bundle: Bundle, root: Path, rows: pd.DataFrame) -> list[Likeliest]:
    """The likeliest class for each row of the manifest or the checked table.

    The bytes lie below `root`, in archives or not.
    """
    named = zip(rows["path"], places(rows), rows["bytes"], strict=True)
    files = ((path, partial(read_raw, root, at, int(size))) for path, at, size in named)
    return [one for seen in see(bundle, files) for one in _likeliest(seen, bundle)]


def predict_prepared(bundle: Bundle, pixels: PixelSource, sha256s: Sequence[str], cache: Path) -> list[Likeliest]:
    """The same from prepared pixels (n, side, side, 3) of the side that the bundle takes, with their content hashes.

    A bundle that loads decodes as this installation does, so these are the pixels that its files would give. What the
    network gave of an image before is read from `cache`.
    """
    ref = backbone_ref(bundle.record["model"]["backbone"])
    return list(_named(cached_outputs(bundle.net, ref, pixels, sha256s, cache).logits, bundle))


def _likeliest(seen: Seen, bundle: Bundle) -> Iterator[Likeliest]:
    found = _named(seen.logits, bundle)
    for problem in seen.problems:
        yield Likeliest(None, None) if problem else next(found)


def _named(logits: Floats32, bundle: Bundle) -> Iterator[Likeliest]:
    for chances in probabilities(logits, bundle.calibration.record.temperature):
        yield Likeliest(bundle.classes[int(chances.argmax())], float(chances.max()))
