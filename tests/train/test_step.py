"""The train stage on a small workspace."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tasks.augment.policy import describe, make_policy
from tasks.contracts.errors import BadUsage
from tasks.contracts.files import read_table, write_record, write_table
from tasks.contracts.params import AugmentParams, FineTuningParams, TrainParams
from tasks.train import step
from tasks.train.model import UNMITIGATED, load_model
from tests.conftest import CLASSES, SIDE_PX
from tests.train.tiny import state_hash

QUICK = TrainParams(epochs=2, batch_size=12, fine_tuning=FineTuningParams(frozen_stages=1))
EACH = 12


def test_auto_takes_the_best_on_val_and_says_what_it_compared(ws):
    trained = step.run(ws, QUICK.model_copy(update={"strategy": "auto"}), seed=0)
    net, record = load_model(ws.candidate)
    compared = {one["strategy"]: (one["val_accuracy"], -one["val_loss"]) for one in record["compared"]}
    assert set(compared) == {"feature_extraction", "fine_tuning", "scratch"}
    assert record["strategy"] == trained.candidate.strategy == max(compared, key=compared.__getitem__)
    assert load_model(ws.scratch)[1]["strategy"] == "scratch"
    assert not net.training


def test_scratch_as_a_choice_is_its_own_control(ws):
    step.run(ws, QUICK.model_copy(update={"strategy": "scratch"}), seed=0)
    ours, control = (load_model(folder)[0] for folder in (ws.candidate, ws.scratch))
    assert state_hash(ours) == state_hash(control)


def test_what_was_frozen_is_in_the_record(ws):
    step.run(ws, QUICK, seed=0)
    record = json.loads((ws.candidate / "model.json").read_text())
    assert record["frozen_parameters"] > 0
    assert len(record["frozen_sha256"]) == 64
    assert json.loads((ws.scratch / "model.json").read_text())["frozen_sha256"] == ""


def test_equal_inputs_give_equal_bytes_and_no_checkpoint_is_left(ws):
    written = []
    for _ in range(2):
        step.run(ws, QUICK, seed=0)
        written.append([(ws.candidate / name).read_bytes() for name in ("weights.safetensors", "model.json")])
    assert written[0] == written[1]
    assert not ws.checkpoints.exists()


def test_groups_are_those_of_a_column_of_the_data(ws):
    step.run(ws, QUICK.model_copy(update={"sampling": "group_balanced", "group_by": "site"}), seed=0)
    with pytest.raises(BadUsage, match=r"train.group_by: the data have no column 'town'; known: site"):
        step.run(ws, QUICK.model_copy(update={"group_by": "town"}), seed=0)


def test_beside_a_mitigated_model_stands_the_one_without(ws):
    step.run(ws, QUICK, seed=0)
    assert not (ws.candidate / UNMITIGATED).exists()
    plain, _ = load_model(ws.candidate)
    light = make_policy(AugmentParams(policy="light"), SIDE_PX)
    aimed = replace(light, transforms=({"transform": "ToGray", "p": 1.0}, *light.transforms))
    write_record(ws.augmentation, replace(describe(aimed, ""), mitigating=1))
    step.run(ws, QUICK, seed=0)
    with_it, without = (load_model(folder)[0] for folder in (ws.candidate, ws.candidate / UNMITIGATED))
    assert state_hash(without) == state_hash(plain) != state_hash(with_it)


def test_reweighed_images_are_a_mitigation_too(ws):
    weights = read_table(ws.weights)
    write_table(ws.weights, weights.assign(weight=np.where(weights.index % 3, 1.25, 0.5)))
    step.run(ws, QUICK, seed=0)
    with_it, without = (load_model(folder)[0] for folder in (ws.candidate, ws.candidate / UNMITIGATED))
    assert state_hash(without) != state_hash(with_it)


@pytest.mark.parametrize("head", ["cosine", "mlp"])
def test_a_model_with_another_head_is_read_back(ws, head):
    step.run(ws, QUICK.model_copy(update={"head": head, "feature_stages": 1}), seed=0)
    net, record = load_model(ws.candidate)
    assert (record["head"], record["feature_stages"]) == (head, 1)
    assert net.classes == len(CLASSES)


@pytest.mark.parametrize("case", ["gradual", "probe, then tuned"])
def test_killed_trainings_end_with_the_same_bytes(case):
    """Four kills of each; `python -m benchmarks.kills` has hundreds, of all cases."""
    command = [sys.executable, "-m", "benchmarks.kills", "--kills", "4", "--workers", "1", "--cases", case]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 kills" in done.stdout
    assert "0 with other bytes" in done.stdout
