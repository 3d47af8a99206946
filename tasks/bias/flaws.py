"""Whether images are taken out, warned of or suspected of a wrong label more often in some groups than in others.

What is held back elsewhere is how many images a small subgroup has; how many of a group's images have a flaw is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.bias.alike import p_of_table
from tasks.bias.attributes import Levels, examine
from tasks.bias.significance import family_holm
from tasks.contracts.records import Finding, Section, Severity, Statistic
from tasks.evaluate.metrics import wilson
from tasks.evaluate.selection import difference_interval

NAME = "quality by group"
QUESTION = "Do images of some groups have more flaws than those of others?"
WARN_AT, INFO_AT = 0.1, 0.02  # difference of the shares
_CORRECTION = "Holm over all flaws and attributes, Bonferroni over the 8 families"

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class _Flaw:
    """What is wrong, which images have it, and among which it is counted."""

    what: str
    has: Bools
    among: Bools


@dataclass(frozen=True)
class _Tested:
    """A flaw by an attribute: the share of each level, the difference of the worst to all others, the p of them all."""

    flaw: str
    by: str
    worst: str
    shares: tuple[Statistic, ...]
    difference: Statistic
    p_value: float


def flaws(
    images: pd.DataFrame, levels: Sequence[Levels], suspects: pd.Series, rng: np.random.Generator
) -> tuple[Section, list[Finding]]:
    """For each flaw, attribute and the class itself: where it is most frequent, and whether that could be chance.

    `levels` are those of the labelled `images`; `suspects` are hashes. Images count as independent.
    """
    kept = (images["verdict"] != "quarantine").to_numpy()
    kinds = (
        _Flaw("taken out", ~kept, np.ones(len(images), bool)),
        _Flaw("warned of", (images["verdict"] == "warn").to_numpy(), kept),
        _Flaw("suspect label", images["sha256"].isin(suspects).to_numpy(), kept),
    )
    classes, _ = examine(images[["label"]].rename(columns={"label": "class"}), (), 1, kept)
    tested = [_test(flaw, one, rng) for flaw in kinds for one in (*classes, *levels)]
    measured = [one for one in tested if isinstance(one, _Tested)]
    told = [one for one in tested if isinstance(one, Statistic)]
    found: list[Finding] = []
    statistics: list[Statistic] = []
    order = sorted(zip(measured, family_holm([one.p_value for one in measured]), strict=True), key=_clearest)
    for one, p_value in order:
        difference = replace(one.difference, p_value=p_value, correction=_CORRECTION)
        statistics.append(difference)
        if p_value <= 0.05:
            statistics += one.shares
            if (difference.value or 0.0) >= INFO_AT:
                found.append(_finding(one, difference))
    return Section(NAME, QUESTION, (*statistics, *told)), found


def _clearest(pair: tuple[_Tested, float]) -> tuple[float, float, str]:
    one, p_value = pair
    return p_value, -(one.difference.value or 0.0), one.difference.name


def _test(flaw: _Flaw, levels: Levels, rng: np.random.Generator) -> _Tested | Statistic:
    """The worst level is the one with the largest share; levels of which no image is counted are passed over."""
    codes, width = levels.codes[flaw.among], len(levels.names)
    sizes = np.bincount(codes, minlength=width)
    hits = np.bincount(levels.codes[flaw.among & flaw.has], minlength=width)
    there = np.flatnonzero(sizes)
    name = f"{flaw.what}, by {levels.name}"
    if not hits.sum() or len(there) < 2:
        why = "not measured: no image has it" if not hits.sum() else "not measured: all images are of one value"
        return Statistic(name, None, int(sizes.sum()), status="not_measurable", estimator=why)
    shares = {int(i): wilson(_share(flaw, levels, int(i)), int(hits[i]), int(sizes[i])) for i in there}
    worst = max(shares, key=lambda i: (shares[i].value or 0.0, shares[i].n, -i))
    rest = wilson("", int(hits.sum() - hits[worst]), int(sizes.sum() - sizes[worst]))
    value = (shares[worst].value or 0.0) - (rest.value or 0.0)
    low, high = difference_interval(shares[worst], rest)
    how = "share there less elsewhere; Newcombe; chi-square p of all values, exact where counts are low"
    who = f"{levels.name} = {levels.names[worst]}"
    difference = Statistic(f"{flaw.what}, most in {who}: difference", value, shares[worst].n, low, high, estimator=how)
    p_value = p_of_table(np.stack([hits, sizes - hits]), rng)
    return _Tested(flaw.what, levels.name, who, tuple(shares.values()), difference, p_value)


def _share(flaw: _Flaw, levels: Levels, level: int) -> str:
    return f"{flaw.what}, {levels.name} = {levels.names[level]}: share"


def _finding(one: _Tested, difference: Statistic) -> Finding:
    severity: Severity = "warn" if (difference.value or 0.0) >= WARN_AT else "info"
    message = f"{one.flaw}: {100 * (difference.value or 0.0):.1f} points more of {one.worst} than of all others"
    remedy = "look at these images: a limit that fits the others may not fit them, or they were made with less care"
    return Finding("flaws_by_group", severity, one.worst, difference, message, remedy)
