"""A small workspace that is ready to train."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.augment.policy import describe, make_policy
from tasks.contracts.files import write_record, write_table
from tasks.contracts.model_records import SelectionReport, StartPin
from tasks.contracts.params import AugmentParams
from tasks.contracts.records import GateReport
from tasks.contracts.workspace import Workspace
from tests.conftest import CLASSES, SIDE_PX, draw, store_pixels
from tests.train.tiny import REF

EACH = 12


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    """Three classes of nine training and three validation images, two sites, a tiny network, and an open gate."""
    return small(tmp_path)


def small(root: Path) -> Workspace:
    """What `ws` is."""
    ws, rng = Workspace(root), np.random.default_rng(0)
    labels = np.repeat(CLASSES, EACH)
    table = pd.DataFrame(
        {
            "path": [f"{label}/{i}.png" for i, label in enumerate(labels)],
            "label": labels,
            "split": np.tile(["train"] * 9 + ["val"] * 3, len(CLASSES)),
            "sha256": [f"{i + 1:064}" for i in range(len(labels))],
            "group": pd.Series([None] * len(labels), dtype="str"),
            "meta_site": np.tile(["north", "north", "south"], len(labels) // 3),
            "verdict": "keep",
        }
    )
    pixels = np.stack([draw(label, rng) for label in labels])
    write_table(ws.checked, store_pixels(ws, table, pixels))
    write_table(ws.weights, table[["sha256"]].assign(weight=1.0))
    write_record(ws.gate, GateReport(True, (), "test"))
    write_record(ws.augmentation, describe(make_policy(AugmentParams(policy="light"), SIDE_PX), ""))
    write_record(ws.start, StartPin(why="there was no champion"))
    write_record(ws.selection, SelectionReport(replace(REF, network="resnet18-w8"), "", (), (), (), ()))
    return ws
