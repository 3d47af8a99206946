"""The bias stage: what the data is made of, what gives the label away, and whether the run may go on."""

import numpy as np
import pandas as pd

from tasks.bias import gate, representation
from tasks.bias.attributes import look_at_attributes
from tasks.bias.pictures import look_at_pictures
from tasks.contracts import samples
from tasks.contracts.errors import BadData
from tasks.contracts.files import write_record, write_table
from tasks.contracts.params import BiasParams
from tasks.contracts.prepared import open_checked
from tasks.contracts.progress import doing
from tasks.contracts.records import BiasReport, GateReport, read_json
from tasks.contracts.workspace import Workspace

VERSION = 3
_ATTRIBUTES, _PICTURES = range(2)  # the streams of randomness below the seed


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
    with doing("looking for what gives the label away"):
        rngs = [np.random.default_rng([seed, stream]) for stream in (_ATTRIBUTES, _PICTURES)]
        attributes = look_at_attributes(usable, params.permutations, rngs[0])
        pictures = look_at_pictures(pixels, usable, params.permutations, rngs[1])
    report = BiasReport(
        composition=representation.composition(usable, classes),
        imbalance_ratio=imbalance,
        associations=attributes.associations,
        shortcuts=pictures.statistics,
        findings=(*representation.findings(usable, sizes), *attributes.findings, *pictures.findings),
        sections=attributes.sections,
        maps=pictures.maps,
    )
    verdict = gate.judge(params.gate, read_json(ws.quality), sizes, imbalance, attributes.associations)
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
