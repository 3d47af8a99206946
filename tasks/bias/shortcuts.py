"""Which trivial features give a class away: one-vs-rest AUC of every class and feature, tested over all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.bias.features import Floats, Kind, is_container, kind_of
from tasks.bias.overlay import MIN_IMAGES
from tasks.bias.significance import LEVEL, correction, enough, family_wise
from tasks.contracts.records import Finding, Severity, Statistic

# From which AUC a trait is told, warned of, and an error. Tones and sharpness may belong to the subject: never an error
CONTAINER_AT = (0.65, 0.8, 0.98)
SUBJECT_AT = (0.65, 0.95, np.inf)
_MOST_NAMES = 5
_CORRECTION = correction("classes and features")
_WORDS: dict[Kind, tuple[str, str]] = {  # in the order in which they are told: what explains the others comes first
    "border": ("the border", "crop the frames away, in all classes"),
    "size": ("the size or shape of the file", "bring all classes to one size and shape, or collect them in one way"),
    "header": ("the file's header", "write all files anew in one format, without metadata"),
    "compression": ("the compression", "take the originals, or compress all classes alike"),
    "tone": ("the tone", "if it is the light or the camera and not the subject, take all classes under the same"),
    "sharpness": ("sharpness or noise", "if it is the lens or the camera and not the subject, take all classes alike"),
}

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Trait:
    """The feature of one kind that best tells one class from the rest; `auc` >= 0.5 whichever way it points."""

    label: int
    images: int
    kind: Kind
    feature: str
    auc: float
    p_value: float

    @property
    def severity(self) -> Severity | None:
        """How much it matters; None where it is too weak, or may be chance."""
        told, warned, wrong = CONTAINER_AT if is_container(self.feature) else SUBJECT_AT
        if self.p_value > LEVEL or self.auc < told:
            return None
        return "error" if self.auc >= wrong else "warn" if self.auc >= warned else "info"


def find_traits(features: dict[str, Floats], labels: Codes, permutations: int, rng: np.random.Generator) -> list[Trait]:
    """For each class of at least MIN_IMAGES images and each kind the best feature, one-vs-rest.

    The p-value is family-wise over all classes and features. The order of the images changes nothing.
    """
    counts = np.bincount(labels)
    large = (counts >= MIN_IMAGES) & (counts < len(labels))
    if not large.any() or not features:
        return []
    ranks = pd.DataFrame(features).rank().to_numpy()
    order = np.lexsort([*ranks.T, labels])
    ranks, labels = ranks[order], labels[order]
    observed = np.abs(_standardised(ranks, labels, counts)[large])
    null = np.array(
        [
            np.abs(_standardised(ranks, rng.permutation(labels), counts)[large]).max()
            for _ in range(enough(permutations))
        ]
    )
    spread = _spread(counts)[large]
    found = []
    for place, label in enumerate(np.flatnonzero(large)):
        for kind, feature, column in _best_of_kinds(list(features), observed[place]):
            value = float(observed[place, column])
            auc = float(0.5 + value * spread[place])
            found.append(Trait(int(label), int(counts[label]), kind, feature, auc, family_wise(value, null)))
    return found


def trait_statistics(traits: Sequence[Trait], classes: Sequence[str]) -> list[Statistic]:
    """Of each class its best feature, and each other that matters."""
    best = {one.label: one for one in sorted(traits, key=lambda one: one.auc)}
    return [_statistic(one, classes) for one in traits if one.severity or best[one.label] is one]


def trait_findings(traits: Sequence[Trait], classes: Sequence[str]) -> list[Finding]:
    """One finding for each kind of trait that gives classes away, the most serious first; its subject is the class
    that is given away most, and the others are named.
    """
    found = []
    for kind, (words, remedy) in _WORDS.items():
        told = sorted((one for one in traits if one.kind == kind and one.severity), key=lambda one: -one.auc)
        if not told:
            continue
        worst = min(told, key=lambda one: (_rank(one.severity), -one.auc))
        others = [f"{classes[one.label]} ({one.auc:.2f})" for one in told if one is not worst]
        more = f"; likewise {', '.join(others[:_MOST_NAMES])}" if others else ""
        more += f" and {len(others) - _MOST_NAMES} more" if len(others) > _MOST_NAMES else ""
        natural = "" if is_container(worst.feature) else ", unless this is what the class looks like"
        message = (
            f"{words} gives {classes[worst.label]} away: {worst.feature.replace('_', ' ')} alone tells it "
            f"from the rest (AUC {worst.auc:.2f}, p {worst.p_value:.3f}){natural}{more}"
        )
        severity = worst.severity or "info"
        statistic = _statistic(worst, classes)
        found.append(Finding(f"{kind}_gives_class_away", severity, classes[worst.label], statistic, message, remedy))
    return sorted(found, key=lambda one: _rank(one.severity))


def _rank(severity: Severity | None) -> int:
    return ("error", "warn", "info", None).index(severity)


def _statistic(trait: Trait, classes: Sequence[str]) -> Statistic:
    name = f"{trait.kind} of {classes[trait.label]}"
    estimator = f"one-vs-rest AUC of {trait.feature}, the best of its kind; permutation p"
    return Statistic(name, trait.auc, trait.images, estimator=estimator, p_value=trait.p_value, correction=_CORRECTION)


def _best_of_kinds(names: Sequence[str], values: Floats) -> list[tuple[Kind, str, int]]:
    """For each kind its largest value; one that may belong to the subject only where no container is strong."""
    out: list[tuple[Kind, str, int]] = []
    for kind in _WORDS:
        columns = [i for i, name in enumerate(names) if kind_of(name) == kind]
        if columns:
            hard = [i for i in columns if is_container(names[i])]
            best = max(columns, key=lambda i: values[i])
            if hard and max(values[i] for i in hard) >= 0.9 * values[best]:
                best = max(hard, key=lambda i: values[i])
            out.append((kind, names[best], best))
    return out


def _spread(counts: Codes) -> Floats:
    """The standard deviation of a one-vs-rest AUC under the null, by class (ties neglected)."""
    n, own = counts.sum(), counts.astype(np.float64)
    spread: Floats = np.sqrt((n + 1) / (12 * np.maximum(own * (n - own), 1.0)))
    return spread


def _standardised(ranks: Floats, labels: Codes, counts: Codes) -> Floats:
    """(AUC - 1/2) / spread of every feature for every class: ranks (n, F), labels (n,) -> (K, F)."""
    member = (labels == np.arange(len(counts))[:, None]).astype(np.float64)
    own = counts[:, None].astype(np.float64)
    wins = member @ ranks - own * (own + 1) / 2
    auc = wins / np.maximum(own * (counts.sum() - own), 1.0)
    standardised: Floats = (auc - 0.5) / _spread(counts)[:, None]
    return standardised
