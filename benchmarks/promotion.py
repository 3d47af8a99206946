"""`python -m benchmarks.promotion [--histories N]`: how often the promotion rule errs, by simulation.

A history is a champion and 50 retrains, each judged by the rule on the same 1,000 promotion images. A model is right
about an image by its accuracy and by how hard the image is for all, so that two models that are equally good disagree
about a tenth of them. Told is how often the champion at the end is truly worse than the first one by more than the
margin, for candidates that are no true gain; and how often a true gain of three points is found.
"""

import argparse
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from tasks.evaluate.metrics import wilson
from tasks.register.promotion import Paired, Rule, decide

IMAGES, RETRAINS, MARGIN, LEVEL = 1000, 50, 0.01, 0.05
ACCURACY = 0.9
DISAGREEMENT = 0.1
GAIN = 0.03

Floats = np.ndarray


@dataclass(frozen=True)
class Model:
    """True accuracy on the images of the first data and on the images that came later, and which it gets right."""

    old: float
    new: float
    right: np.ndarray


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.promotion", description=__doc__)
    parser.add_argument("--histories", type=int, default=1000)
    asked = parser.parse_args()
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn")) as pool:
        print(f"{asked.histories} histories of {RETRAINS} retrains: worse at the end by more than {MARGIN:.0%}\n")
        for title in NO_GAIN:
            worse = sum(pool.map(partial(history, title), range(asked.histories), chunksize=20))
            print(f"  {title:<62} {_share(worse, asked.histories)}")
        print(f"\na true gain of {GAIN:.0%}, found; the share of images that two models disagree about:\n")
        for disagreement in (0.06, 0.08, 0.1, 0.12, 0.15):
            for look in (1, RETRAINS):
                job = partial(found, disagreement, look)
                hits = sum(pool.map(job, range(asked.histories), chunksize=50))
                print(f"  {disagreement:.0%} at look {look:<3} {_share(hits, asked.histories)}")
    return 0


NO_GAIN: dict[str, Callable[[Model, np.random.Generator], tuple[float, float]]] = {
    "each as good as the champion": lambda best, _: (best.old, best.old),
    "each a quarter of the margin worse than the champion": lambda best, _: (best.old - MARGIN / 4,) * 2,
    "each half of the margin worse than the champion": lambda best, _: (best.old - MARGIN / 2,) * 2,
    "each just more than the margin worse than the champion": lambda best, _: (best.old - 1.01 * MARGIN,) * 2,
    "each up to three margins worse than the champion, evenly": lambda best, rng: (
        (best.old - 3 * MARGIN * rng.random(),) * 2
    ),
    "new images: as good there, on the old ones half a margin worse": lambda best, _: (best.old - MARGIN / 2, best.new),
}


def history(title: str, seed: int) -> bool:
    """Whether the champion after all retrains is worse on the old images than the first by more than the margin."""
    rng = np.random.default_rng([seed, list(NO_GAIN).index(title)])
    with_new = title.startswith("new images")
    is_new = np.arange(IMAGES) % 2 == 1 if with_new else np.zeros(IMAGES, bool)
    shared, hard = _shared(DISAGREEMENT), rng.standard_normal(IMAGES)

    def model(old: float, new: float) -> Model:
        return Model(old, new, _right(np.where(is_new, new, old), hard, shared, rng))

    first = champion = anchor = model(ACCURACY, ACCURACY - 0.2 if with_new else ACCURACY)
    for look in range(1, RETRAINS + 1):
        candidate = model(*NO_GAIN[title](champion, rng))
        paired = Paired(candidate.right, champion.right, anchor.right, ~is_new, is_new)
        decision = decide(paired, Rule(MARGIN, LEVEL, look))
        if decision.promote:
            champion = candidate
            anchor = candidate if decision.by == "better" else anchor
    return champion.old < first.old - MARGIN - 1e-9


def found(disagreement: float, look: int, seed: int) -> bool:
    """Whether a candidate that is truly better by GAIN is crowned."""
    rng = np.random.default_rng([seed, look, int(1000 * disagreement)])
    hard, shared = rng.standard_normal(IMAGES), _shared(disagreement, GAIN)
    champion, candidate = (_right(np.full(IMAGES, one), hard, shared, rng) for one in (ACCURACY, ACCURACY + GAIN))
    old = np.ones(IMAGES, bool)
    return decide(Paired(candidate, champion, champion, old, ~old), Rule(MARGIN, LEVEL, look)).promote


def _right(accuracy: Floats, hard: Floats, shared: float, rng: np.random.Generator) -> np.ndarray:
    own = rng.standard_normal(len(hard))
    right: np.ndarray = np.sqrt(shared) * hard + np.sqrt(1 - shared) * own < norm.ppf(accuracy)
    return right


def _shared(disagreement: float, gain: float = 0.0) -> float:
    """How much of what makes an image hard is the same for both models, for this share of disagreement."""
    hard = norm.ppf((np.arange(4000) + 0.5) / 4000)

    def apart(shared: float) -> float:
        ours, theirs = (
            norm.cdf((norm.ppf(one) - np.sqrt(shared) * hard) / np.sqrt(1 - shared))
            for one in (ACCURACY, ACCURACY + gain)
        )
        return float((ours * (1 - theirs) + theirs * (1 - ours)).mean()) - disagreement

    return float(brentq(apart, 0.0, 0.9999))


def _share(hits: int, n: int) -> str:
    one = wilson("share", hits, n)
    return f"{100 * (one.value or 0):5.1f} %  ({100 * (one.low or 0):.1f} to {100 * (one.high or 0):.1f})"


if __name__ == "__main__":
    sys.exit(main())
