"""The bias stage: what the data is made of, what gives the label away, and whether the run may go on."""

import numpy as np
import pandas as pd

from tasks.bias import association, gate, overlay, representation, shortcuts
from tasks.bias.who import who_is_in_the_data
from tasks.contracts import samples
from tasks.contracts.errors import BadData
from tasks.contracts.files import read_table, write_record, write_table
from tasks.contracts.params import BiasParams
from tasks.contracts.prepared import Pixels, open_checked
from tasks.contracts.progress import doing
from tasks.contracts.records import BiasReport, Finding, GateReport, Statistic, read_json
from tasks.contracts.workspace import Workspace

VERSION = 3
_MOST_IMAGES = 3000  # looked at for shortcuts, and fitted by the trivial model
_MOST_OF_A_CLASS = 150
_MOST_CLASSES = 150
_MOST_GROUPS = 20  # as levels of an association: beyond, a group is a person or a video
_SHORTCUTS, _ASSOCIATION, _SAMPLE, _OVERLAYS, _WHO = range(5)  # the streams of randomness below the seed


def run(ws: Workspace, params: BiasParams, seed: int) -> GateReport:
    """Read the checked table and the prepared pixels; write the bias report, the gate report and the weights.

    It finishes whether the gate passes or not; the stages after it ask the gate. Raises BadData without a usable
    image, BadUsage on a waiver for an unknown rule.
    """
    gate.waivers_of(params.gate)  # a wrong one is refused before the work, not after
    checked, pixels = open_checked(ws)
    usable = _usable(checked)
    classes = tuple(sorted(set(checked["label"].dropna().astype(str))))
    sizes = representation.split_sizes(usable, classes)
    imbalance = representation.imbalance_ratio(sizes)
    train = usable[usable["split"] == "train"].reset_index(drop=True)
    labelled = checked[checked["label"].notna()]
    suspects = read_table(ws.label_errors)["sha256"]
    with doing("looking at who is in the data"):
        who = who_is_in_the_data(labelled, suspects, params, np.random.default_rng([seed, _WHO]))
    with doing("looking for what gives the label away"):
        associations = _associations(train, params.permutations, seed)
        statistics, found = _shortcuts(pixels, usable, params.permutations, seed)
    report = BiasReport(
        composition=representation.composition(usable, classes, params.small_cell),
        imbalance_ratio=imbalance,
        associations=associations,
        shortcuts=statistics,
        findings=(*representation.findings(sizes), *who.findings, *association.findings(associations), *found),
        attributes=who.attributes,
        cells=who.cells,
        sections=who.sections,
    )
    verdict = gate.judge(params.gate, read_json(ws.quality), sizes, imbalance, associations)
    write_record(ws.bias, report)
    write_table(ws.weights, _weights(usable))
    write_record(ws.gate, verdict)
    return verdict


def _usable(checked: pd.DataFrame) -> pd.DataFrame:
    kept = samples.usable(checked)
    if kept.empty:
        raise BadData("no usable image is left after quality; reports/quality.json says why")
    return kept.assign(label=kept["label"].astype(str))


def _weights(usable: pd.DataFrame) -> pd.DataFrame:
    hashes = sorted(set(usable["sha256"]))
    return pd.DataFrame({"sha256": hashes, "weight": np.ones(len(hashes))})


def _associations(train: pd.DataFrame, permutations: int, seed: int) -> tuple[Statistic, ...]:
    columns = train[sorted(name for name in train.columns if name.startswith("meta_"))]
    columns = columns.rename(columns=lambda name: name.removeprefix("meta_"))
    if 1 < train["group"].nunique() <= _MOST_GROUPS and "group" not in columns:
        columns = columns.assign(group=train["group"])
    if train.empty:
        return ()
    rng = np.random.default_rng([seed, _ASSOCIATION])
    return association.associations(train["label"], columns, permutations, rng)


def _shortcuts(
    pixels: Pixels, usable: pd.DataFrame, permutations: int, seed: int
) -> tuple[tuple[Statistic, ...], list[Finding]]:
    """Trivial features, overlays and the trivial model. Test and promotion images are not looked at."""
    rng = np.random.default_rng([seed, _SAMPLE])
    # a picture that stands twice would count as evidence twice
    with_pixels = usable[usable["pixels"] >= 0].drop_duplicates(["pixels", "label"])
    train, left_out = _sample(with_pixels[with_pixels["split"] == "train"], rng)
    val = with_pixels[with_pixels["split"] == "val"].iloc[:_MOST_IMAGES]
    accuracy = shortcuts.trivial_model(pixels, train, val)
    majority = float(val["label"].value_counts(normalize=True).iloc[0]) if len(val) else 0.0
    found = shortcuts.model_findings(accuracy, majority)
    if train["label"].nunique() < 2:
        return (accuracy,), found
    names, codes = np.unique(train["label"].to_numpy(dtype=str), return_inverse=True)
    classes = tuple(names.tolist())
    best = shortcuts.best_features(
        shortcuts.trivial_features(train, pixels), codes, permutations, np.random.default_rng([seed, _SHORTCUTS])
    )
    overlays = overlay.find_overlays(
        overlay.edge_directions(pixels, train["pixels"].to_numpy(np.int64)),
        codes,
        permutations,
        np.random.default_rng([seed, _OVERLAYS]),
    )
    found = [
        *shortcuts.overlay_findings(overlays, classes, train["path"].tolist()),
        *shortcuts.feature_findings(best, classes),
        *found,
    ]
    statistics = [accuracy, *(shortcuts.overlay_statistic(one, classes) for one in overlays)]
    statistics += [shortcuts.feature_statistic(one, classes) for one in best]
    return (*statistics, *_not_looked_at(classes, codes, left_out)), found


def _sample(train: pd.DataFrame, rng: np.random.Generator) -> tuple[pd.DataFrame, int]:
    """At most _MOST_IMAGES images, drawn evenly over the largest classes, and how many classes were left out."""
    sizes = train["label"].value_counts()
    chosen = sorted(sizes.index, key=lambda label: (-sizes[label], label))[:_MOST_CLASSES]
    most = min(_MOST_OF_A_CLASS, _MOST_IMAGES // max(1, len(chosen)))
    parts = []
    for label in sorted(chosen):
        rows = np.flatnonzero(train["label"] == label)
        parts.append(np.sort(rng.permutation(rows)[:most]))
    kept = np.sort(np.concatenate(parts)) if parts else np.empty(0, np.int64)
    return train.iloc[kept].reset_index(drop=True), len(sizes) - len(chosen)


def _not_looked_at(
    classes: tuple[str, ...], codes: "np.ndarray[tuple[int], np.dtype[np.int64]]", left_out: int
) -> list[Statistic]:
    counts = np.bincount(codes)
    out = [
        Statistic(
            f"shortcuts of {name}", None, int(n), status="too_small", estimator=f"needs {overlay.MIN_IMAGES} images"
        )
        for name, n in zip(classes, counts, strict=True)
        if n < overlay.MIN_IMAGES
    ]
    if left_out:
        estimator = f"the {_MOST_CLASSES} largest classes are looked at"
        out.append(Statistic("shortcuts of the smaller classes", None, left_out, status="skipped", estimator=estimator))
    return out
