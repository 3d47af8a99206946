"""What sets the splits apart, and what sets a later version of the data apart from an earlier one."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.bias.alike import Sets, corrected, numbers_apart, values_apart
from tasks.bias.attributes import Levels, columns_of, examine
from tasks.bias.significance import family_holm, holm
from tasks.contracts.records import SPLITS, Finding, Section, Severity, Statistic
from tasks.contracts.samples import usable

SPLIT_NAME, VERSION_NAME = "split drift", "version drift"
SPLIT_QUESTION = "Are the images to learn from and those to test on alike?"
VERSION_QUESTION = "What has changed since the earlier version, and do new images differ from those that stayed?"
WARN_AT, INFO_AT = 0.25, 0.1
MOST_FINDINGS = 5
MEASURES = (
    "width",
    "height",
    "bytes",
    "luminance_low",
    "luminance_median",
    "luminance_high",
    "contrast",
    "entropy_bits",
    "detail",
    "sharpness",
    "texture",
    "colour",
    "border",
    "blockiness",
    "jpeg_quality",
)
_TRAITS = ("label", "format", "mode")  # beside the attributes

Bools = NDArray[np.bool_]


class _Pair(NamedTuple):
    """Two sets that are compared, and how the first and the second are called."""

    sets: Sets
    first: str
    second: str


def split_drift(images: pd.DataFrame, rng: np.random.Generator) -> tuple[Section, list[Finding]]:
    """Whether train differs from each other split in classes, formats and measures; attributes: see metadata.py.

    One image stands for all that belong together (a person, copies): they share a split, so they are one draw of it.
    """
    component = images["component"] if "component" in images else images["sha256"]
    first = ~component.duplicated().to_numpy()
    alone, split = images[first], images["split"].to_numpy(dtype=object)[first]
    pairs = [
        _Pair(Sets(split == "train", split == other), "train", other) for other in SPLITS[1:] if (split == other).any()
    ]
    over = "Holm over all traits and splits, Bonferroni over the 8 families"
    statistics = _largest_first(corrected(_compare(alone, (), pairs, rng), family_holm, over))
    if not statistics:
        nothing = "not measured: there are no two sets of images to compare"
        statistics = [Statistic(SPLIT_NAME, None, len(alone), status="not_measurable", estimator=nothing)]
    return Section(SPLIT_NAME, SPLIT_QUESTION, tuple(statistics)), _findings(statistics, "split_drift")


def drift(before: pd.DataFrame, after: pd.DataFrame, small: int = 5, seed: int = 0) -> tuple[Section, list[Finding]]:
    """What changed between two versions of `data/checked.parquet`, the largest difference first.

    Most images are in both, so versions as a whole are no independent samples: images that came, and images that went,
    are each compared with those that stayed. A difference counts from `INFO_AT` and a corrected p of at most 0.05.
    """
    old, new = usable(before).drop_duplicates("sha256"), usable(after).drop_duplicates("sha256")
    stayed = new["sha256"].isin(old["sha256"])
    gone = old[~old["sha256"].isin(new["sha256"])]
    counts = _changes(old, new, gone)
    shared = [name for name in new.columns if name in old.columns]
    every = pd.concat([new[shared], gone[shared]], ignore_index=True)
    kind = np.concatenate([np.where(stayed, "stayed", "came"), np.full(len(gone), "went")])
    pairs = [
        _Pair(Sets(kind == "stayed", kind == other), "the images that stayed", f"the images that {other}")
        for other in ("came", "went")
        if (kind == other).any()
    ]
    rng = np.random.default_rng([seed, 0])
    levels, _ = examine(columns_of(every), (), small, np.ones(len(every), bool))
    statistics = _largest_first(corrected(_compare(every, levels, pairs, rng), holm, "Holm over all traits and sets"))
    only = sorted({*old.columns, *new.columns} - set(shared))
    lost = [
        Statistic(name, None, len(new), status="not_measurable", estimator="not measured: a column of one version only")
        for name in only
    ]
    return Section(VERSION_NAME, VERSION_QUESTION, (*counts, *statistics, *lost)), _findings(
        statistics, "version_drift"
    )


def _changes(old: pd.DataFrame, new: pd.DataFrame, gone: pd.DataFrame) -> list[Statistic]:
    known = ["sha256", "label", "split"]
    both = old[known].merge(new[known], on="sha256", suffixes=("_old", "_new"))
    told = {
        "images that came": len(new) - len(both),
        "images that went": len(gone),
        "images with another label": int((both["label_old"] != both["label_new"]).sum()),
        "images in another split": int((both["split_old"] != both["split_new"]).sum()),
    }
    return [Statistic(name, float(n), len(new), estimator="count, of the usable images") for name, n in told.items()]


def _compare(
    images: pd.DataFrame, levels: Sequence[Levels], pairs: Sequence[_Pair], rng: np.random.Generator
) -> list[Statistic]:
    """All traits for all pairs of sets."""
    traits = images[[trait for trait in _TRAITS if trait in images]]
    # what is told of a value is a distance, never a number of images: none of these is too small
    levels = [*examine(traits, (), 1, np.ones(len(images), bool))[0], *levels]
    out = []
    for pair in pairs:
        title = f"{pair.second} against {pair.first}"
        out += [values_apart(f"{one.name}, {title}", one.codes, pair.sets, rng) for one in levels]
        for measure in (m for m in MEASURES if m in images):
            numbers = images[measure].to_numpy(dtype=np.float64, na_value=np.nan)
            out.append(numbers_apart(f"{measure}, {title}", numbers, pair.sets))
    return out


def _largest_first(statistics: list[Statistic]) -> list[Statistic]:
    return sorted(statistics, key=lambda one: (-(one.value or 0.0), one.name))


def _findings(statistics: Sequence[Statistic], check: str) -> list[Finding]:
    found = []
    for one in statistics:
        if one.value is None or one.value < INFO_AT or one.p_value is None or one.p_value > 0.05:
            continue
        trait, _, sets = one.name.rpartition(", ")
        severity: Severity = "warn" if one.value >= WARN_AT else "info"
        message = f"{trait}: {sets}, {one.value:.0%} of the images would have to be others (p {one.p_value:.3g})"
        remedy = "find out where this comes from; results on one set say little about the other in this respect"
        found.append(Finding(check, severity, trait, one, message, remedy))
    return found[:MOST_FINDINGS]
