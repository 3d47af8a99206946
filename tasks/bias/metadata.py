"""What metadata give away: which columns go with the label or the split, which only follow others, and identities."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.bias import association
from tasks.bias.attributes import GROUP, MOST_GROUPS, columns_of
from tasks.bias.confounding import Given, followers, given_each_other
from tasks.bias.identities import crossing_identities
from tasks.bias.tables import Codes
from tasks.contracts.records import Finding, Section, Statistic


@dataclass(frozen=True)
class Metadata:
    """Of the label: Cramer's V of each column. The other questions are sections."""

    associations: tuple[Statistic, ...]
    sections: tuple[Section, ...]
    findings: tuple[Finding, ...]


def look_at_metadata(usable: pd.DataFrame, permutations: int, rng: np.random.Generator) -> Metadata:
    """Labels are compared with columns on the training images; splits on all, whose labels and pixels stay unread."""
    by_label, by_split = rng.spawn(2)
    train = usable[usable["split"] == "train"]
    labels = _looked_at(train["label"], _columns(train, with_group=True), permutations, by_label, "label")
    # what belongs together was put into one split: each component is evidence once, and a group is no news
    single = usable.drop_duplicates("component") if "component" in usable else usable
    splits = _looked_at(single["split"], _columns(single, with_group=False), permutations, by_split, "split")
    given = [one.statistic(what) for what, of in (("label", labels), ("split", splits)) for one in of.given]
    sections = (
        Section("splits", "Were the splits drawn alike, or does an attribute tell them apart?", splits.statistics),
        Section(
            "confounding",
            "Does an attribute go with the label (or the split) by itself, or only because it follows another?",
            tuple(given),
        ),
    )
    identities = crossing_identities(usable, _columns(usable, with_group=False))
    return Metadata(
        labels.statistics,
        tuple(section for section in sections if section.statistics),
        (*labels.findings, *splits.findings, *identities),
    )


@dataclass(frozen=True)
class _Look:
    statistics: tuple[Statistic, ...]
    given: tuple[Given, ...]
    findings: tuple[Finding, ...]


def _looked_at(
    labels: pd.Series, columns: pd.DataFrame, permutations: int, rng: np.random.Generator, what: str
) -> _Look:
    if labels.empty or columns.empty:
        return _Look((), (), ())
    labels, columns = association.sampled(labels, columns, association.MOST_IMAGES, rng)
    results = association.associations(labels, columns, permutations, rng, what)
    strength = {association.column_of(one): one.value or 0.0 for one in results if association.matters(one)}
    codes: dict[str, Codes] = {name: association.levels(columns[name])[0] for name in strength}
    tests = given_each_other(association.coded(labels), codes, strength, rng) if len(codes) > 1 else []
    follow = followers(tests, strength)
    return _Look(results, tuple(tests), tuple(association.findings(results, follow, what)))


def _columns(images: pd.DataFrame, with_group: bool) -> pd.DataFrame:
    """The attributes; a declared group only where it is wanted and has few values."""
    columns = columns_of(images)
    declared = GROUP in columns and f"meta_{GROUP}" not in images
    if declared and not (with_group and 1 < columns[GROUP].nunique() <= MOST_GROUPS):
        return columns.drop(columns=GROUP)
    return columns
