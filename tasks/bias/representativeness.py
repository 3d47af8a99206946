"""Whether the images are those of the population that the data should stand for, where one is stated."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gammaln, xlogy
from scipy.stats import chi2

from tasks.bias.attributes import as_text
from tasks.bias.significance import family_holm
from tasks.contracts.params import ReferenceParams
from tasks.contracts.records import Finding, Section, Severity, Statistic
from tasks.evaluate.metrics import wilson

NAME = "representativeness"
QUESTION = "Are the images those of the population that the data should stand for?"
FOUR_FIFTHS = 0.8  # below it a share counts as clearly too small, as in the four-fifths rule of US hiring guidelines
_DRAWS = 9_999
_LEAST_EXPECTED = 5.0  # Cochran, 1954: below, the chi-square approximation is not to be trusted
_CORRECTION = "Holm over columns, Bonferroni over the 8 families"
_MOST_NAMED = 3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Column:
    """Counts and reference shares of the values that the reference names; `strange` images have another value."""

    name: str
    values: tuple[str, ...]
    counts: Floats
    shares: Floats
    strange: int


def representativeness(
    columns: pd.DataFrame, reference: ReferenceParams, small: int, rng: np.random.Generator
) -> tuple[Section, list[Finding]]:
    """Share, difference and ratio to the reference of each value, a test for each column, and what stands out.

    Values with fewer than `small` images, but not without any, are told together. Images count as independent.
    """
    if not reference.shares:
        nothing = "not measured: no reference population is stated (bias.reference)"
        return Section(NAME, QUESTION, (Statistic(NAME, None, 0, status="not_measurable", estimator=nothing),)), []
    said, tested = [], []
    for name, shares in sorted(reference.shares.items()):
        column = _column(name, columns[name], shares, small) if name in columns else None
        if column is None or not column.counts.sum():
            why = "no such column in the data" if column is None else "no image has a value that the reference names"
            said.append(Statistic(name, None, 0, status="not_measurable", estimator=f"not measured: {why}"))
        else:
            tested.append(column)
    p_values = family_holm([_p_value(column, rng) for column in tested])
    found = []
    for column, p_value in zip(tested, p_values, strict=True):
        of_values = _statistics(column, f"reference: {reference.source}, {reference.date}")
        said += [_distance(column, p_value), *of_values, *_strangers(column, small)]
        if p_value <= 0.05:
            found.append(_finding(column, of_values, p_value))
    found.sort(key=lambda one: (one.statistic.value or 0.0, one.subject))
    return Section(NAME, QUESTION, tuple(said)), found


def _column(name: str, values: pd.Series, shares: dict[str, float], small: int) -> _Column:
    counts = as_text(values).value_counts()
    total = sum(shares.values())
    own = {value: (int(counts.get(value, 0)), share / total) for value, share in sorted(shares.items())}
    strange = int(counts.sum()) - sum(n for n, _ in own.values())
    few = [value for value, (n, _) in own.items() if 0 < n < small]
    told = sorted((value for value in own if value not in few), key=lambda value: (own[value][0], value))
    while few and sum(own[value][0] for value in few) < small and (more := [v for v in told if own[v][0]]):
        few.append(more[0])  # one number alone could be computed from the others
        told.remove(more[0])
    rows = [(value, *own[value]) for value in sorted(told)]
    if few:
        rest = [own[value] for value in few]
        rows.append((f"{len(few)} smaller values", sum(n for n, _ in rest), sum(share for _, share in rest)))
    names, images, expected = zip(*rows, strict=True)
    return _Column(name, names, np.array(images, np.float64), np.array(expected, np.float64), strange)


def _p_value(column: _Column, rng: np.random.Generator) -> float:
    """Pearson's chi-square; where an expected count is small, the exact multinomial test by simulation.

    The exact test adds up the chances of all outcomes that are no more likely than the one that was seen.
    """
    n = int(column.counts.sum())
    expected = n * column.shares
    if len(expected) < 2:
        return 1.0
    if expected.min() >= _LEAST_EXPECTED:
        return float(chi2.sf(((column.counts - expected) ** 2 / expected).sum(), len(expected) - 1))
    drawn = rng.multinomial(n, column.shares / column.shares.sum(), size=_DRAWS).astype(np.float64)
    seen = _log_chance(column.counts, column.shares)
    return float((1 + (_log_chance(drawn, column.shares) <= seen + 1e-9).sum()) / (1 + _DRAWS))


def _log_chance(counts: Floats, shares: Floats) -> Floats:
    """Logarithm of the multinomial chance, but for what all outcomes have in common."""
    log: Floats = (xlogy(counts, shares) - gammaln(counts + 1)).sum(axis=-1)
    return log


def _statistics(column: _Column, source: str) -> list[Statistic]:
    n = int(column.counts.sum())
    out = []
    for value, count, share in zip(column.values, column.counts, column.shares, strict=True):
        name = f"{column.name} = {value}"
        ours = wilson(f"{name}: share", int(count), n)
        rate, low, high = ours.value or 0.0, ours.low or 0.0, ours.high or 0.0
        how = f"Wilson; {share:.4g} in the {source}"
        out.append(Statistic(ours.name, rate, n, low, high, estimator=how))
        out.append(Statistic(f"{name}: difference", rate - share, n, low - share, high - share, estimator=how))
        if share > 0:
            ratio = (rate / share, low / share, high / share)
            out.append(Statistic(f"{name}: ratio", ratio[0], n, *ratio[1:], estimator=how))
    return out


def _distance(column: _Column, p_value: float) -> Statistic:
    n = int(column.counts.sum())
    value = float(np.abs(column.counts / n - column.shares).sum() / 2)
    how = "total variation: the share of images that would need another value; chi-square p, exact where counts are low"
    return Statistic(f"{column.name}: distance", value, n, estimator=how, p_value=p_value, correction=_CORRECTION)


def _strangers(column: _Column, small: int) -> list[Statistic]:
    """Images whose value the reference does not name: left out of the comparison, but said."""
    if not column.strange:
        return []
    n = int(column.counts.sum()) + column.strange
    name, how = f"{column.name}: share that the reference does not name", "Wilson; left out of the comparison"
    if column.strange < small:
        return [Statistic(name, None, n, status="too_small", estimator=how)]
    rate = wilson(name, column.strange, n)
    return [Statistic(name, rate.value, n, rate.low, rate.high, estimator=how)]


def _finding(column: _Column, statistics: list[Statistic], p_value: float) -> Finding:
    """The values that are too rare, the rarest first; where none is, those that are too frequent."""
    ratios = [one for one in statistics if one.name.endswith(": ratio")]
    rare = [one for one in ratios if one.high is not None and one.high < 1]
    rare.sort(key=lambda one: (one.value or 0.0, one.name))
    named = rare or sorted(ratios, key=lambda one: (-(one.value or 0.0), one.name))
    worst = named[0]
    severity: Severity = "warn" if (worst.value or 0.0) < FOUR_FIFTHS or not rare else "info"
    told = "; ".join(_told(one) for one in named[:_MOST_NAMED])
    message = f"{column.name} is not as in the reference population (p {p_value:.3g}): {told}"
    remedy = f"add images of {worst.name.removesuffix(': ratio')}" if rare else "add images of the other values"
    return Finding("not_representative", severity, column.name, worst, message, remedy)


def _told(ratio: Statistic) -> str:
    name = ratio.name.removesuffix(": ratio")
    return (
        f"{name} is missing" if not ratio.value else f"{name} has {ratio.value:.2f} times the share that it has there"
    )
