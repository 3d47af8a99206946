"""The figures of a restored version made again: its bundle's network on its own test images, from the image files.

On the machine that made them they come out equal to the last digit. Another processor, library or number of threads
may add up in another order: a figure holds where it differs by TOLERANCE of itself at most, which of shares of right
answers leaves no room for a single image of ten thousand.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.backbone.weights import backbone_ref
from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.files import read_table
from tasks.contracts.images import Undecodable, decode, decoder_warnings_off
from tasks.contracts.prepared import Pixels
from tasks.contracts.progress import progress
from tasks.contracts.raw import Unreadable, places, read_raw
from tasks.contracts.record_files import checksum_of
from tasks.contracts.records import read_json
from tasks.contracts.workspace import Workspace
from tasks.evaluate.evaluation import HeldOut, select_test
from tasks.evaluate.metrics import Floats, scores
from tasks.evaluate.ranking import ranking
from tasks.register.bundle import REPORTS, Bundle, load_bundle
from tasks.train.predictor import predict

TOLERANCE = 1e-4
FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "log_loss", "calibration_error")
_RESAMPLES = 2  # intervals are not compared


@dataclass(frozen=True)
class Remade:
    """A figure as the version's evaluation has it, and as it came out now; None where it cannot be measured."""

    name: str
    recorded: float | None
    made: float | None

    @property
    def holds(self) -> bool:
        """Whether the two are the same but for rounding."""
        if self.recorded is None or self.made is None:
            return self.recorded is self.made
        return math.isclose(self.recorded, self.made, rel_tol=TOLERANCE, abs_tol=1e-9)


def recompute(folder: Path) -> tuple[Remade, ...]:
    """Every figure of the candidate on test, from the version that was restored into `folder`; nothing is written.

    Raises BrokenArtifact where the bundle does not hold, or an image is not the one that was checked.
    """
    ws = Workspace(folder)
    bundle = load_bundle(ws.bundle)
    recorded = read_json(ws.bundle / REPORTS / ws.evaluation.name)["candidate"]
    split = select_test(read_table(ws.checked), bundle.classes)
    made = _made(bundle, split, _pixels(ws, split.rows, int(bundle.record["preprocessing"]["prepared_px"])))
    images = Remade("test images", recorded["accuracy"]["n"], len(split.rows))
    return (images, *(Remade(name, _value(recorded.get(name)), made[name]) for name in FIGURES))


def require_equal(figures: tuple[Remade, ...]) -> None:
    """Raise BrokenArtifact that names every figure that came out otherwise."""
    if wrong := [one for one in figures if not one.holds]:
        told = ", ".join(f"{one.name} is {_said(one.made)}, not {_said(one.recorded)}" for one in wrong)
        raise BrokenArtifact(f"made again from what was restored, {told}")


def _made(bundle: Bundle, split: HeldOut, pixels: Pixels) -> dict[str, float | None]:
    chances = _probabilities(bundle, pixels)
    rng = np.random.default_rng(0)
    plain = scores(chances, split.targets, split.classes, rng, _RESAMPLES)
    ranked = ranking(chances, split.targets, rng, _RESAMPLES)
    found = (plain.accuracy, ranked.balanced_accuracy, plain.macro_f1, ranked.auroc, plain.log_loss)
    values = (*(one.value for one in found), plain.calibration_error.value)
    return dict(zip(FIGURES, values, strict=True))


def _probabilities(bundle: Bundle, pixels: Pixels) -> Floats:
    """As `evaluate` has them: by the network as it is, rows adding up to exactly 1 in double precision."""
    if not len(pixels):
        return np.empty((0, len(bundle.classes)))
    raw = predict(bundle.net, backbone_ref(bundle.record["model"]["backbone"]), pixels).astype(np.float64)
    total: Floats = raw / raw.sum(axis=1, keepdims=True)
    return total


def _pixels(ws: Workspace, rows: pd.DataFrame, side_px: int) -> Pixels:
    """The prepared pixels of `rows`, decoded from the image files and held against their checksums."""
    found = np.empty((len(rows), side_px, side_px, 3), np.uint8)
    named = zip(found, places(rows), rows["path"], rows["bytes"], rows["pixels_crc32"], strict=True)
    with decoder_warnings_off():
        for out, place, path, size, checksum in progress(named, len(rows), "reading test images"):
            try:
                out[:] = decode(read_raw(ws.raw, place, int(size)), side_px, max_megapixels=np.inf).pixels
            except (Unreadable, Undecodable) as error:
                raise BrokenArtifact(f"{ws.raw / path} cannot be read ({error})") from None
            if checksum_of(out) != checksum:
                raise BrokenArtifact(f"{ws.raw / path} gives other pixels than were checked")
    return found


def _value(statistic: dict[str, Any] | None) -> float | None:
    return None if statistic is None else statistic["value"]


def _said(value: float | None) -> str:
    return "not measurable" if value is None else f"{value:.10g}"
