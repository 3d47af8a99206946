"""How often groups are selected, compared by the arithmetic of New York City's Local Law 144.

As secondary sources give its rules, for each category: selection rate = selected / all of the category; impact ratio =
selection rate / that of the most selected category. A category below 2 % of the data may be left out of the impact
ratios, if its number and selection rate are told; those whose category is unknown are counted apart. Here "selected"
is any yes or no, such as "the model calls it a cat".
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.records import Statistic
from tasks.evaluate.groups import Groups
from tasks.evaluate.metrics import wilson

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Comparison:
    """Between whom: groups below `least_share` of all images are left out; no `reference`: the most selected."""

    least_share: float
    reference: str = ""


def impact_ratios(groups: Groups, selected: Bools, what: str, how: Comparison) -> list[Statistic]:
    """The selection rate and the impact ratio of each group; `what` names being selected."""
    sizes = groups.sizes
    hits = np.bincount(groups.codes[selected], minlength=len(sizes))[: len(sizes)]
    rates = [wilson("", int(hit), int(n)) for hit, n in zip(hits, sizes, strict=True)]
    left_out = {name: _why_left_out(groups, i, how) for i, name in enumerate(groups.names)}
    best = _reference([rate.value for rate in rates], groups.names, left_out, how.reference)
    out = []
    for i, (name, rate) in enumerate(zip(groups.names, rates, strict=True)):
        if not rate.n:
            continue
        out.append(
            Statistic(f"{name}: {what}, selection rate", rate.value, rate.n, rate.low, rate.high, estimator="Wilson")
        )
        title = f"{name}: {what}, impact ratio"
        if left_out[name]:
            out.append(Statistic(title, None, rate.n, status="skipped", estimator=left_out[name]))
        elif best is None or not rates[best].value:
            why = "not measured: the reference group has no test image, or nobody was selected"
            out.append(Statistic(title, None, rate.n, status="not_measurable", estimator=why))
        else:
            out.append(_ratio(title, rate, rates[best], groups.names[best], i == best))
    return out


def _why_left_out(groups: Groups, index: int, how: Comparison) -> str:
    n, every = int(groups.sizes[index]), len(groups.codes)
    if groups.names[index] in groups.several:
        return "several groups together are not compared"
    if n < how.least_share * every:
        return f"left out of the comparison: {n} of {every} images, below {how.least_share:.3g} of all"
    return ""


def _reference(rates: Sequence[float | None], names: Sequence[str], left_out: dict[str, str], named: str) -> int | None:
    """The group to compare with: the named one, else the most selected of those that are not left out."""
    if named:
        return names.index(named) if named in names else None
    able = [i for i, name in enumerate(names) if rates[i] is not None and not left_out[name]]
    return max(able, key=lambda i: (rates[i] or 0.0, -i), default=None)


def _ratio(title: str, ours: Statistic, theirs: Statistic, reference: str, is_reference: bool) -> Statistic:
    how = f"to {reference}"
    if is_reference:
        return Statistic(title, 1.0, ours.n, estimator="the reference group itself")
    value = (ours.value or 0.0) / (theirs.value or 1.0)
    low, high = ratio_interval(ours, theirs)
    return Statistic(title, value, ours.n, low, high, estimator=f"{how}; MOVER-R from Wilson intervals")


def ratio_interval(ours: Statistic, theirs: Statistic) -> tuple[float, float]:
    """The interval of a ratio of two independent rates, of which the second is above 0, from those of the rates.

    MOVER-R (Donner and Zou, 2012), the lower end written so that it needs no division by what may be 0.
    """
    p, p_low, p_high = ours.value or 0.0, ours.low or 0.0, ours.high or 0.0
    q, q_low, q_high = theirs.value or 0.0, theirs.low or 0.0, theirs.high or 0.0
    square = (p * q) ** 2
    root_low = np.sqrt(max(0.0, square - p_low * q_high * (2 * p - p_low) * (2 * q - q_high)))
    root_high = np.sqrt(max(0.0, square - p_high * q_low * (2 * p - p_high) * (2 * q - q_low)))
    low = p_low * (2 * p - p_low) / (p * q + root_low) if p else 0.0
    return float(low), float((p * q + root_high) / (q_low * (2 * q - q_low)))


def difference_interval(ours: Statistic, theirs: Statistic) -> tuple[float, float]:
    """The interval of a difference of two independent rates from those of the rates (Newcombe, 1998, method 10)."""
    p, p_low, p_high = ours.value or 0.0, ours.low or 0.0, ours.high or 0.0
    q, q_low, q_high = theirs.value or 0.0, theirs.low or 0.0, theirs.high or 0.0
    low = p - q - np.hypot(p - p_low, q_high - q)
    return float(low), float(p - q + np.hypot(p_high - p, q - q_low))
