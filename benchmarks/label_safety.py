"""`python -m benchmarks.label_safety [SEED ...]`: changes whose effect on labels is known, and what graft says.

A line is a data set and a change: how often it was refused, over the seeds (0 and 1). `must` changes the label of some
class; `harmless` does not, or only makes pictures harder. The last lines count misses and false refusals.
"""

import os
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tasks.contracts.environment import prepare_environment

prepare_environment()

from benchmarks import turning  # noqa: E402 - the environment comes first
from tasks.augment.policy import Policy, make_policy  # noqa: E402
from tasks.augment.records import LabelSafety  # noqa: E402
from tasks.augment.refusal import worst_changes  # noqa: E402
from tasks.augment.safety import Pictures, examine  # noqa: E402
from tasks.contracts.params import AugmentParams  # noqa: E402
from tasks.contracts.progress import QUIET  # noqa: E402

SEEDS = (0, 1)
EACH = 40  # images of a class
DATA = (
    turning.arrows,
    turning.digits_by_font,
    turning.letters_by_font,
    turning.handwriting,
    turning.shapes,
    turning.fruit,
    turning.demo,
)
HALF_TURN = "HorizontalFlip+VerticalFlip"
TURN, HUE = "Affine.rotate", "ColorJitter.hue"
MUST = {  # what changes a label; of these a user would expect a refusal
    "arrows": {"HorizontalFlip", HALF_TURN, TURN},
    "digits by font": {HALF_TURN, TURN, "VerticalFlip"},
    "letters by font": {"HorizontalFlip", "VerticalFlip", HALF_TURN, TURN},
    "handwriting": {HALF_TURN, TURN, "VerticalFlip"},
    "fruit": {HUE},
}
OWN: dict[str, tuple[dict[str, Any], ...]] = {
    "mirrors": ({"transform": "HorizontalFlip", "p": 0.5}, {"transform": "VerticalFlip", "p": 0.5}),
    "turn by up to 180": ({"transform": "Affine", "rotate": (-180, 180), "p": 0.5},),
    "hue by up to 120 degrees": ({"transform": "ColorJitter", "hue": 1 / 3, "p": 0.5},),
    "only harder": (
        {"transform": "GaussNoise", "std_range": (0.02, 0.3), "p": 0.5},
        {"transform": "GaussianBlur", "sigma_limit": (0.5, 4.0), "p": 0.5},
        {"transform": "ImageCompression", "quality_range": (10, 90), "p": 0.5},
        {
            "transform": "CoarseDropout",
            "num_holes_range": (1, 5),
            "hole_height_range": (0.1, 0.25),
            "hole_width_range": (0.1, 0.25),
            "fill": 128,
            "p": 0.5,
        },
    ),
}
BUILT_IN = ("light", "strong")


def main() -> int:
    os.environ[QUIET] = "1"
    seeds = tuple(int(one) for one in sys.argv[1:]) or SEEDS
    refused: Counter[tuple[str, str, str]] = Counter()
    tried: Counter[tuple[str, str, str]] = Counter()
    for make in DATA:
        started = time.monotonic()
        for seed in seeds:
            pictures = make(EACH, seed)
            for name, policy in policies().items():
                safety = examined(pictures, policy, seed)
                bad = {change.rule: change for change in worst_changes(safety)}
                for rule in {change.rule for change in safety.changes} | set(bad):
                    tried[pictures.name, name, rule] += 1
                    refused[pictures.name, name, rule] += rule in bad
            last = (pictures, safety)
        print(f"# {last[0].name}: {len(last[0].labels)} images, not judged: {names_of(last[1])}", end="")
        print(f", {time.monotonic() - started:.0f} s", flush=True)
    report(refused, tried)
    return 0


def policies() -> dict[str, Policy]:
    """Every policy that is tried, by name."""
    built_in = {name: make_policy(AugmentParams.model_validate({"policy": name}), turning.SIDE_PX) for name in BUILT_IN}
    own = {name: Policy("own", transforms, turning.SIDE_PX) for name, transforms in OWN.items()}
    return {**built_in, **own}


def examined(pictures: turning.Pictures, policy: Policy, seed: int) -> LabelSafety:
    """What graft says of a policy for these pictures."""
    hashes = tuple(f"{row:064x}" for row in range(len(pictures.labels)))
    given = Pictures(pictures.pixels, np.arange(len(hashes)), pictures.labels, hashes, hashes)
    with TemporaryDirectory() as cache:
        return examine(given, policy, Path(cache), seed)


def names_of(safety: LabelSafety) -> str:
    """The classes that could not be judged."""
    return ", ".join(one.name for one in safety.unknown) or "none"


def report(refused: Counter[tuple[str, str, str]], tried: Counter[tuple[str, str, str]]) -> None:
    """A line for whatever must be refused or was, and the sums."""
    sums: Counter[str] = Counter()
    for key in sorted(tried):
        data, policy, rule = key
        must = rule in MUST.get(data, set()) and policy not in BUILT_IN
        kind = "must" if must else "harmless"
        sums[kind] += tried[key]
        sums[f"{kind} refused"] += refused[key]
        if must or refused[key]:
            print(f"{kind:8}  {data:15}  {policy:24}  {rule:28}  refused {refused[key]} of {tried[key]}")
    print(f"misses {sums['must'] - sums['must refused']} of {sums['must']}")
    print(f"false refusals {sums['harmless refused']} of {sums['harmless']}")


if __name__ == "__main__":
    sys.exit(main())
