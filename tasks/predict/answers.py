"""What is said of each image: one class, or why none is named."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.calibrate.temperature import Floats, probabilities
from tasks.predict.engine import Read, Seen, see
from tasks.register.bundle import Bundle

_DIGITS = 6
_Told = tuple[Floats, NDArray[np.bool_], NDArray[np.float32] | None]  # of a batch: probabilities, sets, strangeness


@dataclass(frozen=True)
class Answer:
    """One file: its class where one is named, or `why` none is; `problem` where it could not be read.

    `probability` is that of the likeliest class, `plausible` the set of classes, the likeliest first. Of an image
    that is unlike training both are empty: they would be of use for images like those only. Above an `unlike_score`
    of 1 an image is flagged as unlike. None stands for what the model was made with too few images to say.
    """

    path: str
    label: str
    probability: float | None
    plausible: tuple[str, ...] | None
    unlike: bool | None
    unlike_score: float | None
    why: str
    problem: str
    probabilities: dict[str, float]


def answers(bundle: Bundle, files: Iterable[tuple[str, Read]], coverage: float) -> Iterator[list[Answer]]:
    """An answer for each file, in order, some at a time; `files` are names and what reads their bytes.

    A set holds the right class in `coverage` of images like those of training; a class is named where it is the only
    one in it. Raises BadUsage where the model was made with too few images for this coverage, before anything is read.
    """
    judge = _Judge(bundle, coverage)
    return (judge.of(seen) for seen in see(bundle, files))


class _Judge:
    def __init__(self, bundle: Bundle, coverage: float) -> None:
        self._classes, self._calibration, self._coverage = bundle.classes, bundle.calibration, coverage
        self._calibration.require_images(coverage)

    def of(self, seen: Seen) -> list[Answer]:
        """The answers of one batch."""
        calibration = self._calibration
        found = probabilities(seen.logits, calibration.record.temperature)
        sets = calibration.sets(found, self._coverage, seen.draws)
        strange = calibration.strangeness(seen.features, seen.looks) if len(found) else None
        rows = iter(range(len(found)))
        return [
            _unread(name, problem) if problem else self._one(name, (found, sets, strange), next(rows))
            for name, problem in zip(seen.names, seen.problems, strict=True)
        ]

    def _one(self, name: str, told: _Told, row: int) -> Answer:
        found, sets, strange = told
        score = None if strange is None else round(float(strange[row]), 3)
        if strange is not None and strange[row] > 1:
            return Answer(
                name, "", None, (), True, score, f"unlike the training images (score {score}, limit 1)", "", {}
            )
        order = np.argsort(-found[row], kind="stable")
        named = {self._classes[i]: round(float(found[row, i]), _DIGITS) for i in order}
        best, unlike = self._classes[order[0]], None if strange is None else False
        members = tuple(self._classes[i] for i in order if sets[row, i])
        label = members[0] if len(members) == 1 else ""
        return Answer(name, label, named[best], members, unlike, score, self._why(len(members)), "", named)

    def _why(self, classes: int) -> str:
        if classes == 1:
            return ""
        counted = f"{classes} classes are" if classes else "no class is"
        return f"unsure: {counted} plausible at a coverage of {self._coverage:g}"


def _unread(name: str, problem: str) -> Answer:
    return Answer(name, "", None, None, None, None, "not read", problem, {})
