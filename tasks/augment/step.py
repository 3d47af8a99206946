"""The augment stage: settle the policy, and show what it does."""

import numpy as np
import pandas as pd

from tasks.augment.policy import Augmentation, describe, digest_of, make_policy, seed_for
from tasks.augment.sheet import Row, contact_sheet
from tasks.bias.gate import require_open
from tasks.contracts.errors import BadData
from tasks.contracts.files import replacing, write_record
from tasks.contracts.params import AugmentParams
from tasks.contracts.prepared import open_checked
from tasks.contracts.samples import usable
from tasks.contracts.workspace import Workspace

VERSION = 1
VIEWS = 6
MOST_ROWS = 12


def run(ws: Workspace, params: AugmentParams, seed: int) -> Augmentation:
    """Write the policy and its contact sheet: one training image of each class, twelve classes at most.

    Raises GateRefused where the gate is closed, BadData where no training image is usable.
    """
    require_open(ws.gate)
    checked, pixels = open_checked(ws)
    policy = make_policy(params, pixels.shape[1])
    shown = _shown(checked)
    rows = []
    for label, row, sha256 in zip(shown["label"], shown["pixels"], shown["sha256"], strict=True):
        original = np.array(pixels[row])
        views = tuple(policy(original, seed_for(seed, epoch, sha256)) for epoch in range(VIEWS))
        rows.append(Row(str(label), original, views))
    record = describe(policy, digest_of([view for row in rows for view in row.views]))
    with replacing(ws.contact_sheet) as part:
        part.write_bytes(contact_sheet(rows, policy.name))
    write_record(ws.augmentation, record)
    return record


def _shown(checked: pd.DataFrame) -> pd.DataFrame:
    """The first training image, by hash, of each class; classes evenly spread where there are too many."""
    first = usable(checked, "train").sort_values("label", kind="stable").drop_duplicates("label")
    if first.empty:
        raise BadData("no usable image is in the train split; reports/quality.json says why")
    places = np.unique(np.linspace(0, len(first) - 1, min(MOST_ROWS, len(first))).round().astype(int))
    return first.iloc[places]
