"""The promotion rule: when a new version replaces the champion. Decided on the promotion split, never on test.

A new version must be shown to be better, on all images or on the new ones alone, and shown not to be worse. The images
of the promotion split are looked at again and again, so each look spends a part of the level.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from tasks.contracts.records import Statistic
from tasks.evaluate.comparison import accuracy_difference, discordant
from tasks.register.decision import Decision, Gate

Correct = NDArray[np.bool_]

LOOKS = 50  # these share four fifths of the level evenly; after them a look spends less and less
_EVENLY = 0.8
_RESAMPLES = 2000


@dataclass(frozen=True)
class Rule:
    """How much worse still counts as not worse, the chance that is taken of crowning what is worse than that, and
    how often the promotion split was looked at, this time included.
    """

    margin: float
    level: float
    look: int = 1

    @property
    def spent(self) -> float:
        """The part of the level that this look may use; however many there are, together they use `level` at most."""
        if self.look <= LOOKS:
            return self.level * _EVENLY / LOOKS
        return self.level * (1 - _EVENLY) * LOOKS / self.look**2


class Paired(NamedTuple):
    """Which of the same images each was right about, shape (images,).

    `anchor` is the last champion that was shown to be better, or the first: losses that are each small enough to pass
    do not add up, since it stays the measure. `is_old`: images that the anchor's data had; `is_new`: that the
    champion's data did not have.
    """

    candidate: Correct
    champion: Correct
    anchor: Correct
    is_old: Correct
    is_new: Correct


def decide(paired: Paired, rule: Rule, gates: Sequence[Gate] = ()) -> Decision:
    """Better than the champion, or better on the new images alone and not worse on the old; the gates must be open.

    What is shown to be worse on all images is not crowned for the new ones: two models would replace each other.

    Not worse, by `margin`, than the anchor is tested at the part of the level that this look may spend, better at the
    level; where there are two ways to be crowned, each has half of both.
    """
    ways = _ways(paired, rule.margin)
    shown = [way.better.p_value is not None and way.better.p_value <= rule.level / len(ways) for way in ways]
    shown[1:] = [one and not _shown_worse(paired, rule.level) for one in shown[1:]]
    safe = [all(one.p_value is not None and one.p_value <= rule.spent / len(ways) for one in way.safe) for way in ways]
    by = next((way.by for way, *passed in zip(ways, shown, safe, strict=True) if all(passed)), "")
    failed = [gate for gate in gates if not gate.passed]
    promote = bool(by) and not failed
    ours, theirs = _mean(paired.candidate), _mean(paired.champion)
    reason = "; ".join(gate.message for gate in failed) if by and failed else _reason(ways, shown, by, rule)
    return Decision(
        promote=promote,
        why=f"{reason}: {ours:.3f} against the champion's {theirs:.3f} on {len(paired.candidate)} promotion images",
        images=len(paired.candidate),
        new_images=int(paired.is_new.sum()),
        candidate=ours,
        champion=theirs,
        by=by if promote else "",
        look=rule.look,
        figures=tuple(figure for way in ways for figure in (way.better, *way.safe)),
        gates=tuple(gates),
    )


class _Way(NamedTuple):
    """A way to be crowned: what must be shown to be better, and all that must be shown not to be worse."""

    by: str
    better: Statistic
    safe: tuple[Statistic, ...]


def _ways(paired: Paired, margin: float) -> list[_Way]:
    ours, theirs, anchor, old, new = paired
    ways = [
        _Way(
            "better",
            better("accuracy on all images, less the champion's", ours, theirs),
            (not_worse("accuracy on all images, less the anchor's", ours, anchor, margin),),
        )
    ]
    if new.any() and not new.all():
        ways.append(
            _Way(
                "new data",
                better("accuracy on the new images, less the champion's", ours[new], theirs[new]),
                (
                    not_worse("accuracy on the anchor's images, less the anchor's", ours[old], anchor[old], margin),
                    not_worse("accuracy on the old images, less the champion's", ours[~new], theirs[~new], margin),
                ),
            )
        )
    return ways


def better(name: str, ours: Correct, theirs: Correct) -> Statistic:
    """The paired difference in accuracy, its bootstrap interval, and the p of McNemar's exact test, one-sided."""
    found = _difference(name, ours, theirs)
    if found.value is None or found.p_value is None:
        return found
    p = found.p_value / 2 if found.value > 0 else 1.0
    return replace(found, p_value=p, estimator=f"{found.estimator}, one-sided: better")


def not_worse(name: str, ours: Correct, theirs: Correct, margin: float) -> Statistic:
    """The same with the p of Tango's score test of being worse by `margin` or more.

    T. Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design", Statistics in Medicine 17, 1998.
    """
    found = _difference(name, ours, theirs)
    if found.value is None:
        return found
    how = f"paired bootstrap, {_RESAMPLES} resamples; p of Tango's score test, one-sided: worse by {margin:g} or more"
    return replace(found, p_value=tango(*discordant(ours, theirs), len(ours), margin), estimator=how)


def tango(won: int, lost: int, n: int, margin: float) -> float:
    """The p of the hypothesis that the rate of images won less that of images lost is -`margin` or less.

    Without a margin, and where no image is won or lost, there is nothing that speaks against it: 1.
    """
    # the likeliest rate of lost images where the difference is exactly -margin: the larger root of a quadratic
    b = won + lost - (won - lost - 2 * n) * margin
    root = np.sqrt(max(0.0, b * b - 8 * n * lost * margin * (1 + margin)))
    rate = (b + root) / (4 * n)
    variance = (2 * rate - margin - margin**2) / n
    if variance <= 0:
        return 1.0
    return float(norm.sf(((won - lost) / n + margin) / np.sqrt(variance)))


def _difference(name: str, ours: Correct, theirs: Correct) -> Statistic:
    return replace(accuracy_difference(ours, theirs, np.random.default_rng(0), _RESAMPLES), name=name)


def _shown_worse(paired: Paired, level: float) -> bool:
    lost = better("", paired.champion, paired.candidate).p_value
    return lost is not None and lost <= level


def _reason(ways: Sequence[_Way], shown: Sequence[bool], by: str, rule: Rule) -> str:
    if by:
        return "better" if by == "better" else "better on the new images, not worse on the old"
    for way, is_shown in zip(ways, shown, strict=True):
        if is_shown:
            where = "on all images" if way.by == "better" else "on the old images"
            worst = max((one.p_value for one in way.safe if one.p_value is not None), default=1.0)
            p = f"p {worst:.2g}, needed {rule.spent / len(ways):.2g} at look {rule.look}"
            return f"not shown to be within {rule.margin:g} of the anchor {where} ({p})"
    return "not shown to be better"


def _mean(right: Correct) -> float:
    return float(right.mean()) if len(right) else float("nan")
