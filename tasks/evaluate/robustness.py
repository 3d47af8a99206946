"""How much of its accuracy a model keeps on corrupted test images, beside the same network from scratch.

Each corruption has a sample of its own, so that all together see more of the test split than one; within a
corruption the same images come at every severity, to both models, and are held against their own clean pictures.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.contracts.model_records import Corruption, Robustness
from tasks.contracts.prepared import Pixels
from tasks.contracts.progress import progress
from tasks.contracts.records import Finding, Section, Statistic
from tasks.evaluate.corruptions import KINDS, SEVERITIES, corrupt
from tasks.evaluate.findings import corruption_findings, sturdiness_findings
from tasks.evaluate.metrics import Floats, Ints, Samples, not_measured, percentiles, unseen, wilson

NAME = "corrupted images"
QUESTION = (
    "How does the model do when images get worse: noise, blur, weather, compression? A loss is the share of the "
    "accuracy on the clean images that is lost, the mean over all corruptions and severities."
)
_MILD = 2  # the severities that a picture in use may well have
_AT_ONCE = 200  # images, times five severities

Bools = NDArray[np.bool_]
Seed = tuple[int, ...]
Predict = Callable[[Pixels], Floats]  # (n, side, side, 3) -> probabilities (n, classes)


@dataclass(frozen=True)
class Subject:
    """Both models with their answers on the clean test images, which come in the order of `pixels`.

    `keys` (n,) say which noise an image gets; `clean` is whether the candidate and the control were right, (n,) each.
    """

    candidate: Predict
    scratch: Predict
    clean: tuple[Bools, Bools]
    pixels: Pixels
    targets: Ints
    keys: Ints


@dataclass(frozen=True)
class _Seen:
    """One corruption: the places of its images, and whether they were right at each severity: (severities, m)."""

    name: str
    places: Ints
    right: tuple[Bools, Bools]


def robustness(
    subject: Subject, images_each: int, seed: Seed, resamples: int
) -> tuple[Robustness, Section, list[Finding]]:
    """Accuracy of both models under every corruption, on at most `images_each` test images for each."""
    n = len(subject.pixels)
    each = min(images_each, n)
    sample = (
        f"{each} of {n} test images for each corruption, one sample after the other in an order that the seed draws; "
        "the same images at each severity"
    )
    order, rng = np.random.default_rng((*seed, 0)).permutation(n), np.random.default_rng((*seed, 1))
    names = progress(list(KINDS), len(KINDS), "corrupting test images", "corruptions")
    seen = [
        _look(subject, name, order[(number * each + np.arange(each)) % n] if n else order, seed)
        for number, name in enumerate(names)
    ]
    losses = _losses("", subject, seen, rng, resamples)
    found = Robustness(each, sample, *losses, tuple(_corruption(subject, one, rng, resamples) for one in seen))
    mild = [(one.name, _kept_when_mild(subject, one, rng, resamples)) for one in seen]
    findings = [
        *sturdiness_findings(found.loss_difference),
        *(finding for name, kept in mild for finding in corruption_findings(name, kept)),
    ]
    return found, _section(found), findings


def _section(found: Robustness) -> Section:
    """The losses over all corruptions, then those of each."""
    told = (loss for one in found.corruptions for loss in (one.candidate_loss, one.scratch_loss))
    return Section(NAME, QUESTION, (found.candidate_loss, found.scratch_loss, found.loss_difference, *told))


def _look(subject: Subject, name: str, places: Ints, seed: Seed) -> _Seen:
    """Some images at a time, so that memory does not grow with their number."""
    pieces = [places[at : at + _AT_ONCE] for at in range(0, len(places), _AT_ONCE)]
    seen = [_right(subject, name, piece, seed) for piece in pieces]
    nothing = np.zeros((len(SEVERITIES), 0), bool)
    candidate, scratch = (np.concatenate([nothing, *(pair[model] for pair in seen)], axis=1) for model in range(2))
    return _Seen(name, places, (candidate, scratch))


def _right(subject: Subject, name: str, places: Ints, seed: Seed) -> tuple[Bools, Bools]:
    """Whether each model is right at each severity: (severities, images) each."""
    pixels, shape = np.asarray(subject.pixels[places]), (len(SEVERITIES), len(places))
    seeds = [(*seed, list(KINDS).index(name), int(key)) for key in subject.keys[places]]
    views = np.concatenate([corrupt(pixels, name, severity, seeds) for severity in SEVERITIES])
    candidate, scratch = (
        model(views).argmax(axis=1).reshape(shape) == subject.targets[places]
        for model in (subject.candidate, subject.scratch)
    )
    return candidate, scratch


def _losses(
    of: str, subject: Subject, seen: Sequence[_Seen], rng: np.random.Generator, resamples: int
) -> tuple[Statistic, Statistic, Statistic]:
    """Of the candidate, of the control, and the difference; resampled are images with all that was made of them."""
    names = [f"{of}accuracy lost, {what}" for what in ("this model", "from scratch", "difference")]
    n = len(subject.targets)
    hits, clean = np.zeros((2, n)), np.zeros((2, n))
    for one in seen:
        for model in range(2):
            np.add.at(hits[model], one.places, one.right[model].sum(axis=0))
            np.add.at(clean[model], one.places, len(SEVERITIES) * subject.clean[model][one.places])
    used = np.unique(np.concatenate([one.places for one in seen]))
    samples = Samples(len(used), 1, resamples, int(rng.integers(2**63)))
    what = f" of {len(seen)} corruptions" if len(seen) > 1 else ""
    how = f"share of the clean, mean of {len(SEVERITIES)} severities{what}; {samples.estimator('percentile')}"
    if not clean.sum(axis=1).all():
        why = "not measured: a model gets none of these images right when they are clean"
        return tuple(not_measured(name, why, len(used)) for name in names)  # type: ignore[return-value]
    hits, clean = hits[:, used], clean[:, used]

    def losses(drawn: Ints) -> Floats:
        kept = [hits[m][drawn].sum(axis=1) / np.maximum(clean[m][drawn].sum(axis=1), 1) for m in range(2)]
        return np.stack([1 - kept[0], 1 - kept[1], kept[1] - kept[0]], axis=1)

    values, drawn = losses(np.arange(len(used))[None])[0], samples.measure(losses)
    ends = [percentiles(column) for column in drawn.T]
    wide = [(low - unseen(len(used)), high + unseen(len(used))) if low == high else (low, high) for low, high in ends]
    return tuple(  # type: ignore[return-value]
        Statistic(name, float(value), len(used), low, high, estimator=how)
        for name, value, (low, high) in zip(names, values, wide, strict=True)
    )


def _corruption(subject: Subject, seen: _Seen, rng: np.random.Generator, resamples: int) -> Corruption:
    def rates(model: int) -> tuple[Statistic, ...]:
        return tuple(
            wilson(f"accuracy, severity {severity}", int(right.sum()), len(right))
            for severity, right in zip(SEVERITIES, seen.right[model], strict=True)
        )

    def clean(model: int) -> Statistic:
        return wilson("accuracy, clean", int(subject.clean[model][seen.places].sum()), len(seen.places))

    ours, theirs, _ = _losses(f"{seen.name}: ", subject, [seen], rng, resamples)
    family = KINDS[seen.name].family
    return Corruption(seen.name, family, clean(0), clean(1), rates(0), rates(1), ours, theirs)


def _kept_when_mild(subject: Subject, seen: _Seen, rng: np.random.Generator, resamples: int) -> Statistic:
    """The share of its clean accuracy that the candidate keeps at the mild severities.

    The upper end holds over all corruptions together (Bonferroni), for the worst of them is what a finding is about.
    """
    clean, hits = subject.clean[0][seen.places] * _MILD, seen.right[0][:_MILD].sum(axis=0)
    name = f"accuracy kept under {seen.name}"
    if not clean.sum():
        return not_measured(name, "not measured: none of the clean images is right", len(clean))
    drawn = np.random.default_rng(rng.integers(2**63)).multinomial(
        len(hits), np.full(len(hits), 1 / len(hits)), size=resamples
    )
    kept, level = (drawn @ hits) / np.maximum(drawn @ clean, 1), 0.05 / len(KINDS)
    how = (
        f"share of the clean accuracy, mean of severities 1 to {_MILD}; percentile bootstrap over images, "
        f"{resamples} resamples, Bonferroni over {len(KINDS)} corruptions"
    )
    low, high = np.quantile(kept, [level / 2, 1 - level / 2])
    return Statistic(name, float(hits.sum() / clean.sum()), len(hits), float(low), float(high), estimator=how)
