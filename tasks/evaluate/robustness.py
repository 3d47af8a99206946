"""How much of its accuracy a model keeps on corrupted test images, beside the same network from scratch.

Each corruption has a sample of its own, so that all together see more of the test split than one; within a
corruption the same images come at every severity, to both models, and are held against their own clean pictures.
Hashes decide which, so most of them stay as images are added.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.backbone.rows import PixelSource
from tasks.contracts.model_records import Corruption, Robustness
from tasks.contracts.prepared import Pixels
from tasks.contracts.progress import progress
from tasks.contracts.records import Finding, Section, Statistic
from tasks.evaluate.corruptions import KINDS, SEVERITIES, corrupt
from tasks.evaluate.findings import corruption_findings, sturdiness_findings
from tasks.evaluate.metrics import NO_CONTROL, Floats, Ints, Samples, not_measured, percentiles, unseen, wilson

NAME = "corrupted images"
QUESTION = (
    "How does the model do when images get worse: noise, blur, weather, compression? A loss is the share of the "
    "accuracy on the clean images that is lost, the mean over all corruptions and severities."
)
_MILD = 2  # the severities that a picture in use may well have
_AT_ONCE = 1200  # corrupted images in memory: all of the default, so that the network's last batch is padded once
_CODE = 1  # raised when a corruption changes

Bools = NDArray[np.bool_]
Seed = tuple[int, ...]
# pixels and their keys (n) -> probabilities (n, classes)
Predict = Callable[[PixelSource, Sequence[str]], NDArray[np.floating]]


@dataclass(frozen=True)
class Subject:
    """The candidate, and after it the control if there is one, with what they make of the test images as they are.

    Of each image: its pixels, its class, its content hash, and in `clean` whether each model was right, (n,).
    """

    models: tuple[Predict, ...]
    clean: tuple[Bools, ...]
    pixels: PixelSource
    targets: Ints
    sha256s: tuple[str, ...]


@dataclass(frozen=True)
class _Seen:
    """One corruption: the places of its images, and whether each model was right at each severity: (severities, m)."""

    name: str
    places: Ints
    right: tuple[Bools, ...]


def robustness(
    subject: Subject, images_each: int, seed: Seed, resamples: int
) -> tuple[Robustness, Section, list[Finding]]:
    """Accuracy of the models under every corruption, on at most `images_each` test images for each."""
    n = len(subject.pixels)
    each = min(images_each, n)
    sample = (
        f"{each} of {n} test images for each corruption, which follow one another in an order that the seed and their "
        "hashes give; the same images at each severity"
    )
    places, rng = _samples(subject.sha256s, each, seed), np.random.default_rng((*seed, 1))
    right = _right(subject, places, seed)
    seen = [_Seen(name, places[kind], tuple(right[:, kind])) for kind, name in enumerate(KINDS)]
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


def _samples(sha256s: Sequence[str], each: int, seed: Seed) -> Ints:
    """The places of the images that each corruption gets, (corruptions, each).

    Hashes give each image a number in [0, 1), and each corruption takes those that follow a point of its own: a new
    image changes few samples. All see different images where there are enough; where not, each is seen as often.
    """
    drawn = [int.from_bytes(hashlib.sha256(f"{seed} {sha256}".encode()).digest()[:8]) / 2**64 for sha256 in sha256s]
    n, kinds, order = len(drawn), len(KINDS), np.argsort(drawn, kind="stable")
    starts = np.arange(kinds) * n // kinds
    if n >= kinds * each:
        own = np.searchsorted(np.array(drawn)[order], np.arange(kinds) / kinds)
        steps = np.arange(kinds) * each
        behind = np.maximum.accumulate(own - steps) + steps  # each after the one before it
        starts = np.minimum(behind, n - (kinds - np.arange(kinds)) * each)  # and room for those after it
    places: Ints = order[(starts[:, None] + np.arange(each)) % max(n, 1)]
    return places


def _right(subject: Subject, places: Ints, seed: Seed) -> NDArray[np.bool_]:
    """Whether each model is right: (models, corruptions, severities, images) for `places` (corruptions, images)."""
    views = [
        _View(name, severity, int(place))
        for (name, of_kind), severity in product(zip(KINDS, places, strict=True), SEVERITIES)
        for place in of_kind
    ]
    targets = subject.targets[[view.place for view in views]] if views else np.empty(0, np.int64)
    right = np.zeros((len(subject.models), len(views)), bool)
    starts = range(0, len(views), _AT_ONCE)
    for start in progress(starts, len(starts), "corrupting test images", "parts"):
        part = slice(start, start + _AT_ONCE)
        corrupted = _Corrupted(subject, views[part], seed)
        for row, model in zip(right, subject.models, strict=True):
            row[part] = model(corrupted, corrupted.keys).argmax(axis=1) == targets[part]
    return right.reshape(len(subject.models), len(KINDS), len(SEVERITIES), places.shape[1])


@dataclass(frozen=True)
class _View:
    """A test image under one corruption at one severity."""

    name: str
    severity: int
    place: int


class _Corrupted:
    """Corrupted images as a source of pixels: each is made when the first model asks for it, and kept."""

    def __init__(self, subject: Subject, views: Sequence[_View], seed: Seed) -> None:
        self._subject, self._views, self._seed = subject, views, seed
        self._made: dict[int, Pixels] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """(corrupted images, side in px, side, 3)."""
        return (len(self._views), *self._subject.pixels.shape[1:])

    @property
    def keys(self) -> list[str]:
        """Hashes of all that decides each corrupted image."""
        named = ((self._subject.sha256s[one.place], *self._noise(one)[:-1], one.severity) for one in self._views)
        by = f"corrupted {_CODE}, cv2 {cv2.__version__}, numpy {np.__version__}"
        return [hashlib.sha256(f"{by} {name}".encode()).hexdigest() for name in named]

    def __len__(self) -> int:
        return len(self._views)

    def __getitem__(self, chosen: Any, /) -> Pixels:
        wanted = np.arange(len(self))[chosen]
        return np.stack([self._image(int(i)) for i in wanted])

    def _image(self, i: int) -> Pixels:
        if i not in self._made:
            one, subject = self._views[i], self._subject
            pixels = subject.pixels[one.place][None]
            self._made[i] = corrupt(pixels, one.name, one.severity, [self._noise(one)])[0]
        return self._made[i]

    def _noise(self, one: _View) -> tuple[int, ...]:
        """The seed of its noise: of the run, of the corruption, of the image."""
        kind = int.from_bytes(one.name.encode())
        return (*self._seed, kind, int(self._subject.sha256s[one.place][:15], 16))


def _losses(
    of: str, subject: Subject, seen: Sequence[_Seen], rng: np.random.Generator, resamples: int
) -> tuple[Statistic, Statistic, Statistic]:
    """Of the candidate, of the control, and the difference; resampled are images with all that was made of them."""
    names = [f"{of}accuracy lost, {what}" for what in ("this model", "from scratch", "difference")]
    n, models = len(subject.targets), range(len(subject.models))
    hits, clean = np.zeros((2, len(models), n))
    for one in seen:
        for model in models:
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
        kept = [hits[m][drawn].sum(axis=1) / np.maximum(clean[m][drawn].sum(axis=1), 1) for m in models]
        return np.stack([1 - kept[0], 1 - kept[-1], kept[-1] - kept[0]][: 2 * len(models) - 1], axis=1)

    values, drawn = losses(np.arange(len(used))[None])[0], samples.measure(losses)
    ends = [percentiles(column) for column in drawn.T]
    wide = [(low - unseen(len(used)), high + unseen(len(used))) if low == high else (low, high) for low, high in ends]
    found = [
        Statistic(name, float(value), len(used), low, high, estimator=how)
        for name, value, (low, high) in zip(names, values, wide, strict=False)
    ]
    return (*found, *map(_no_control, names[len(found) :]))  # type: ignore[return-value]


def _corruption(subject: Subject, seen: _Seen, rng: np.random.Generator, resamples: int) -> Corruption:
    def rates(model: int) -> tuple[Statistic, ...]:
        if model == len(subject.models):
            return ()
        return tuple(
            wilson(f"accuracy, severity {severity}", int(right.sum()), len(right))
            for severity, right in zip(SEVERITIES, seen.right[model], strict=True)
        )

    def clean(model: int) -> Statistic:
        if model == len(subject.models):
            return _no_control("accuracy, clean")
        return wilson("accuracy, clean", int(subject.clean[model][seen.places].sum()), len(seen.places))

    ours, theirs, _ = _losses(f"{seen.name}: ", subject, [seen], rng, resamples)
    family = KINDS[seen.name].family
    return Corruption(seen.name, family, clean(0), clean(1), rates(0), rates(1), ours, theirs)


def _no_control(name: str) -> Statistic:
    return Statistic(name, None, 0, status="skipped", estimator=NO_CONTROL)


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
