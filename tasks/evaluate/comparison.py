"""Two models on the same images: how much better is one, and could that be chance?"""

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.records import Statistic

Right = NDArray[np.bool_]


def accuracy_difference(first: Right, second: Right, rng: np.random.Generator, resamples: int) -> Statistic:
    """Accuracy of `first` minus that of `second` with a paired bootstrap interval; both (n,), True where right.

    Only three outcomes of an image exist (won, lost, tied), so resampling images is drawing from a multinomial.
    """
    n, estimator = len(first), f"paired percentile bootstrap over images, {resamples} resamples"
    if not n:
        return Statistic("accuracy_difference", None, 0, status="not_measurable", estimator=estimator)
    won, lost = discordant(first, second)
    drawn = rng.multinomial(n, np.array([won, lost, n - won - lost]) / n, size=resamples)
    low, high = (float(end) for end in np.quantile((drawn[:, 0] - drawn[:, 1]) / n, [0.025, 0.975]))
    if max(won, lost, n - won - lost) == n:
        # Every image had the same outcome: the bootstrap sees no spread, but another outcome may be this frequent.
        unseen = 1 - 0.025 ** (1 / n)
        low, high = max(-1.0, low - unseen), min(1.0, high + unseen)
    return Statistic("accuracy_difference", (won - lost) / n, n, low, high, estimator=estimator)


def mcnemar(first: Right, second: Right) -> Statistic:
    """The exact two-sided p of McNemar, 1947: are the images that one model alone gets right shared out evenly?

    `n` counts those images; with none of them there is nothing to test.
    """
    won, lost = discordant(first, second)
    if won + lost == 0:
        return Statistic("mcnemar_p", None, 0, status="not_measurable", estimator="exact McNemar")
    return Statistic("mcnemar_p", _two_sided(min(won, lost), won + lost), won + lost, estimator="exact McNemar")


def discordant(first: Right, second: Right) -> tuple[int, int]:
    """How many images `first` alone gets right, and how many `second` alone."""
    return int((first & ~second).sum()), int((second & ~first).sum())


def _two_sided(fewer: int, tosses: int) -> float:
    """The chance that a fair coin's rarer side comes up at most `fewer` times, counted in whole numbers."""
    ways = total = 1
    for i in range(fewer):
        ways = ways * (tosses - i) // (i + 1)
        total += ways
    p: float = min(1.0, 2 * total / 2**tosses)
    return p
