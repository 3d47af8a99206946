"""Whether an attribute goes with the label by itself, or only because it follows another: a camera that a site uses.

The attribute is tested within each level of the other one (the strata), so that what the other explains is held fixed:
the labels are permuted inside the strata, and the statistic is the sum of the strata's chi-squares. This is the
generalised Cochran-Mantel-Haenszel idea (Mantel and Haenszel, 1959) without its assumption of one direction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tasks.bias.tables import Codes, Floats, merged
from tasks.contracts.records import Statistic

MOST_IMAGES = 20_000  # of which the first are taken: the tests cost time
MOST_CONFOUNDERS = 5  # the strongest attributes; each other one is tested given each of these
ROUNDS = 199
MATTERS_FROM = 0.1  # Cramer's V: less is not worth a line
SURE = 0.01  # an association of its own is claimed from here on: many pairs are tested
_MOST_LEVELS = 20  # of a confounder: what has more names persons or videos, of which all else is a property
_MOST_CELLS = 100_000


@dataclass(frozen=True)
class Given:
    """What is left of an attribute's association with the label within the levels of a confounder.

    `value` is Cramer's V pooled over the strata, None where the attribute never varies within one; from `seen` on it
    would have been called more than chance. `apart` is false where nothing is left of the confounder's association
    either, given the attribute: which leads cannot be told.
    """

    attribute: str
    confounder: str
    value: float | None
    seen: float
    n: int
    p_value: float
    apart: bool = True

    def statistic(self, what: str) -> Statistic:
        """As a statistic; `what` is the label or the split."""
        name = f"Cramer's V of {what} and {self.attribute} given {self.confounder}"
        if self.value is None:
            why = f"not measured: {self.attribute} never varies within one {self.confounder}"
            return Statistic(name, None, self.n, status="not_measurable", estimator=why)
        how = f"pooled over the levels of {self.confounder}; permuted within them; {self.seen:.2f} would have been seen"
        return Statistic(name, self.value, self.n, estimator=how, p_value=self.p_value, correction="none")


def given_each_other(
    labels: Codes, columns: Mapping[str, Codes], strength: Mapping[str, float], rng: np.random.Generator
) -> list[Given]:
    """Every attribute given each of the MOST_CONFOUNDERS strongest others that have at most _MOST_LEVELS levels.

    `strength` is each one's association alone.
    """
    labels = labels[:MOST_IMAGES]
    most = max(2, min(_MOST_LEVELS, int(np.sqrt(_MOST_CELLS / (labels.max(initial=0) + 1)))))
    cut = {name: merged(codes[:MOST_IMAGES], most) for name, codes in columns.items()}
    ranked = sorted(cut, key=lambda name: (-strength[name], name))
    out: list[Given] = []
    for confounder in [name for name in ranked if columns[name].max() < _MOST_LEVELS][:MOST_CONFOUNDERS]:
        others = [name for name in ranked if name != confounder]
        found = _within(labels, cut[confounder], [cut[name] for name in others], rng)
        out += [Given(name, confounder, *one) for name, one in zip(others, found, strict=True)]
    return out


def followers(tests: Sequence[Given], strength: Mapping[str, float]) -> list[Given]:
    """For each attribute that only follows another, the test given the strongest that it follows.

    Where each vanishes given the other they cannot be told apart: the stronger one leads.
    """
    vanishing = {(one.attribute, one.confounder): one for one in tests if _vanishes(one, strength[one.attribute])}
    rank = {name: place for place, name in enumerate(sorted(strength, key=lambda name: (-strength[name], name)))}
    leader: dict[str, str] = {}
    for attribute, confounder in sorted(vanishing, key=lambda pair: (rank[pair[1]], rank[pair[0]])):
        mutual = (confounder, attribute) in vanishing
        behind = not mutual or rank[confounder] < rank[attribute]
        if behind and attribute not in leader and attribute not in _above(confounder, leader):
            leader[attribute] = confounder
    ordered = sorted(leader.items(), key=lambda pair: rank[pair[0]])
    return [replace(vanishing[pair], apart=pair[::-1] not in vanishing) for pair in ordered]


def _vanishes(one: Given, alone: float) -> bool:
    """What is left may be chance or does not matter; and it is not only too few images to see what it is alone."""
    return one.value is None or ((one.p_value > SURE or one.value < MATTERS_FROM) and one.seen < alone)


def _above(name: str, leader: Mapping[str, str]) -> set[str]:
    """Whom an attribute follows, and whom these follow."""
    found: set[str] = set()
    while name in leader:
        name = leader[name]
        found.add(name)
    return found


def _within(
    labels: Codes, strata: Codes, attributes: Sequence[Codes], rng: np.random.Generator
) -> list[tuple[float | None, float, int, float]]:
    """Of each attribute within the strata: V, the V that is seen, images and p-value.

    In every round all attributes meet the same permutation.
    """
    order = np.lexsort([*attributes, labels, strata])  # equal data in another order of rows get equal draws
    labels, strata = labels[order], strata[order]
    pieces = [_Pieces(labels, strata, one[order]) for one in attributes]
    null = np.empty((ROUNDS, len(pieces)))
    for drawn in null:
        shuffled = labels[np.argsort(strata + rng.random(len(strata)))]  # a stratum keeps its place: its labels move
        drawn[:] = [piece.statistic(shuffled) for piece in pieces]
    out = []
    for piece, chance in zip(pieces, null.T, strict=True):
        observed = piece.statistic(labels)
        p_value = float((1 + (chance >= observed * (1 - 1e-9)).sum()) / (1 + ROUNDS))
        seen = piece.strength(float(np.quantile(chance, 1 - SURE, method="higher")))
        out.append((piece.strength(observed), seen or 0.0, len(labels), p_value))
    return out


class _Pieces:
    """The tables of label and attribute in all strata, whose margins no permutation within them changes."""

    def __init__(self, labels: Codes, strata: Codes, attribute: Codes) -> None:
        self.shape = (int(strata.max()) + 1, int(labels.max()) + 1, int(attribute.max()) + 1)
        self.place = strata * (self.shape[1] * self.shape[2]) + attribute
        table = self._table(labels)
        self.images, by_label, by_level = table.sum((1, 2)), table.sum(2), table.sum(1)
        expected = by_label[:, :, None] * by_level[:, None, :] / self.images[:, None, None]
        self.weight = np.divide(1.0, expected, out=np.zeros_like(expected), where=expected > 0)
        self.labels, self.levels = (by_label > 0).sum(1), (by_level > 0).sum(1)

    def statistic(self, labels: Codes) -> float:
        """The sum of the strata's chi-squares."""
        table = self._table(labels)
        return float(np.einsum("skl,skl,skl->", table, table, self.weight) - self.images.sum())

    def strength(self, statistic: float) -> float | None:
        """Cramer's V over all strata, each corrected for chance as Bergsma (2013) does."""
        most = float((self.images * (np.minimum(self.labels, self.levels) - 1)).sum())
        if most == 0:
            return None
        several = np.maximum(self.images - 1, 1)
        by_chance = (self.images * (self.labels - 1) * (self.levels - 1) / several).sum()
        return float(np.sqrt(min(1.0, max(0.0, statistic - by_chance) / most)))

    def _table(self, labels: Codes) -> Floats:
        size = self.shape[0] * self.shape[1] * self.shape[2]
        return np.bincount(self.place + labels * self.shape[2], minlength=size).reshape(self.shape).astype(np.float64)
