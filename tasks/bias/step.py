"""The bias stage: what the data is made of, what gives the label away, and whether the run may go on."""

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tasks.bias import gate, representation
from tasks.bias.metadata import look_at_metadata
from tasks.bias.mitigation import in_vain, mitigations_of, weights_of
from tasks.bias.pictures import look_at_pictures
from tasks.bias.who import who_is_in_the_data
from tasks.contracts import samples
from tasks.contracts.errors import BadData
from tasks.contracts.files import read_table, write_record, write_table
from tasks.contracts.params import BiasParams
from tasks.contracts.prepared import open_checked
from tasks.contracts.progress import doing
from tasks.contracts.records import BiasReport, GateReport, read_json
from tasks.contracts.workspace import Workspace

VERSION = 4
_METADATA, _PICTURES, _WHO = range(3)  # the streams of randomness below the seed


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
    rngs = [np.random.default_rng([seed, stream]) for stream in (_METADATA, _PICTURES, _WHO)]
    with doing("looking at who is in the data"):
        labelled, suspects = checked[checked["label"].notna()], read_table(ws.label_errors)["sha256"]
        who = who_is_in_the_data(labelled, suspects, params, rngs[2])
    with doing("looking for what gives the label away"):
        metadata = look_at_metadata(usable, params.permutations, rngs[0])
        with threadpool_limits(1, "blas"):  # of so few images several threads only wait for each other
            pictures = look_at_pictures(pixels, usable, params.permutations, rngs[1], ws.cache)
    found = (*representation.findings(sizes), *metadata.findings, *pictures.findings, *who.findings)
    train = usable[usable["split"] == "train"]
    mitigations = mitigations_of(train, found, pictures.shortcuts, params.mitigate)
    report = BiasReport(
        composition=representation.composition(usable, classes, params.small_cell),
        imbalance_ratio=imbalance,
        associations=metadata.associations,
        shortcuts=pictures.statistics,
        findings=(*found, *in_vain(params.mitigate, mitigations)),
        attributes=who.attributes,
        cells=who.cells,
        sections=(*who.sections, *metadata.sections),
        maps=pictures.maps,
        mitigations=mitigations,
    )
    verdict = gate.judge(params.gate, read_json(ws.quality), sizes, imbalance, metadata.associations)
    write_record(ws.bias, report)
    write_table(ws.weights, weights_of(usable, train, mitigations))
    write_record(ws.gate, verdict)
    return verdict


def _usable(checked: pd.DataFrame) -> pd.DataFrame:
    kept = samples.usable(checked)
    if kept.empty:
        raise BadData("no usable image is left after quality; reports/quality.json says why")
    return kept.assign(label=kept["label"].astype(str))
