"""Whether a policy makes one class look like another, class by class and change by change, before anything trains.

Each change is applied alone, always, and at the ends of its range, to training pictures whose class is recognised by a
model that has not seen them; `likeness` says which of them then pass for another class. A change that only makes
pictures harder turns none into a *certain* other class, or leaves a mark by which it is told from the real ones.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tasks.augment.likeness import Bools, Floats, Ints, Reference, judge, learn
from tasks.augment.policy import Policy, seed_for
from tasks.augment.probes import Probe, mirror, probes_of
from tasks.augment.records import LabelChange, LabelSafety
from tasks.backbone.cache import FOLDER, remembered
from tasks.backbone.catalog import EMBEDDED_PREFIX, find_entry, weights_folder
from tasks.backbone.features import Rows, cached_features, compute_features
from tasks.backbone.rows import Work
from tasks.backbone.weights import open_entry
from tasks.contracts.prepared import Pixels
from tasks.contracts.progress import progress
from tasks.contracts.records import Statistic, Status
from tasks.evaluate.metrics import wilson

MOST_CLASSES = 20
MOST_OF_A_CLASS = 100  # that the model learns from
MOST_CHANGED = 600  # pictures that each change is tried on, over all classes
LEAST_OF_A_CLASS = 8
# of a class, to be called turned. Where nothing tells changed pictures from the real ones of the other class, chance
# alone still finds half of them nearer to the changed ones, so a whole class that turns shows as about 0.3 to 0.5
FROM_SHARE = 0.15
LEVEL = 0.05  # of significance, over all changes and pairs of classes
LEAST_RECOGNISED = 0.5  # the share of a class that is recognised, less that of the others that are taken for it
_CODE = 1  # raised when a change is drawn or seen otherwise
_COLOURS_PX = 8  # the features were made without regard to colour, so a small picture stands beside them
_BACKBONE = f"{EMBEDDED_PREFIX}formula_resnet18"
_OFFERED = Probe("HorizontalFlip", "always", (mirror("HorizontalFlip"),))


@dataclass(frozen=True)
class Pictures:
    """Training pictures: `rows` (n,) of `pixels`, ordered by content; `groups` says which of them belong together.

    They are read only when they are looked at: all at once they might not fit into memory.
    """

    pixels: Pixels
    rows: Ints
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    sha256s: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def source(self) -> Rows:
        """Their pixels, (n, side, side, 3)."""
        return Rows(self.pixels, self.rows)

    def each(self) -> Iterator[Pixels]:
        """One after the other, (side, side, 3)."""
        return (np.array(self.pixels[row]) for row in self.rows)

    def at(self, places: Ints) -> "Pictures":
        """Some of them."""
        columns = ([column[place] for place in places] for column in (self.labels, self.groups, self.sha256s))
        labels, groups, sha256s = map(tuple, columns)
        return Pictures(self.pixels, self.rows[places], labels, groups, sha256s)


def sampled(labels: Sequence[str]) -> Ints:
    """Rows of at most MOST_CLASSES classes, chosen by the hash of their name, and the first MOST_OF_A_CLASS of each."""
    by_hash = sorted(set(labels), key=lambda label: hashlib.sha256(label.encode()).hexdigest())
    room = dict.fromkeys(by_hash[:MOST_CLASSES], MOST_OF_A_CLASS)
    rows = []
    for row, label in enumerate(labels):
        if room.get(label, 0):
            room[label] -= 1
            rows.append(row)
    return np.array(rows, np.int64)


def examine(pictures: Pictures, policy: Policy, cache: Path, seed: int) -> LabelSafety:
    """What each change of `policy` does to the labels of a sample of `pictures`.

    What was seen of a picture and of its changes is read from a workspace's `cache`.
    """
    every = len(set(pictures.labels))
    pictures = pictures.at(sampled(pictures.labels))
    sizes = {label: pictures.labels.count(label) for label in sorted(set(pictures.labels))}
    kin = {label: len(_groups_of(pictures, label)) for label in sizes}
    small = [label for label in sizes if sizes[label] < LEAST_OF_A_CLASS or kin[label] < 2]
    names = [label for label in sizes if label not in small]
    unknown = [_nothing(label, sizes[label], _few(sizes[label], kin[label])) for label in small]
    probes = probes_of(policy.transforms)
    offered = () if any(one.rule == _OFFERED.rule for one in probes) else (_OFFERED,)
    if len(names) < 2:  # no two classes that could be taken for each other
        return LabelSafety((), tuple(unknown), len(sizes), every - len(sizes), 0)
    kept = pictures.at(np.array([row for row, label in enumerate(pictures.labels) if label in names], np.int64))
    targets = np.array([names.index(label) for label in kept.labels], np.int64)
    eye = _Eye(kept.pixels.shape[1])
    with threadpool_limits(1, "blas"):  # equal on any number of cores
        reference = learn(eye.known(kept, cache), targets, kept.groups, seed)
        rows = _tried(targets)
        changed = eye.changed(kept.at(rows), (*probes, *offered), cache, seed)
        found = [judge(reference, rows, values) for values in changed]
    classes = [_Class(reference, rows, names, kind, len(found)) for kind in range(len(names))]
    unknown += [one.nothing for one in classes if one.why_unknown]
    known = [one for one in classes if not one.why_unknown]
    changes = [one.change(probe, judged.turned) for probe, judged in zip(probes, found, strict=False) for one in known]
    offer = _kept_by(found[-1].kept[reference.recognised[rows]]) if offered and not unknown else None
    return LabelSafety(tuple(changes), tuple(unknown), len(sizes), every - len(sizes), len(rows), offer)


@dataclass(frozen=True)
class _Class:
    """One class of the reference, `kind` of `names`; its pictures among `rows` were changed by so many `probes`."""

    reference: Reference
    rows: Ints
    names: Sequence[str]
    kind: int
    probes: int

    @cached_property
    def members(self) -> Ints:
        """Places in `rows` of its pictures that are recognised unchanged."""
        ours = (self.reference.targets[self.rows] == self.kind) & self.reference.recognised[self.rows]
        return np.flatnonzero(ours)

    @cached_property
    def confused(self) -> Ints:
        """How many of its real pictures pass for each class as they are, (k,)."""
        counts: Ints = self.reference.confused[self.reference.targets == self.kind].sum(axis=0)
        return counts

    @cached_property
    def why_unknown(self) -> str:
        """Why nothing can be said of it; empty where something can."""
        real = self.reference.targets == self.kind
        called = self.reference.distances.argmin(axis=1) == self.kind
        right, wrong = float(called[real].mean()), float(called[~real].mean())
        if right - wrong < LEAST_RECOGNISED:
            others = f", and {wrong:.0%} of the others are taken for it" if wrong >= 0.01 else ""
            return f"only {right:.0%} of its {int(real.sum())} pictures are recognised unchanged{others}"
        n = len(self.members)
        if n < LEAST_OF_A_CLASS or self._p_value(n, int(self.confused.max())) > LEVEL:
            return f"{n} recognised pictures are too few: if all of them changed, it might be chance"
        return ""

    @property
    def nothing(self) -> Statistic:
        """A statistic that says why there is none."""
        too_small = "too few" in self.why_unknown
        return _nothing(
            self.names[self.kind], len(self.members), self.why_unknown, "too_small" if too_small else "not_measurable"
        )

    def change(self, probe: Probe, turned: Bools) -> LabelChange:
        """What a probe did to it, from whether each of `rows` passes for each class, (m, k)."""
        counts, n = turned[self.members].sum(axis=0), len(self.members)
        other = int(counts.argmax())
        rate = wilson("turned", int(counts[other]), n)
        p_value = self._p_value(int(counts[other]), int(self.confused[other]))
        tests = self.probes * len(self.names) * (len(self.names) - 1)
        how = f"Wilson; p: Fisher exact against unchanged pictures, Bonferroni over {tests}"
        share = replace(rate, estimator=how, p_value=p_value)
        becomes = self.names[other] if counts[other] else ""
        bad = bool(counts[other] >= FROM_SHARE * n and p_value <= LEVEL)
        return LabelChange(probe.rule, probe.setting, self.names[self.kind], becomes, share, bad)

    def _p_value(self, turned: int, confused: int) -> float:
        """Whether more of the changed pictures pass for a class than of all real ones of this class."""
        n, real = len(self.members), int((self.reference.targets == self.kind).sum())
        alone = float(hypergeom.sf(turned - 1, n + real, turned + confused, n))
        return min(1.0, alone * self.probes * len(self.names) * (len(self.names) - 1))


class _Eye:
    """What is seen of a picture: features of the embedded backbone, and the picture itself, very small."""

    def __init__(self, side_px: int) -> None:
        self._backbone, self._ref = open_entry(find_entry(_BACKBONE, weights_folder()), side_px)

    def known(self, pictures: Pictures, cache: Path) -> Floats:
        """Values (n, p) of real pictures, whose features the cache may hold."""
        features = cached_features(self._backbone, self._ref, pictures.source, pictures.sha256s, cache)
        return _joined(features, pictures.each())

    def changed(self, pictures: Pictures, probes: Sequence[Probe], cache: Path, seed: int) -> Iterator[Floats]:
        """Values (n, p) of the pictures as each probe changes them; those that the cache holds are not made again."""
        seeds = [seed_for(seed, 0, sha256) for sha256 in pictures.sha256s]
        names = [
            hashlib.sha256(f"{one}:{of}".encode()).hexdigest() for one, of in zip(pictures.sha256s, seeds, strict=True)
        ]
        by = Work(self._backbone, self._ref, pictures.source, (), None).folder_key()
        drawn_by = f"albumentations {version('albumentations')}, cv2 {cv2.__version__}"
        for probe in progress(probes, len(probes), "trying what augmentation does", "changes"):
            policy = Policy(probe.rule, probe.transforms, pictures.pixels.shape[1])

            def look(places: Ints, policy: Policy = policy) -> Floats:
                images = zip(pictures.at(places).each(), (seeds[place] for place in places), strict=True)
                views = np.stack([policy(image, one) for image, one in images])
                return _joined(compute_features(self._backbone, self._ref, views), views)

            key = f"changed pictures {_CODE}: {probe.transforms!r}, {drawn_by}, {by}"
            yield remembered(cache / FOLDER, key, names, look)


def _joined(features: NDArray[np.float32], pixels: Iterable[Pixels]) -> Floats:
    size = (_COLOURS_PX, _COLOURS_PX)
    small = np.stack([cv2.resize(one, size, interpolation=cv2.INTER_AREA).ravel() for one in pixels])
    return np.hstack([features, small]).astype(np.float64)


def _tried(targets: Ints) -> Ints:
    """The first pictures of each class, in all at most MOST_CHANGED."""
    kinds = int(targets.max()) + 1
    each = MOST_CHANGED // kinds
    return np.sort(np.concatenate([np.flatnonzero(targets == kind)[:each] for kind in range(kinds)]))


def _groups_of(pictures: Pictures, label: str) -> set[str]:
    return {group for group, own in zip(pictures.groups, pictures.labels, strict=True) if own == label}


def _few(size: int, kin: int) -> str:
    if size < LEAST_OF_A_CLASS:
        return f"{size} training pictures, {LEAST_OF_A_CLASS} are needed"
    return f"all {size} pictures belong together ({kin} group), two groups are needed"


def _nothing(label: str, n: int, why: str, status: Status = "too_small") -> Statistic:
    return Statistic(label, None, n, status=status, estimator=why)


def _kept_by(kept: Bools) -> Statistic:
    return replace(
        wilson("kept", int(kept.sum()), len(kept)),
        estimator="recognised after a horizontal flip, of those before; Wilson",
    )
