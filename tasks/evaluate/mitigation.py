"""Whether what was done against a bias helped: the network with it and without, on the same test images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from tasks.bias.association import levels
from tasks.bias.mitigation import column_of
from tasks.contracts.prepared import Pixels
from tasks.contracts.records import Finding, Section, Severity, Statistic
from tasks.evaluate.comparison import Right, accuracy_difference
from tasks.evaluate.metrics import Floats, Ints, percentiles, unseen, wilson
from tasks.evaluate.scramble import scrambled

NAME = "mitigation"
_QUESTION = (
    "Did it help to act on the bias? The same network was trained without that, too; both see the same test images."
)
_LEAST = 5  # test images of a class with a value of a column, for their accuracy to count
_COST = -0.01  # the accuracy that mitigation may take

Predict = Callable[[Pixels], Floats]  # (n, side, side, 3) -> probabilities (n, classes)
Pair = tuple[Right, Right]  # whether each image was right before, and after


@dataclass(frozen=True)
class Trial:
    """Both models, the test images (rows of the checked table, pixels, class indices), and how intervals are made.

    `train` has the rows that were learned from: they say where numbers are cut into ranges.
    """

    before: Predict
    after: Predict
    train: pd.DataFrame
    rows: pd.DataFrame
    pixels: Pixels
    targets: Ints
    resamples: int
    rng: np.random.Generator

    def right(self, pixels: Pixels) -> Pair:
        """Whether each model names each of `pixels` right."""
        before, after = (model(pixels).argmax(1) == self.targets for model in (self.before, self.after))
        return before, after


def compared(trial: Trial, mitigations: Sequence[Mapping[str, Any]]) -> tuple[Section, list[Finding]]:
    """Accuracy before, after, and the difference; in all, and for each mitigation where it was to help.

    For an image shortcut that is on images among whose classes the shortcut is given out anew, for a column on the
    worst cell of class and value.
    """
    right = trial.right(trial.pixels)
    statistics = _on_images("accuracy", right, trial)
    cost, findings = statistics[-1], []
    for one in mitigations:
        if one["means"] == "reweighing":
            found = _on_cells(f"accuracy of the worst class and {one['subject']}", right, trial, one["subject"])
        else:
            found = _on_images(
                f"accuracy with {one['kind']} shuffled",
                trial.right(scrambled(one, trial.pixels, trial.targets, trial.rng)),
                trial,
            )
        statistics += found
        findings.append(_finding(one, found[-1], cost))
    return Section(NAME, _QUESTION, tuple(statistics)), findings


def _on_images(name: str, pair: Pair, trial: Trial) -> list[Statistic]:
    rates = [
        wilson(f"{name}, {when}", int(right.sum()), len(right))
        for when, right in zip(("before", "after"), pair, strict=True)
    ]
    difference = accuracy_difference(pair[1], pair[0], trial.rng, trial.resamples)
    return [*rates, replace(difference, name=f"{name}, difference")]


def _on_cells(name: str, pair: Pair, trial: Trial, column: str) -> list[Statistic]:
    """Each model's own worst cell: the worst one before would look better after by chance alone."""
    cells = _cells(trial, column)
    estimator = f"least over {len(cells)} cells of at least {_LEAST} images; bootstrap within cells"
    if not cells:
        return [Statistic(f"{name}, difference", None, len(trial.targets), status="too_small", estimator=estimator)]
    rates = np.array([[right[cell].mean() for cell in cells] for right in pair])
    sizes = np.array([len(cell) for cell in cells])[rates.argmin(1)]
    drawn = np.full((2, trial.resamples), np.inf)
    for cell in cells:
        before, after = (right[cell] for right in pair)
        outcomes = np.array([(before & after).sum(), (before & ~after).sum(), (~before & after).sum()]) / len(cell)
        counts = trial.rng.multinomial(len(cell), [*outcomes, max(0.0, 1 - outcomes.sum())], size=trial.resamples)
        drawn = np.minimum(drawn, np.stack([counts[:, 0] + counts[:, 1], counts[:, 0] + counts[:, 2]]) / len(cell))
    (before_rate, after_rate), few = rates.min(1), int(sizes.min())
    return [
        _bounded(f"{name}, before", before_rate, drawn[0], (int(sizes[0]), 0.0), estimator),
        _bounded(f"{name}, after", after_rate, drawn[1], (int(sizes[1]), 0.0), estimator),
        _bounded(f"{name}, difference", after_rate - before_rate, drawn[1] - drawn[0], (few, -1.0), estimator),
    ]


def _bounded(name: str, value: float, drawn: Floats, n_and_least: tuple[int, float], estimator: str) -> Statistic:
    """A statistic of the worst cell's n images; where the bootstrap sees no spread, as wide as n images allow."""
    n, least = n_and_least
    low, high = percentiles(drawn)
    if low == high:
        low, high = max(least, low - unseen(n)), min(1.0, high + unseen(n))
    return Statistic(name, float(value), n, low, high, estimator=estimator)


def _cells(trial: Trial, column: str) -> list[Ints]:
    """The places of the images of each class and value of a column, where there are enough."""
    name = column_of(trial.rows, column)
    values = levels(trial.rows[name], cut_by=trial.train[name])[0]
    places = pd.Series(np.arange(len(trial.targets))).groupby([trial.targets, values])
    return [part.to_numpy(np.int64) for _, part in places if len(part) >= _LEAST]


def _finding(mitigation: Mapping[str, Any], gain: Statistic, cost: Statistic) -> Finding:
    what = f"{mitigation['means']} against {mitigation['kind']} ({mitigation['subject']})"
    if gain.value is None or gain.low is None or cost.value is None:
        return Finding("mitigation", "info", mitigation["kind"], gain, f"whether {what} helped was not measured")
    helped, cheap = gain.low > 0, cost.value >= _COST
    verdict = "helped" if helped else "did harm" if (gain.high or 0.0) < 0 else "made no difference beyond chance"
    severity: Severity = "info" if helped and cheap else "warn"
    message = f"{what} {verdict}: {100 * gain.value:+.1f} points there, {100 * cost.value:+.1f} on all test images"
    remedy = "" if severity == "info" else f"weigh it up; without {mitigation['kind']} in bias.mitigate it is not done"
    return Finding("mitigation", severity, mitigation["kind"], gain, message, remedy)
