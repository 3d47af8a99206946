"""The augment stage: settle the policy, test what it does to labels, and show what it does."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from tasks.augment.policy import Policy, describe, digest_of, frozen, make_policy, seed_for
from tasks.augment.probes import probes_of
from tasks.augment.records import Augmentation, Streams, Transform
from tasks.augment.refusal import (
    refusal_line,
    refused_rules,
    require_known_waivers,
    safety_findings,
    worst_changes,
)
from tasks.augment.safety import Pictures, examine
from tasks.augment.sheet import Row, contact_sheet
from tasks.augment.streams import IMAGES, follow, stream_findings
from tasks.bias.gate import require_open
from tasks.contracts.errors import BadData, GateRefused
from tasks.contracts.files import replacing, write_record
from tasks.contracts.params import AugmentParams
from tasks.contracts.prepared import Pixels, open_checked
from tasks.contracts.progress import doing
from tasks.contracts.records import read_json
from tasks.contracts.samples import usable
from tasks.contracts.workspace import Workspace

VERSION = 4
VIEWS = 6
MOST_ROWS = 12


def run(ws: Workspace, params: AugmentParams, seed: int) -> Augmentation:
    """Write the policy, what it does to labels, and its contact sheet: twelve classes at most.

    Raises GateRefused where the gate is closed, or where a change turns one class into another and nobody waived it:
    then the record says so and is written all the same, for the person who has to decide; `load_policy` refuses it.
    Raises BadData where no training image is usable, BadUsage on a waiver for a change that the policy does not make.
    """
    require_open(ws.gate)
    checked, pixels = open_checked(ws)
    own = make_policy(params, pixels.shape[1])
    aimed = _aimed(read_json(ws.bias))
    policy = replace(own, transforms=(*aimed, *own.transforms))
    require_known_waivers(params.waivers, [probe.rule for probe in probes_of(own.transforms)])
    train = usable(checked, "train")
    if train.empty:
        raise BadData("no usable image is in the train split; reports/quality.json says why")
    rows = _sheet_rows(train, pixels, policy, seed)
    with doing("what augmentation does to labels"):
        safety = examine(_pictures(train, pixels), own, ws.cache, seed)  # that the aimed ones pass, a person said
    streams = _streams(train, pixels, policy, seed)
    worst = worst_changes(safety)
    record = replace(
        describe(policy, digest_of([view for row in rows for view in row.views])),
        mitigating=len(aimed),
        refused=refused_rules(worst, params),
        safety=safety,
        streams=streams,
        findings=(*safety_findings(safety, worst, params), *stream_findings(streams, policy.transforms)),
    )
    with replacing(ws.contact_sheet) as part:
        part.write_bytes(contact_sheet(rows, policy.name))
    write_record(ws.augmentation, record)
    if record.refused:
        raise GateRefused(refusal_line(worst, params))
    return record


def _aimed(bias: dict[str, Any]) -> tuple[Transform, ...]:
    """What the bias report wants training images changed by."""
    return tuple(frozen(one) for mitigation in bias["mitigations"] for one in mitigation["transforms"])


def _pictures(train: pd.DataFrame, pixels: Pixels) -> Pictures:
    columns = (tuple(str(value) for value in train[name]) for name in ("label", "component", "sha256"))
    return Pictures(pixels, train["pixels"].to_numpy(np.int64), *columns)


def _streams(train: pd.DataFrame, pixels: Pixels, policy: Policy, seed: int) -> Streams:
    first = train.iloc[:IMAGES]
    images = [np.array(pixels[row]) for row in first["pixels"]]
    return follow(policy, images, [str(sha256) for sha256 in first["sha256"]], seed)


def _sheet_rows(train: pd.DataFrame, pixels: Pixels, policy: Policy, seed: int) -> list[Row]:
    """The first training image, by hash, of each class; classes evenly spread where there are too many."""
    first = train.sort_values("label", kind="stable").drop_duplicates("label")
    places = np.unique(np.linspace(0, len(first) - 1, min(MOST_ROWS, len(first))).round().astype(int))
    rows = []
    for label, row, sha256 in first.iloc[places][["label", "pixels", "sha256"]].itertuples(index=False, name=None):
        original = np.array(pixels[row])
        views = tuple(policy(original, seed_for(seed, epoch, sha256)) for epoch in range(VIEWS))
        rows.append(Row(str(label), original, views))
    return rows
