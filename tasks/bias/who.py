"""Who is in the data: attributes, their cells, and the questions that these answer."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from tasks.bias.attributes import GROUP, columns_of, examine
from tasks.bias.cells import cells, tables
from tasks.bias.coverage import coverage
from tasks.bias.drift import split_drift
from tasks.bias.flaws import flaws
from tasks.bias.representativeness import representativeness
from tasks.contracts.params import BiasParams
from tasks.contracts.records import Attribute, Cell, Finding, Section


@dataclass(frozen=True)
class Who:
    """What the bias report says about the attributes of the images."""

    attributes: tuple[Attribute, ...]
    cells: tuple[Cell, ...]
    sections: tuple[Section, ...]
    findings: tuple[Finding, ...]


def who_is_in_the_data(images: pd.DataFrame, suspects: pd.Series, params: BiasParams, rng: np.random.Generator) -> Who:
    """Everything about the attributes of the labelled `images`, those that were taken out among them.

    `suspects` are the hashes of images whose label is probably wrong. Raises BadUsage on an attribute that there is
    not.
    """
    images = images.assign(label=images["label"].astype(str)).sort_values(["sha256", "path"], ignore_index=True)
    kept = (images["verdict"] != "quarantine").to_numpy()
    columns, usable = columns_of(images), images[kept]
    every, attributes = examine(columns, params.attributes, params.small_cell, kept)
    levels = [one.of(kept) for one in every]
    counted = tables(levels, usable["label"], usable["split"], params.small_cell)
    train = usable["split"].to_numpy() == "train"
    covered, thin = coverage(counted, params.coverage, [one.of(train) for one in levels])
    likeness, unlike = representativeness(columns[kept], params.reference, params.small_cell, rng)
    flawed, unfair = flaws(images, every, suspects, rng)
    apart, drifting = split_drift(usable, rng)
    return Who(
        attributes=attributes,
        # those of the group are told over all splits, by the composition: told twice, one could be had from the other
        cells=tuple(cell for table in counted if table.levels.name != GROUP for cell in cells(table)),
        sections=(covered, likeness, flawed, apart),
        findings=(*thin, *unlike, *unfair, *drifting),
    )
