"""Two models on the same images: how much better is one, and could that be chance?"""

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.records import Statistic
from tasks.evaluate.metrics import percentiles, unseen

Right = NDArray[np.bool_]


def accuracy_difference(first: Right, second: Right, rng: np.random.Generator, resamples: int) -> Statistic:
    """Accuracy of `first` minus that of `second` with a paired bootstrap interval; both (n,), True where right.

    Only three outcomes of an image exist (won, lost, tied), so resampling images is drawing from a multinomial.
    The p is that of McNemar's exact test.
    """
    n, estimator = len(first), f"paired percentile bootstrap over images, {resamples} resamples; exact McNemar p"
    if not n:
        return Statistic("accuracy_difference", None, 0, status="not_measurable", estimator=estimator)
    won, lost = discordant(first, second)
    drawn = rng.multinomial(n, np.array([won, lost, n - won - lost]) / n, size=resamples)
    low, high = percentiles((drawn[:, 0] - drawn[:, 1]) / n)
    if max(won, lost, n - won - lost) == n:
        # Every image had the same outcome: the bootstrap sees no spread, but another outcome may be this frequent.
        low, high = max(-1.0, low - unseen(n)), min(1.0, high + unseen(n))
    value, p = (won - lost) / n, mcnemar_p(won, lost)
    return Statistic("accuracy_difference", value, n, low, high, estimator=estimator, p_value=p)


def discordant(first: Right, second: Right) -> tuple[int, int]:
    """How many images `first` alone gets right, and how many `second` alone."""
    return int((first & ~second).sum()), int((second & ~first).sum())


def mcnemar_p(won: int, lost: int) -> float:
    """The exact two-sided p of McNemar, 1947: are the images that one model alone gets right shared out evenly?

    Counted in whole numbers: the chance that of `won + lost` tosses of a fair coin the rarer side comes up at most
    min(won, lost) times. Without such images it is 1.
    """
    tosses = won + lost
    ways = total = 1
    for i in range(min(won, lost)):
        ways = ways * (tosses - i) // (i + 1)
        total += ways
    p: float = min(1.0, 2 * total / 2**tosses)
    return p
