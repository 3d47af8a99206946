import hashlib
import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks import turning
from tasks.augment import step
from tasks.augment.policy import load_policy, make_policy
from tasks.bias.mitigation import Shortcut, against_shortcuts
from tasks.contracts.errors import BadData, BadUsage, GateRefused
from tasks.contracts.files import write_record, write_table
from tasks.contracts.params import AugmentParams, WaiverParams
from tasks.contracts.records import BiasReport, GateReport, GateRule, Statistic, read_json
from tasks.contracts.workspace import Workspace
from tests.conftest import store_pixels

LIGHT = AugmentParams()


NOTHING_FOUND = BiasReport({}, Statistic("imbalance ratio", 1.0, 1), (), (), ())


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
            "component": [str(i) for i in range(45)],
            "verdict": "keep",
        }
    )
    pixels = rng.integers(0, 256, (45, 32, 32, 3), dtype=np.uint8)
    write_table(ws.checked, store_pixels(ws, table, pixels))
    write_record(ws.gate, GateReport(True, (), "test"))
    write_record(ws.bias, NOTHING_FOUND)
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


def test_what_is_aimed_at_a_bias_comes_first_and_a_person_answers_for_its_labels(ws: Workspace) -> None:
    aimed = against_shortcuts([Shortcut("tone", "a"), Shortcut("overlay", "a", (7, 7))])
    write_record(ws.bias, replace(NOTHING_FOUND, mitigations=tuple(aimed)))
    record = step.run(ws, AugmentParams(policy="light"), 0)
    assert record.mitigating == 3
    whole, plain = load_policy(ws.augmentation), load_policy(ws.augmentation, mitigated=False)
    assert [one["transform"] for one in whole.transforms[:3]] == ["ColorJitter", "ToGray", "Cover"]
    assert whole.transforms[3:] == plain.transforms == make_policy(AugmentParams(policy="light"), 1).transforms
    assert {change.rule for change in record.safety.changes} & {"Cover", "ToGray"} == set()
    grey = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    covered = replace(whole, transforms=whole.transforms[2:3])(grey, 0)
    assert len(np.unique(covered[28:, 28:].reshape(-1, 3), axis=0)) == 1
    assert np.array_equal(covered[:27], grey[:27])


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


FLIPPED = AugmentParams(policy="none", horizontal_flip=True)


@pytest.fixture
def arrows(tmp_path: Path) -> Workspace:
    """Thirty left and thirty right arrows to train on, and an open gate."""
    ws, pictures = Workspace(tmp_path), turning.arrows(30, seed=0)
    hashes = [hashlib.sha256(image.tobytes()).hexdigest() for image in pictures.pixels]
    columns = {"path": hashes, "label": pictures.labels, "split": "train", "sha256": hashes, "component": hashes}
    write_table(ws.checked, store_pixels(ws, pd.DataFrame({**columns, "verdict": "keep"}), pictures.pixels))
    write_record(ws.gate, GateReport(True, (), "test"))
    write_record(ws.bias, NOTHING_FOUND)
    return ws


def test_a_change_that_turns_labels_is_refused_in_one_line_and_written_for_the_auditor(arrows: Workspace) -> None:
    with pytest.raises(GateRefused) as caught:
        step.run(arrows, FLIPPED, seed=3)
    line = str(caught.value)
    for part in ("HorizontalFlip turns ", "left", "right", "of 30 pictures", "95 % interval", "horizontal_flip: false"):
        assert part in line
    assert "augment.waivers" in line
    assert "\n" not in line
    record = read_json(arrows.augmentation)
    assert record["refused"] == ["HorizontalFlip"]
    assert {change["becomes"] for change in record["safety"]["changes"]} == {"left", "right"}
    assert [finding["severity"] for finding in record["findings"]] == ["error"]
    assert arrows.contact_sheet.exists()
    with pytest.raises(GateRefused, match="HorizontalFlip changes labels"):
        load_policy(arrows.augmentation)


def test_a_person_may_waive_a_refusal_and_it_stays_on_the_record(arrows: Workspace) -> None:
    waiver = WaiverParams(rule="HorizontalFlip", reason="the class is how an arrow is drawn", by="ada")
    record = step.run(arrows, FLIPPED.model_copy(update={"waivers": (waiver,)}), seed=3)
    assert record.refused == ()
    assert [(one.check, one.severity) for one in record.findings] == [("label_change", "warn")]
    assert "waived by ada: the class is how an arrow is drawn" in record.findings[0].message
    assert load_policy(arrows.augmentation).transforms == record.transforms


def test_a_waiver_for_what_the_policy_does_not_do_is_bad_usage(arrows: Workspace) -> None:
    waiver = WaiverParams(rule="VerticalFlip", reason="r", by="ada")
    with pytest.raises(BadUsage, match=r"augment\.waivers names VerticalFlip; the policy has HorizontalFlip"):
        step.run(arrows, FLIPPED.model_copy(update={"waivers": (waiver,)}), seed=3)
    assert not arrows.augmentation.exists()


def test_a_policy_that_keeps_labels_passes_with_its_table_and_streams(arrows: Workspace) -> None:
    record = step.run(arrows, AugmentParams(policy="none", vertical_flip=True), seed=3)
    assert record.refused == record.findings == ()
    assert record.safety is not None
    assert {change.label for change in record.safety.changes} == {"left", "right"}
    assert record.streams is not None
    assert record.streams.views == 24 * 6


def test_classes_of_two_images_are_said_to_be_unknown(ws: Workspace) -> None:
    record = step.run(ws, LIGHT, seed=3)
    assert record.safety is not None
    assert {one.status for one in record.safety.unknown} == {"too_small"}
    assert [one.check for one in record.findings] == ["label_safety_unknown"]
    assert "10 more" in record.findings[0].message
