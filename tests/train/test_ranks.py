"""Several processes on one machine, over gloo: what they train is what one trains with pieces of its batches."""

import pytest
import torch

from tasks.contracts.errors import BadUsage
from tasks.contracts.params import FineTuningParams, TrainParams
from tasks.train import step
from tasks.train.model import load_model

ALONE = TrainParams(
    epochs=2,
    batch_size=12,
    at_once=5,  # of batches of nine: two pieces, as two processes take them
    mixup=0.2,
    ema=0.9,
    group_dro=0.05,
    group_by="site",
    fine_tuning=FineTuningParams(frozen_stages=1, gradual=True),
)
TWO = ALONE.model_copy(update={"at_once": 0, "processes": 2})


def test_two_processes_train_what_one_trains_in_two_pieces(ws):
    found = []
    for params in (ALONE, TWO):
        trained = step.run(ws, params, seed=0)
        net, record = load_model(ws.candidate)
        found.append((torch.nn.utils.parameters_to_vector(net.parameters()), record["history"], trained))
    (alone, first, one), (both, second, two) = found
    assert torch.allclose(alone, both, atol=2e-3)
    for ours, theirs in zip(first, second, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-3)
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-2)
    assert one.candidate.strategy == two.candidate.strategy == "fine_tuning"


def test_what_goes_wrong_in_a_process_is_told_as_if_there_were_one(ws):
    with pytest.raises(BadUsage, match=r"frozen_stages is 99, but NarrowResNet18 has 5 stages"):
        step.run(ws, TWO.model_copy(update={"fine_tuning": FineTuningParams(frozen_stages=99)}), seed=0)
    assert not ws.candidate.exists()


def test_batches_too_small_to_share_are_refused(ws):
    with pytest.raises(BadUsage, match=r"processes cannot share batches of \d images; lower train.processes"):
        step.run(ws, TWO.model_copy(update={"batch_size": 3}), seed=0)
