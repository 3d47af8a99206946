"""How long the part of `bias` and `evaluate` that looks at who is in the data takes: `python -m benchmarks.bias_scale`.

A table of 100,000 images and 50 metadata columns (texts of few and of many values, numbers, missing values), ten
classes; no pictures. Prints seconds of each part and the peak of memory, imports included.
"""

import resource
import time

import numpy as np
import pandas as pd

from tasks.bias.who import who_is_in_the_data
from tasks.contracts.params import BiasParams, EvaluateParams, ReferenceParams
from tasks.contracts.records import SPLITS, to_json
from tasks.evaluate.evaluation import select_test
from tasks.evaluate.outcomes import outcomes

IMAGES, COLUMNS, CLASSES = 100_000, 50, 10
MEASURES = ("luminance_median", "contrast", "sharpness", "texture", "colour", "border", "jpeg_quality", "blockiness")


def table(rng: np.random.Generator) -> pd.DataFrame:
    """Nothing in it has to do with anything."""
    out = pd.DataFrame(
        {
            "path": [f"{i:06}.jpg" for i in range(IMAGES)],
            "sha256": [f"{int(i):064x}" for i in rng.permutation(IMAGES)],
            "label": rng.choice([f"class {i}" for i in range(CLASSES)], IMAGES),
            "split": rng.choice(SPLITS, IMAGES, p=[0.6, 0.15, 0.1, 0.15]),
            "verdict": rng.choice(["keep", "warn", "quarantine"], IMAGES, p=[0.9, 0.07, 0.03]),
            "width": rng.choice([640, 1024], IMAGES),
            **{name: rng.normal(size=IMAGES) for name in MEASURES},
        }
    )
    for i in range(COLUMNS):
        out[f"meta_{i:02}"] = _column(i, rng)
    return out


def _column(i: int, rng: np.random.Generator) -> pd.Series:
    if i % 5 == 0:
        return pd.Series(rng.normal(size=IMAGES))
    kinds = (3, 2, 40, 8, 2000)[i % 5]
    values = pd.Series(rng.choice([f"value {k}" for k in range(kinds)], IMAGES))
    return values.mask(rng.random(IMAGES) < 0.05)


def main() -> None:
    """Print what it took."""
    images = table(np.random.default_rng(0))
    reference = ReferenceParams(source="s", date="d", shares={"01": {"value 0": 0.6, "value 1": 0.4}})
    start = time.perf_counter()
    who = who_is_in_the_data(images, images["sha256"][::500], BiasParams(reference=reference), np.random.default_rng(0))
    done = time.perf_counter()
    print(f"bias: {done - start:.1f} s, {len(who.cells):,} cells, {len(to_json(who)) / 1e6:.1f} MB of JSON")
    split = select_test(images, tuple(sorted(images["label"].unique())))
    probabilities = np.random.default_rng(1).dirichlet(np.ones(CLASSES), len(split.rows))
    done = time.perf_counter()
    sections, _ = outcomes(split, probabilities, EvaluateParams(), np.random.default_rng(2))
    print(f"evaluate: {time.perf_counter() - done:.1f} s, {sum(len(one.statistics) for one in sections):,} numbers")
    print(f"peak: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
