"""Columns that name who or what was photographed more than once, across splits: a patient in train and in test."""

import re

import pandas as pd

from tasks.contracts.records import Finding
from tasks.evaluate.metrics import wilson

# Only by its name is a column of persons told from one of months: both have many values that stand in every split.
_NAMES = re.compile(
    r"(?:^|_)(?:patients?|subjects?|persons?|people|donors?|participants?|animals?|individuals?|specimens?|cases?"
    r"|videos?|clips?|sequences?|sessions?|stud(?:y|ies)|scenes?|slides?|users?)(?:_|$)"
)
_EVIDENCE = 10


def crossing_identities(images: pd.DataFrame, columns: pd.DataFrame) -> list[Finding]:
    """A warning for each column that is named as identities are and has values in more than one split.

    Declared groups never cross: `quality` takes out what does (`group_crosses_splits`), and says so.
    """
    found = []
    for name in columns:
        if not _NAMES.search(re.sub(r"[^a-z]+", "_", str(name).lower())):
            continue
        known = images[columns[name].notna()]
        values = columns[name][columns[name].notna()].astype(str)
        splits = known["split"].groupby(values).nunique()
        crossing = splits.index[splits > 1]
        if len(splits) < 2 or crossing.empty:
            continue
        message = f"{len(crossing)} of {len(splits)} values of {name} have images in more than one split"
        evidence = tuple(sorted(known["path"][values.isin(crossing)])[:_EVIDENCE])
        remedy = f"set ingest.group: {name}, so that what belongs to one stays together; else scores are too good"
        statistic = wilson(f"{name} in more than one split", len(crossing), len(splits))
        found.append(Finding("identity_crosses_splits", "warn", str(name), statistic, message, remedy, evidence))
    return found
