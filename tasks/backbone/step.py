"""The select stage: which backbone suits these images best, by a probe on its frozen features."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.backbone.candidates import default_entries, named_entries
from tasks.backbone.catalog import Entry
from tasks.backbone.download import is_offline
from tasks.backbone.features import Rows, cached_features
from tasks.backbone.random_control import random_control
from tasks.backbone.ranking import choose, no_gain, ranked, reason
from tasks.backbone.scores import Probe, assign_folds, probe_scores, thumbnails
from tasks.backbone.weights import open_entry
from tasks.bias.gate import require_open
from tasks.contracts.errors import BadData, BadEnvironment
from tasks.contracts.files import write_record
from tasks.contracts.model_records import Candidate, LeftOut, SelectionReport
from tasks.contracts.params import SelectParams
from tasks.contracts.prepared import open_checked
from tasks.contracts.progress import say
from tasks.contracts.records import Finding, Statistic
from tasks.contracts.samples import usable
from tasks.contracts.workspace import Workspace
from tasks.evaluate.comparison import accuracy_difference
from tasks.evaluate.metrics import wilson

VERSION = 4
PROBE_IMAGES = 2000  # tell two backbones apart to about two points; more cost more and change no choice
_LEAST_OF_CLASS = 10
_RESAMPLES = 2000


@dataclass(frozen=True)
class Sample:
    """The training images that the probe sees: their pixels, hashes, class indices and folds; `of` so many."""

    pixels: Rows
    sha256s: tuple[str, ...]
    targets: NDArray[np.int64]
    fold_of: NDArray[np.int64]
    of: int


def run(ws: Workspace, params: SelectParams, seed: int) -> SelectionReport:
    """Write `reports/selection.json`. Looks at the train split alone.

    Raises GateRefused, BadData (no images, or one class or group), BadUsage (an unknown name), BrokenArtifact (broken
    weights) and BadEnvironment (weights asked for by name that cannot be had).
    """
    require_open(ws.gate)
    sample = _read_sample(ws, params.folds, seed)
    offline = not params.download or is_offline()
    left_out: tuple[LeftOut, ...] = ()
    if params.candidates:
        entries = named_entries(params.candidates, ws.root, offline)
    else:
        entries, left_out = default_entries(offline)
    if not entries:
        raise BadEnvironment("no backbone can be had; fetch one with `graft backbones --fetch resnet18`")
    trials = {}
    for entry in entries:
        candidate, probe = _try(entry, sample, ws)
        trials[candidate.backbone.name] = candidate, probe
    candidates = ranked([candidate for candidate, _ in trials.values()])
    chosen = choose(candidates)
    controls, findings = _compare(chosen, trials[chosen.backbone.name][1], sample, ws, seed)
    report = SelectionReport(chosen.backbone, reason(chosen, candidates), candidates, controls, left_out, findings)
    write_record(ws.selection, report)
    return report


def _read_sample(ws: Workspace, folds: int, seed: int) -> Sample:
    """At most about PROBE_IMAGES, the first of each class in the order of their hashes, so few change with new data."""
    checked, pixels = open_checked(ws)
    train = usable(checked, "train")
    by_class = train.groupby("label")
    limit = np.ceil(by_class["label"].transform("size") * min(1.0, PROBE_IMAGES / max(len(train), 1)))
    seen = train[by_class.cumcount() < limit.clip(lower=_LEAST_OF_CLASS)]
    if seen["label"].nunique() < 2:
        raise BadData("the train split has usable images of fewer than two classes; reports/quality.json says why")
    targets = pd.factorize(seen["label"], sort=True)[0].astype(np.int64)
    groups = seen["component"]  # near-duplicates and images of one group: never on both sides of a fold
    if groups.nunique() < 2:
        raise BadData("all training images belong together, so nothing can be held out; change ingest.group")
    rows = Rows(pixels, seen["pixels"].to_numpy(np.int64))
    fold_of = assign_folds(targets, groups.astype(str).tolist(), folds, seed)
    return Sample(rows, tuple(seen["sha256"]), targets, fold_of, len(train))


def _try(entry: Entry, sample: Sample, ws: Workspace) -> tuple[Candidate, Probe]:
    backbone, ref = open_entry(entry, sample.pixels.shape[1])
    features = cached_features(backbone, ref, sample.pixels, sample.sha256s, ws.cache)
    probe = probe_scores(features, sample.targets, sample.fold_of)
    accuracy = _described(probe.accuracy, sample)
    say(f"{ref.name}: {accuracy.value:.1%} by a linear probe on {accuracy.n:,} training images")
    return Candidate(ref, accuracy, backbone.features, probe.fold_accuracies), probe


def _compare(
    chosen: Candidate, probe: Probe, sample: Sample, ws: Workspace, seed: int
) -> tuple[tuple[Statistic, ...], tuple[Finding, ...]]:
    """The controls, by the same probe in the same folds; and what to say where the chosen one is no better."""
    random, ref = random_control(chosen.backbone, seed, ws.cache)
    baselines = {
        "random_features": cached_features(random, ref, sample.pixels, sample.sha256s, ws.cache),
        "raw_pixels": thumbnails(sample.pixels),
    }
    controls: list[Statistic] = []
    findings: list[Finding] = []
    for name, features in baselines.items():
        other = probe_scores(features, sample.targets, sample.fold_of)
        controls.append(_described(replace(other.accuracy, name=name), sample))
        gain = accuracy_difference(probe.right, other.right, np.random.default_rng(seed), _RESAMPLES)
        findings += no_gain(chosen, controls[-1], gain)
    most = int(np.bincount(sample.targets).max())
    controls.append(wilson("majority_class", most, len(sample.targets)))
    return tuple(controls), tuple(findings)


def _described(accuracy: Statistic, sample: Sample) -> Statistic:
    folds = len(np.unique(sample.fold_of))
    how = f"{folds}-fold linear probe on {accuracy.n:,} of {sample.of:,} training images, Wilson"
    return replace(accuracy, estimator=how)
