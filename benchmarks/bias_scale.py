"""What looking at who is in the data costs, and how often it raises a false alarm.

`python -m benchmarks.bias_scale`: a table of 100,000 images and 50 metadata columns (texts of few and of many values,
numbers, missing values), ten classes; no pictures. Prints seconds of each part and the peak of memory with imports.

`python -m benchmarks.bias_scale --twins 400`: tables of 400 images in which nothing has to do with anything, each from
a seed of its own, and the share of them with an alarm.
"""

import argparse
import resource
import time
from collections import Counter

import numpy as np
import pandas as pd

from tasks.bias.who import who_is_in_the_data
from tasks.contracts.params import BiasParams, EvaluateParams, ReferenceParams
from tasks.contracts.records import SPLITS, to_json
from tasks.evaluate.evaluation import select_test
from tasks.evaluate.metrics import wilson
from tasks.evaluate.outcomes import outcomes

ALARMS = ("not_representative", "flaws_by_group", "split_drift")
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


def count_alarms(twins: int) -> None:
    """Print how many of so many tables without any bias raise an alarm."""
    shares = {"n": 0.5, "s": 0.3, "e": 0.2}
    reference = ReferenceParams(source="s", date="d", shares={"site": shares})
    found: Counter[str] = Counter()
    for seed in range(twins):
        rng = np.random.default_rng([99, seed])
        images = _twin(rng, shares)
        who = who_is_in_the_data(images, images["sha256"][::40], BiasParams(reference=reference), rng)
        checks = {one.check for one in who.findings if one.check in ALARMS}
        found.update([*checks, *(["any"] if checks else [])])
    print(wilson("alarms", found["any"], twins), dict(found))


def _twin(rng: np.random.Generator, shares: dict[str, float], n: int = 400) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": [str(i) for i in range(n)],
            "sha256": [f"{int(i):064x}" for i in rng.permutation(n)],
            "label": rng.choice(list("abcd"), n),
            "split": rng.choice(SPLITS, n, p=[0.6, 0.15, 0.1, 0.15]),
            "verdict": rng.choice(["keep", "warn", "quarantine"], n, p=[0.85, 0.1, 0.05]),
            "luminance_median": rng.normal(size=n),
            "sharpness": rng.normal(size=n),
            "width": rng.choice([640, 800], n),
            "meta_site": rng.choice(list(shares), n, p=list(shares.values())),
            "meta_lamp": rng.choice(["x", "y"], n),
            "meta_age": rng.normal(size=n),
        }
    )


def main() -> None:
    """Print what it took, or the alarms."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--twins", type=int, default=0)
    if twins := parser.parse_args().twins:
        count_alarms(twins)
        return
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
