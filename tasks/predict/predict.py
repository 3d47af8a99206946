"""The likeliest class of rows of a table, by a bundle: what versions are compared by."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from tasks.calibrate.temperature import probabilities
from tasks.contracts.raw import places, read_raw
from tasks.predict.engine import Seen, see
from tasks.register.bundle import Bundle


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


def _likeliest(seen: Seen, bundle: Bundle) -> Iterator[Likeliest]:
    found = iter(probabilities(seen.logits, bundle.calibration.record.temperature))
    for problem in seen.problems:
        if problem:
            yield Likeliest(None, None)
        else:
            chances = next(found)
            yield Likeliest(bundle.classes[int(chances.argmax())], float(chances.max()))
