import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.augment import step
from tasks.augment.policy import load_policy
from tasks.contracts.errors import BadData, GateRefused
from tasks.contracts.files import write_record, write_table
from tasks.contracts.params import AugmentParams
from tasks.contracts.records import GateReport, GateRule
from tasks.contracts.workspace import Workspace
from tests.conftest import store_pixels

LIGHT = AugmentParams()


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    """Fifteen classes of two training images and one test image each, and an open gate."""
    ws = Workspace(tmp_path)
    rng = np.random.default_rng(0)
    labels = np.repeat([f"class {i:02}" for i in range(15)], 3)
    table = pd.DataFrame(
        {
            "path": [f"{label}/{i}.png" for i, label in enumerate(labels)],
            "label": labels,
            "split": np.tile(["train", "train", "test"], 15),
            "sha256": [f"{(i * 7919) % 1000 + 1:064}" for i in range(45)],
            "verdict": "keep",
        }
    )
    pixels = rng.integers(0, 256, (45, 32, 32, 3), dtype=np.uint8)
    write_table(ws.checked, store_pixels(ws, table, pixels))
    write_record(ws.gate, GateReport(True, (), "test"))
    return ws


def test_the_written_policy_makes_what_the_record_says(ws: Workspace) -> None:
    record = step.run(ws, LIGHT, seed=3)
    assert json.loads(ws.augmentation.read_text()) == json.loads(json.dumps(asdict(record)))
    policy = load_policy(ws.augmentation)
    assert (policy.name, policy.side_px) == ("light", 32)
    assert policy(np.zeros((32, 32, 3), np.uint8), 0).shape == (32, 32, 3)


def test_the_sheet_shows_at_most_twelve_classes(ws: Workspace) -> None:
    step.run(ws, LIGHT, seed=3)
    tall = Image.open(io.BytesIO(ws.contact_sheet.read_bytes())).height
    checked = pd.read_parquet(ws.checked)
    checked[checked["label"].isin(sorted(set(checked["label"]))[:12])].to_parquet(ws.checked, index=False)
    step.run(ws, LIGHT, seed=3)
    assert Image.open(io.BytesIO(ws.contact_sheet.read_bytes())).height == tall


def test_equal_input_gives_equal_bytes_and_another_seed_other_views(ws: Workspace) -> None:
    outputs = []
    for seed in (3, 3, 4):
        pd.read_parquet(ws.checked).sample(frac=1, random_state=seed).to_parquet(ws.checked, index=False)
        digest = step.run(ws, LIGHT, seed=seed).digest
        outputs.append((digest, ws.augmentation.read_bytes(), ws.contact_sheet.read_bytes()))
    assert outputs[0] == outputs[1]
    assert outputs[0][0] != outputs[2][0]


def test_test_images_are_not_shown(ws: Workspace) -> None:
    first = step.run(ws, LIGHT, seed=3).digest
    checked = pd.read_parquet(ws.checked)
    checked[checked["split"] == "train"].to_parquet(ws.checked, index=False)
    assert step.run(ws, LIGHT, seed=3).digest == first


def test_a_closed_gate_stops_it_before_anything_is_written(ws: Workspace) -> None:
    write_record(ws.gate, GateReport(False, (GateRule("max_imbalance", 3.0, 9.0, False, "9 > 3"),), "test"))
    with pytest.raises(GateRefused, match="max_imbalance: 9 > 3"):
        step.run(ws, LIGHT, seed=3)
    assert not ws.augmentation.exists()
    assert not ws.contact_sheet.exists()


def test_no_training_image_is_bad_data(ws: Workspace) -> None:
    checked = pd.read_parquet(ws.checked)
    checked[checked["split"] == "test"].to_parquet(ws.checked, index=False)
    with pytest.raises(BadData, match="train"):
        step.run(ws, LIGHT, seed=3)
