"""The evaluate stage after a training that acted on a bias."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from flows.summary import screen, summarise
from tasks.augment.policy import describe, make_policy
from tasks.bias.mitigation import Shortcut, against_shortcuts
from tasks.calibrate.calibration import load_calibration
from tasks.contracts.files import write_record, write_table
from tasks.contracts.model_records import SelectionReport, StartPin
from tasks.contracts.params import AugmentParams, EvaluateParams, FineTuningParams, TrainParams
from tasks.contracts.records import BiasReport, GateReport, Mitigation, Statistic, read_json
from tasks.contracts.workspace import Workspace
from tasks.evaluate import step
from tasks.train import step as train
from tests.conftest import CLASSES, SIDE_PX, draw, store_pixels
from tests.train.tiny import REF

EACH = 24
QUICK = TrainParams(epochs=1, batch_size=12, fine_tuning=FineTuningParams(frozen_stages=1))


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    """Three classes of 9 training, 3 validation and 12 test images of two sites; a watermark was acted on."""
    ws, rng = Workspace(tmp_path), np.random.default_rng(0)
    labels = np.repeat(CLASSES, EACH)
    table = pd.DataFrame(
        {
            "path": [f"{label}/{i}.png" for i, label in enumerate(labels)],
            "label": labels,
            "split": np.tile(["train"] * 9 + ["val"] * 3 + ["test"] * 12, len(CLASSES)),
            "sha256": [f"{i + 1:064}" for i in range(len(labels))],
            "group": pd.Series([None] * len(labels), dtype="str"),
            "meta_site": np.tile(["north", "south"], len(labels) // 2),
            "verdict": "keep",
        }
    )
    write_table(ws.checked, store_pixels(ws, table, np.stack([draw(label, rng) for label in labels])))
    write_table(ws.weights, table[["sha256"]].assign(weight=1.0))
    write_record(ws.gate, GateReport(True, (), "test"))
    write_record(ws.start, StartPin(why="there was no champion"))
    write_record(ws.selection, SelectionReport(replace(REF, network="resnet18-w8"), "", (), (), (), ()))
    act(ws, *against_shortcuts([Shortcut("overlay", CLASSES[0], (7, 7))]))
    return ws


def act(ws: Workspace, *mitigations: Mitigation) -> None:
    nothing = BiasReport({}, Statistic("imbalance ratio", 1.0, 1), (), (), ())
    write_record(ws.bias, replace(nothing, mitigations=mitigations))
    aimed = tuple(transform for one in mitigations for transform in one.transforms)
    policy = make_policy(AugmentParams(policy="light"), SIDE_PX)
    policy = replace(policy, transforms=(*aimed, *policy.transforms))
    write_record(ws.augmentation, replace(describe(policy, ""), mitigating=len(aimed)))


def test_what_was_done_is_measured_before_and_after(ws: Workspace) -> None:
    site = Mitigation("association", "site", "reweighing", ())
    act(ws, *against_shortcuts([Shortcut("overlay", CLASSES[0], (7, 7))]), site)
    train.run(ws, QUICK, seed=0)
    step.run(ws, EvaluateParams(resamples=100, corrupted_images=2), seed=0)
    first = ws.evaluation.read_bytes()
    found = read_json(ws.evaluation)
    (section,) = [one for one in found["sections"] if one["name"] == "mitigation"]
    names = [one["name"] for one in section["statistics"]]
    for what in ("accuracy", "accuracy with overlay shuffled", "accuracy of the worst class and site"):
        assert [f"{what}, {when}" for when in ("before", "after", "difference")] == [
            name for name in names if name.rpartition(",")[0] == what
        ]
    assert section["statistics"][1]["value"] == found["candidate"]["accuracy"]["value"]
    assert [one["subject"] for one in found["findings"] if one["check"] == "mitigation"] == ["overlay", "association"]
    sheet = ws.errors.read_bytes()
    step.run(ws, EvaluateParams(resamples=100, corrupted_images=2), seed=0)
    assert (ws.evaluation.read_bytes(), ws.errors.read_bytes()) == (first, sheet)


def test_where_nothing_was_done_nothing_is_compared(ws: Workspace) -> None:
    act(ws)
    train.run(ws, QUICK, seed=0)
    metrics = step.run(ws, EvaluateParams(resamples=100, corrupted_images=2), seed=0)
    found = read_json(ws.evaluation)
    names = [one["name"] for one in found["sections"]]
    assert {"worst slices", "corrupted images", "outcomes by site", "inherited bias"} <= set(names)
    assert {rate["n"] for one in found["robustness"]["corruptions"] for rate in one["candidate"]} == {2}
    assert metrics.corruption_loss == found["robustness"]["candidate_loss"]["value"]
    assert metrics.trivial_accuracy == found["trivial"]["value"]
    assert metrics.auroc == found["candidate"]["auroc"]["value"]
    with Image.open(ws.errors) as sheet:
        assert sheet.format == "JPEG"
    step.run(ws, EvaluateParams(resamples=100, corrupted_images=0), seed=0)
    without = read_json(ws.evaluation)
    assert without["robustness"] is None
    assert without["candidate"] == found["candidate"]
    assert "mitigation" not in [one["name"] for one in read_json(ws.evaluation)["sections"]]


def test_the_calibration_is_written_and_reported(ws: Workspace) -> None:
    act(ws)
    train.run(ws, QUICK, seed=0)
    step.run(ws, EvaluateParams(resamples=100), seed=0)
    calibration = load_calibration(ws.calibration)
    assert (calibration.record.val_images, calibration.record.held_back, calibration.record.references) == (9, 9, 27)
    assert calibration.record.limit is None  # 5 % of 9 images cannot be told
    first = {path.name: path.read_bytes() for path in ws.calibration.iterdir()}
    (section,) = [one for one in read_json(ws.evaluation)["sections"] if one["name"] == "calibration"]
    found = {one["name"]: one for one in section["statistics"]}
    assert found["temperature"]["value"] == calibration.record.temperature
    assert found["sets for 90% of images: hold the right class"]["n"] == 36
    assert found["flagged as unlike the training images"]["status"] == "too_small"
    step.run(ws, EvaluateParams(resamples=100), seed=0)
    assert {path.name: path.read_bytes() for path in ws.calibration.iterdir()} == first


def test_without_a_control_nothing_is_compared_with_one(ws: Workspace) -> None:
    act(ws)
    trained = train.run(ws, QUICK.model_copy(update={"control": False}), seed=0)
    assert trained.scratch is None
    assert sorted(path.name for path in ws.scratch.iterdir()) == ["not_trained.txt"]
    metrics = step.run(ws, EvaluateParams(resamples=100, corrupted_images=2), seed=0)
    found = read_json(ws.evaluation)
    assert (found["scratch"], found["difference"]["status"]) == (None, "skipped")
    assert (metrics.scratch_accuracy, metrics.difference, metrics.scratch_corruption_loss) == (None, None, None)
    assert metrics.accuracy is not None
    assert metrics.corruption_loss is not None
    summary = screen(summarise(ws, {"evaluate"}, None), ws.page)
    assert "scratch" not in summary
    assert "accuracy" in summary
    train.run(ws, QUICK, seed=0)  # and back
    assert step.run(ws, EvaluateParams(resamples=100, corrupted_images=2), seed=0).scratch_accuracy is not None
