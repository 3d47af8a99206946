"""`python -m benchmarks.bias [--seeds 10] [--twins 400]`: whether what is planted is found, and nothing else.

For every plant (`benchmarks/plants.py`), by how many seeds it was found, and was the first finding of its kind. Then
the null: sets without a plant whose labels are shuffled, and the share of them with any alarm of the whole audit,
which is to be at most 5 %.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from benchmarks import plants
from benchmarks.plants import Recipe
from tasks.bias.metadata import look_at_metadata
from tasks.bias.pictures import look_at_pictures
from tasks.contracts.prepared import Pixels, open_checked
from tasks.contracts.progress import QUIET
from tasks.contracts.records import Finding
from tasks.contracts.samples import usable
from tasks.evaluate.metrics import wilson

PERMUTATIONS = 99  # as few as there may be
_OF_LABEL = ("association", "follows_another")
_OF_SPLIT = ("split_association", "identity_crosses_splits")
_OF_PICTURES = ("fixed_overlay", *(f"{kind}_gives_class_away" for kind in
    ("border", "size", "header", "compression", "tone", "sharpness")))  # fmt: skip
_ALARMS = ("association", "split_association", "trivial_model", "trivial_model_falls", *_OF_PICTURES)


@dataclass(frozen=True)
class Case:
    """What is planted, the finding that must be there, and the first of its kind: that one, or `first`."""

    name: str
    recipe: Recipe
    check: str
    subject: str
    kind: tuple[str, ...]
    first: tuple[str, str] | None = None
    after: Callable[[pd.DataFrame, np.random.Generator], pd.DataFrame] = lambda table, _: table


def _site_of_split(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    moved = (table["split"] == "test") & (rng.random(len(table)) < plants.SHARE)
    return table.assign(meta_site=table["meta_site"].where(~moved, "east"))


def _patients(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    return table.assign(meta_patient=[f"p{one}" for one in rng.integers(0, len(table) // 4, len(table))])


# of two attributes that go together it takes more images to tell which leads
_FOLLOWING = Recipe(plants.site, plants.camera_of_site, 1800)
CASES = (
    Case("watermark", Recipe(plants.watermark), "fixed_overlay", "a", _OF_PICTURES),
    Case("tone", Recipe(plants.tone), "tone_gives_class_away", "a", _OF_PICTURES),
    Case("JPEG quantisation", Recipe(plants.quantisation), "compression_gives_class_away", "a", _OF_PICTURES),
    Case("size", Recipe(plants.size), "size_gives_class_away", "a", _OF_PICTURES),
    Case("border", Recipe(plants.border), "border_gives_class_away", "a", _OF_PICTURES),
    Case("EXIF camera", Recipe(plants.camera), "association", "EXIF camera", _OF_LABEL),
    Case("site~label", Recipe(plants.site), "association", "site", _OF_LABEL),
    Case("camera follows site", _FOLLOWING, "follows_another", "EXIF camera", _OF_LABEL, ("association", "site")),
    Case("site~split", Recipe(), "split_association", "site", _OF_SPLIT, after=_site_of_split),
    Case("patient across splits", Recipe(), "identity_crosses_splits", "patient", _OF_SPLIT, after=_patients),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bias", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--twins", type=int, default=400)
    asked = parser.parse_args()
    os.environ[QUIET] = "1"
    started = time.perf_counter()
    print(f"seeds 0 to {asked.seeds - 1}; {plants.IMAGES} images of {len(plants.CLASSES)} classes each")
    print(f"{'planted':26}{'found':>8}{'named first':>14}   seeds without")
    for case in CASES:
        print(_line(case, [_outcome(case, seed) for seed in range(asked.seeds)]), flush=True)
    print(_null(asked.seeds, asked.twins))
    print(f"{time.perf_counter() - started:.0f} s")
    return 0


def _line(case: Case, outcomes: list[tuple[bool, bool]]) -> str:
    found, first = (sum(column) for column in zip(*outcomes, strict=True))
    missed = ", ".join(str(seed) for seed, outcome in enumerate(outcomes) if not all(outcome)) or "none"
    return f"{case.name:26}{f'{found}/{len(outcomes)}':>8}{f'{first}/{len(outcomes)}':>14}   {missed}"


def _outcome(case: Case, seed: int) -> tuple[bool, bool]:
    """Whether the plant was found, and was named first."""
    rng = np.random.default_rng([seed, 1])
    with TemporaryDirectory() as folder:
        checked, pixels = open_checked(plants.write(Path(folder) / "ws", seed, case.recipe))
        images = case.after(usable(checked), rng)
        told = _of_pictures(images, pixels, seed) if case.kind is _OF_PICTURES else _of_attributes(images, seed)
    named = [(one.check, one.subject) for one in told if one.check in case.kind]
    wanted = (case.check, case.subject)
    return wanted in named, wanted in named and named[0] == (case.first or wanted)


def _of_attributes(images: pd.DataFrame, seed: int) -> tuple[Finding, ...]:
    return look_at_metadata(images, PERMUTATIONS, np.random.default_rng([seed, 2])).findings


def _of_pictures(images: pd.DataFrame, pixels: Pixels, seed: int) -> tuple[Finding, ...]:
    return look_at_pictures(pixels, images, PERMUTATIONS, np.random.default_rng([seed, 3])).findings


def _null(seeds: int, twins: int) -> str:
    """The share of twins, spread over sets of all seeds, with any alarm, and which alarms these were."""
    alarms: list[list[str]] = []
    for seed in range(seeds):
        with TemporaryDirectory() as folder:
            checked, pixels = open_checked(plants.write(Path(folder) / "ws", seed, Recipe()))
            for twin in range(seed, twins, seeds):
                images = usable(checked)
                shuffled = np.random.default_rng([twin, 4])
                images = images.assign(
                    label=shuffled.permutation(images["label"]), split=shuffled.permutation(images["split"])
                )
                told = (*_of_attributes(images, twin), *_of_pictures(images, pixels, twin))
                alarms.append([one.check for one in told if one.check in _ALARMS])
    rate = wilson("alarms", sum(map(bool, alarms)), len(alarms))
    named = pd.Series([check for of in alarms for check in set(of)], dtype="str").value_counts().to_dict()
    return (
        f"null: {sum(map(bool, alarms))} of {len(alarms)} twins with any alarm, {rate.value:.1%} "
        f"({rate.low:.1%} to {rate.high:.1%}); twin numbers 0 to {len(alarms) - 1}; by check {named}"
    )


if __name__ == "__main__":
    sys.exit(main())
