"""Whether the label, or the split, goes with a metadata column: a camera, a site or a source that gives it away."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tasks.bias.attributes import MISSING
from tasks.bias.confounding import MATTERS_FROM, Given
from tasks.bias.significance import LEVEL, correction, enough, family_wise
from tasks.bias.tables import Codes, Floats, chi_square, count, cramers_v, interval, merged, most_levels
from tasks.contracts.records import Finding, Severity, Statistic

BINS = 5
WARN_AT = 0.5
MOST_IMAGES = 100_000  # more are sampled: the permutations cost time, and no p-value gets sharper
MIN_IMAGES = 20
_NAME = "Cramer's V"
_ESTIMATOR = "bias-corrected (Bergsma 2013), percentile bootstrap, permutation p"
_CORRECTION = correction("columns")
_REMEDIES = {
    "label": "balance {0} over the classes, or group and evaluate by it",
    "split": "declare splits in which every {0} has its share, or group by {0} if new ones are what you want to test",
}


def associations(
    labels: pd.Series, columns: pd.DataFrame, permutations: int, rng: np.random.Generator, what: str = "label"
) -> tuple[Statistic, ...]:
    """Cramer's V of `what` the labels are with each column, in the order of the columns; not measured ones say why.

    The order of the rows changes nothing, up to MOST_IMAGES of them.
    """
    labels, columns = sampled(labels, columns, MOST_IMAGES, rng)
    codes = coded(labels)
    results: list[Statistic] = []
    measured: dict[int, Codes] = {}
    for place, name in enumerate(columns):
        values, problem = levels(columns[name])
        values = merged(values, most_levels(int(codes.max(initial=0)) + 1))
        results.append(_described(f"{_NAME} of {what} and {name}", codes, values, problem))
        if results[-1].status == "measured":
            measured[place] = values
    if measured:
        p_values = _p_values(codes, list(measured.values()), enough(permutations), rng)
        for (place, values), p_value in zip(measured.items(), p_values, strict=True):
            results[place] = _tested(results[place], count(codes, values), p_value, rng)
    return tuple(results)


def sampled(
    labels: pd.Series, columns: pd.DataFrame, most: int, rng: np.random.Generator
) -> tuple[pd.Series, pd.DataFrame]:
    """At most so many rows, drawn without replacement, in their order."""
    if len(labels) <= most:
        return labels, columns
    chosen = np.sort(rng.permutation(len(labels))[:most])
    return labels.iloc[chosen], columns.iloc[chosen]


def coded(values: pd.Series) -> Codes:
    """Each row's value as text as a code, in the order of the texts."""
    return pd.factorize(values.astype(str), sort=True)[0].astype(np.int64)


def levels(values: pd.Series, cut_by: pd.Series | None = None) -> tuple[Codes, str]:
    """Each row's level as a code, and why the column cannot be measured ("" where it can).

    Numbers with many values are cut at their quantiles, or at those of `cut_by`; a missing value is a level of its own.
    """
    known = values.notna()
    if not known.any():
        return np.zeros(len(values), np.int64), "the column is empty"
    edges = _edges(values if cut_by is None else cut_by)
    numbers = pd.to_numeric(values, errors="coerce")
    if edges is not None and numbers[known].notna().all():
        codes = np.where(known, np.searchsorted(edges, numbers.fillna(0.0), side="right"), BINS)
        return np.unique(codes, return_inverse=True)[1], ""
    codes = coded(values.astype("object").where(known, MISSING))
    names = int(codes.max()) + 1
    if names == 1:
        return codes, "the column has one value only"
    if names > len(values) / 2:
        return codes, "the column names single images"
    return codes, ""


def _edges(values: pd.Series) -> Floats | None:
    """Where numbers with many values are cut; None for what is left as it is."""
    known = values[values.notna()]
    numbers = pd.to_numeric(known, errors="coerce")
    if pd.api.types.is_bool_dtype(values) or numbers.isna().any() or numbers.nunique() <= 2 * BINS:
        return None
    edges: Floats = np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1])
    return edges


def matters(one: Statistic) -> bool:
    """Whether an association is both more than chance and large enough to matter."""
    return one.value is not None and one.p_value is not None and one.p_value <= LEVEL and one.value >= MATTERS_FROM


def findings(results: Sequence[Statistic], follows: Sequence[Given] = (), what: str = "label") -> list[Finding]:
    """What of `associations` matters, the strongest first; an attribute that only follows another comes after it."""
    led = {one.attribute: one for one in follows}
    ranked = sorted(filter(matters, results), key=lambda one: (-(one.value or 0.0), one.name))
    leading = [one for one in ranked if column_of(one) not in led]
    behind = {
        column_of(one): [each.attribute for each in follows if each.confounder == column_of(one)] for one in ranked
    }
    found = [_leading(one, behind[column_of(one)], what) for one in leading]
    return found + [_following(led[column_of(one)], one, what) for one in ranked if column_of(one) in led]


def column_of(statistic: Statistic) -> str:
    """The metadata column that a statistic of `associations` is about."""
    return statistic.name.removeprefix(f"{_NAME} of ").partition(" and ")[2]


def _leading(one: Statistic, followers: Sequence[str], what: str) -> Finding:
    column, value = column_of(one), one.value or 0.0
    severity: Severity = "warn" if value >= WARN_AT else "info"
    how = "somewhat"
    if value >= WARN_AT:
        how = "closely: " + (
            "a model can learn it instead" if what == "label" else "scores on one split say little about another"
        )
    after = f"; {', '.join(followers)} only follow{'s' if len(followers) == 1 else ''} it" if followers else ""
    message = f"the {what} goes with {column} (V {value:.2f}, p {one.p_value:.3f}) {how}{after}"
    check = "association" if what == "label" else f"{what}_association"
    return Finding(check, severity, column, one, message, _REMEDIES[what].format(column))


def _following(given: Given, one: Statistic, what: str) -> Finding:
    statistic = given.statistic(what)
    left = f"V {given.value:.2f}, p {given.p_value:.3f}" if given.value is not None else "it never varies there"
    message = (
        f"{given.attribute} goes with the {what} (V {one.value:.2f}) as it follows {given.confounder}: "
        f"within one {given.confounder} little or nothing is left ({left})"
    )
    if not given.apart:
        message += f"; nor of {given.confounder} within one {given.attribute}: these images cannot tell them apart"
    remedy = f"mend {given.confounder} first, and look again"
    return Finding("follows_another", "info", given.attribute, statistic, message, remedy)


def _described(title: str, labels: Codes, values: Codes, problem: str) -> Statistic:
    """The value without its p-value and interval, or why there is none."""
    n = len(labels)
    if problem:
        return Statistic(title, None, n, status="not_measurable", estimator=f"not measured: {problem}")
    if n < MIN_IMAGES:
        return Statistic(title, None, n, status="too_small", estimator=f"needs {MIN_IMAGES} images")
    value = cramers_v(count(labels, values))
    if not np.isfinite(value):
        problem = "one label only, or as many levels as images"
        return Statistic(title, None, n, status="not_measurable", estimator=f"not measured: {problem}")
    return Statistic(title, value, n, estimator=_ESTIMATOR)


def _tested(one: Statistic, table: Floats, p_value: float, rng: np.random.Generator) -> Statistic:
    low, high = interval(table, one.value or 0.0, rng)
    return Statistic(
        one.name, one.value, one.n, low, high, estimator=_ESTIMATOR, p_value=p_value, correction=_CORRECTION
    )


def _p_values(labels: Codes, columns: Sequence[Codes], rounds: int, rng: np.random.Generator) -> list[float]:
    """Of each column, corrected over all: in every round one permutation of the labels meets all columns.

    The statistic is chi-square made normal (Wilson and Hilferty, 1931) and then standardised within each column over
    the rounds and the observed order alike, so that columns with many or few levels compare.
    """
    order = np.lexsort([*columns, labels])  # equal data in another order of rows get equal draws
    labels, columns = labels[order], [column[order] for column in columns]
    tables = [count(labels, column) for column in columns]
    weights = [1 / (table.sum(1, keepdims=True) * table.sum(0)) for table in tables]
    phi2 = np.empty((rounds + 1, len(columns)))
    phi2[0] = [chi_square(table) / table.sum() for table in tables]
    for drawn in phi2[1:]:
        shuffled = rng.permutation(labels)
        drawn[:] = [
            np.einsum("kl,kl,kl->", table, table, weight) - 1
            for table, weight in ((count(shuffled, column), of) for column, of in zip(columns, weights, strict=True))
        ]
    freedom = np.array([(table.shape[0] - 1) * (table.shape[1] - 1) for table in tables])
    normal = np.cbrt(np.maximum(phi2, 0.0) * len(labels) / freedom)
    standard = (normal - normal.mean(axis=0)) / np.maximum(normal.std(axis=0), 1e-12)
    maxima = standard[1:].max(axis=1)
    return [family_wise(float(one), maxima) for one in standard[0]]
