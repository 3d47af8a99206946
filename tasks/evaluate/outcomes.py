"""How the model does for whom: its outcomes for the images of each group, on the test split.

A group is a value of an attribute, or two values together. Images count as independent, so where many are of one
person the intervals are too narrow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from tasks.bias.attributes import columns_of, examine
from tasks.bias.cells import held_back
from tasks.bias.significance import holm
from tasks.contracts.params import EvaluateParams
from tasks.contracts.records import Finding, Section, Statistic
from tasks.evaluate.evaluation import HeldOut
from tasks.evaluate.groups import Groups, groups_of, reference_of
from tasks.evaluate.metrics import Floats, Ints, Samples, bin_of, calibration_error, wilson
from tasks.evaluate.selection import Comparison, difference_interval, impact_ratios

NAME = "outcomes by group"
MOST_STATISTICS = 2000  # of class rates; the groups with the clearest gaps come first, the others get accuracies alone
_RESAMPLES = 200  # for the calibration error of a group
_HOLM = "Holm over all groups"
_ERRORS = ("recall", "false negative rate", "false positive rate")

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Answers:
    """What the model said: the called and the actual class of each image, and its confidence."""

    called: Ints
    targets: Ints
    confidence: Floats
    classes: tuple[str, ...]

    @property
    def right(self) -> Bools:
        """Where the model is right."""
        right: Bools = self.called == self.targets
        return right


def outcomes(
    split: HeldOut, probabilities: Floats, params: EvaluateParams, rng: np.random.Generator
) -> tuple[tuple[Section, ...], list[Finding]]:
    """A section for each attribute and some pairs, the clearest gap first, and a finding for each that is worse off.

    Raises BadUsage where `params.attributes` names a column that is not there.
    """
    every = np.ones(len(split.rows), bool)
    levels, _ = examine(columns_of(split.rows), params.attributes, params.small_group, every)
    if not levels:
        why = "not measured: the test images have no attribute whose groups are large enough"
        nothing = Statistic(NAME, None, len(split.rows), status="not_measurable", estimator=why)
        return (Section(NAME, "How does the model do for whom?", (nothing,)),), []
    answers = Answers(
        probabilities.argmax(axis=1).astype(np.int64), split.targets, probabilities.max(axis=1), split.classes
    )
    groups = groups_of(levels, params)
    gaps = _gaps(groups, answers.right)
    order = sorted(range(len(groups)), key=lambda i: (gaps[i].p_value or 0.0, groups[i].of))
    left, sections = MOST_STATISTICS, []
    for i in order:
        rates = _rates(groups[i], answers, params, left, rng)
        left -= len(rates)
        told = (gaps[i], *_unknown(groups[i]), *_accuracies(groups[i], answers.right), *rates)
        sections.append(Section(f"outcomes by {groups[i].of}", f"How does the model do for each {groups[i].of}?", told))
    return tuple(sections), [_finding(groups[i].of, gaps[i]) for i in order if _is_worse(gaps[i])]


def _gaps(groups: Sequence[Groups], right: Bools) -> list[Statistic]:
    """For each attribute its worst group: accuracy there less accuracy on all other images, corrected over all groups.

    The worst is the one whose gap is the least likely by chance, by Fisher's exact test.
    """
    rows = [(i, g) for i, one in enumerate(groups) for g, n in enumerate(one.sizes) if 0 < n < len(right)]
    tested = [_gap(groups[i], g, right) for i, g in rows]
    corrected = holm([p for _, p in tested])
    out = []
    for i, one in enumerate(groups):
        own = [k for k, (j, _) in enumerate(rows) if i == j]
        if not own:
            how = "not measured: all test images are of one group"
            out.append(Statistic(f"{one.of}: worst group", None, len(right), status="not_measurable", estimator=how))
            continue
        k = min(own, key=lambda k: (tested[k][1], tested[k][0].name))
        gap = tested[k][0]
        how = "accuracy there less elsewhere; Newcombe, one-sided Fisher p"
        out.append(Statistic(gap.name, gap.value, gap.n, gap.low, gap.high, "measured", how, corrected[k], _HOLM))
    return out


def _gap(groups: Groups, group: int, right: Bools) -> tuple[Statistic, float]:
    own = groups.codes == group
    here, there = (wilson("accuracy", int(right[rows].sum()), int(rows.sum())) for rows in (own, ~own))
    hits = [int(right[own].sum()), int(right[~own].sum())]
    table = [[hits[0], here.n - hits[0]], [hits[1], there.n - hits[1]]]
    name = f"{groups.names[group]}: worst group, accuracy difference"
    value = (here.value or 0.0) - (there.value or 0.0)
    low, high = difference_interval(here, there)
    return Statistic(name, value, here.n, low, high), float(fisher_exact(table, alternative="less")[1])


def _unknown(groups: Groups) -> list[Statistic]:
    """Images whose group is not known, or too small to be told."""
    unknown = int((groups.codes >= len(groups.names)).sum())
    return [wilson(f"{groups.of}: unknown, or in a group too small to be told, share", unknown, len(groups.codes))]


def _accuracies(groups: Groups, right: Bools) -> list[Statistic]:
    hits = np.bincount(groups.codes[right], minlength=len(groups.names))
    return [
        wilson(f"{name}: accuracy", int(hits[i]), int(n))
        for i, (name, n) in enumerate(zip(groups.names, groups.sizes, strict=True))
        if n
    ]


def _held_back(groups: Groups, answers: Answers, small: int) -> Bools:
    """Whose images of a class are too few to be told, or would tell of such: (classes, groups).

    Told are the images of each group and of each class, so those whose group is unknown count as a group as well.
    """
    shape = (len(answers.classes), len(groups.names) + 1)
    codes = np.minimum(groups.codes, len(groups.names))
    images = np.bincount(np.ravel_multi_index((answers.targets, codes), shape), minlength=shape[0] * shape[1])
    return held_back(images.reshape(shape).astype(np.int64), small)[:, :-1]


def _rates(
    groups: Groups, answers: Answers, params: EvaluateParams, most: int, rng: np.random.Generator
) -> list[Statistic]:
    """Calibration error of each group; recall, false positive and negative, selection rate and impact ratio by class.

    Only the calibration where class rates would be more than `most`.
    """
    there = np.flatnonzero(groups.sizes)
    out = [_calibration(groups, int(g), answers, rng) for g in there]
    if len(there) * len(answers.classes) * 5 > most:
        why = f"{len(there)} groups times {len(answers.classes)} classes are too many rates to tell"
        return [*out, Statistic(f"{groups.of}: rates of each class", None, len(there), status="skipped", estimator=why)]
    hidden = _held_back(groups, answers, params.small_group)
    how = Comparison(params.least_share, reference_of(groups, params))
    for k, label in enumerate(answers.classes):
        for g in there:
            own = groups.codes == g
            out += _not_told(groups.names[g], own, label) if hidden[k, g] else _errors(groups.names[g], own, answers, k)
        out += impact_ratios(groups, answers.called == k, f"called {label}", how)
    return out


def _calibration(groups: Groups, group: int, answers: Answers, rng: np.random.Generator) -> Statistic:
    own = groups.codes == group
    confidence, right = answers.confidence[own], answers.right[own]
    samples = Samples(len(confidence), len(answers.classes), _RESAMPLES, int(rng.integers(2**63)))
    found = calibration_error(bin_of(confidence), confidence - right, samples)
    name = f"{groups.names[group]}: calibration error"
    return Statistic(name, found.value, found.n, found.low, found.high, found.status, found.estimator)


def _errors(name: str, own: Bools, answers: Answers, k: int) -> list[Statistic]:
    """Recall, false negative and false positive rate of a class in a group."""
    label, called = answers.classes[k], answers.called[own] == k
    actual = answers.targets[own] == k
    hits, n = int((called & actual).sum()), int(actual.sum())
    counts = ((hits, n), (n - hits, n), (int((called & ~actual).sum()), len(actual) - n))
    return [wilson(f"{name}: {label}, {what}", *of) for what, of in zip(_ERRORS, counts, strict=True)]


def _not_told(name: str, own: Bools, label: str) -> list[Statistic]:
    """The same without numbers. n is that of the group: the images of the class would be told by theirs or the rest."""
    why = "held back: too few images of the class in the group, or their number would tell such a one; n is the group's"
    n = int(own.sum())
    return [Statistic(f"{name}: {label}, {what}", None, n, status="too_small", estimator=why) for what in _ERRORS]


def _is_worse(gap: Statistic) -> bool:
    return gap.p_value is not None and gap.p_value <= 0.05 and gap.high is not None and gap.high < 0


def _finding(of: str, gap: Statistic) -> Finding:
    who, value = gap.name.removesuffix(": worst group, accuracy difference"), 100 * (gap.value or 0.0)
    low, high = 100 * (gap.low or 0.0), 100 * (gap.high or 0.0)
    return Finding(
        check="worst_group",
        severity="warn",
        subject=of,
        statistic=gap,
        message=f"The model is worse for {who}: {value:+.1f} points against all others (95 % interval {low:+.1f} to "
        f"{high:+.1f}).",
        remedy="Add training images of this group, or train with sampling: group_balanced or group_dro.",
    )
