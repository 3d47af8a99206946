"""The loop: it learns, keeps the best, resumes to the same bytes, survives little memory, and stops at nonsense."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tasks.backbone.heads import make_head
from tasks.contracts.errors import BadData, BadEnvironment
from tasks.train.checkpoint import Checkpoint
from tasks.train.clock import BESIDE, Clock, time_line
from tasks.train.data import RowBatches
from tasks.train.forward import choose_device, suits_bfloat16
from tasks.train.loop import Learner, fit
from tasks.train.objective import next_group_weights, sample_weights
from tasks.train.schedules import rate_at
from tasks.train.strategies import FineTuning, Scratch, whole
from tests.train.tiny import RECIPE, net, pictures, state_hash, train


class Halted(Exception):
    """Stands for the end of a process."""


class Halting(Checkpoint):
    """Writes every step, and ends the training right after so many."""

    def __init__(self, path, key, writes: int) -> None:
        super().__init__(path, key, seconds_between=0)
        self._left = writes

    def write(self, run, clock) -> None:
        super().write(run, clock)
        self._left -= 1
        if not self._left:
            raise Halted


def test_training_learns_and_keeps_the_epoch_of_least_val_loss():
    learned = net()
    fitted = train(learned, Scratch(), epochs=8)
    losses = [epoch.val_loss for epoch in fitted.history]
    assert fitted.best_epoch == 1 + int(np.argmin(losses))
    assert fitted.history[fitted.best_epoch - 1].val_accuracy > 0.6
    assert not any(part.training for part in learned.modules())


def test_early_stopping_ends_the_run():
    fitted = train(net(), Scratch(), epochs=30, learning_rate=1e-9, patience=1)
    assert len(fitted.history) < 30


def test_equal_seeds_give_equal_bytes_and_other_seeds_do_not():
    def trained(seed: int) -> str:
        learned = net()
        train(learned, Scratch(), seed=seed)
        return state_hash(learned)

    assert trained(0) == trained(0) != trained(1)


REGULARISED = {
    "mixup": 0.2,
    "cutmix": 1.0,
    "ema": 0.9,
    "clip_norm": 1.0,
    "sampling": "group_balanced",
    "group_dro": 0.1,
}


@pytest.mark.parametrize("writes", [1, 5, 6, 11])
def test_an_interrupted_training_ends_with_the_same_bytes(tmp_path, writes):
    strategy = FineTuning(1, gradual=True, l2_sp=0.1)
    expected = net()
    history = train(expected, strategy, **REGULARISED).history
    with pytest.raises(Halted):
        train(net(), strategy, checkpoint=Halting(tmp_path / "c", {"a": 1}, writes), **REGULARISED)
    resumed = net()
    fitted = train(resumed, strategy, checkpoint=Checkpoint(tmp_path / "c", {"a": 1}), **REGULARISED)
    assert state_hash(resumed) == state_hash(expected)
    assert fitted.history == history


def test_a_finished_training_is_not_repeated(tmp_path):
    first, second = net(), net()
    train(first, Scratch(), checkpoint=Checkpoint(tmp_path / "c", {}))
    train(second, Scratch(), checkpoint=Halting(tmp_path / "c", {}, writes=2))  # writes once, at the end
    assert state_hash(first) == state_hash(second)


def test_the_checkpoint_of_another_training_is_not_taken(tmp_path, capsys):
    train(net(), Scratch(), checkpoint=Checkpoint(tmp_path / "c", {"rate": 1}))
    with pytest.raises(Halted):
        train(net(), Scratch(), checkpoint=Halting(tmp_path / "c", {"rate": 2}, writes=1))
    assert "is of other data, params or versions" in capsys.readouterr().err


@pytest.mark.parametrize("damage", [b"", b"x" * 100, None])
def test_a_damaged_checkpoint_is_said_and_training_starts_anew(tmp_path, capsys, damage):
    path, expected, resumed = tmp_path / "c", net(), net()
    train(expected, Scratch(), checkpoint=Checkpoint(path, {}))
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]) if damage is None else damage)
    train(resumed, Scratch(), checkpoint=Checkpoint(path, {}))
    assert "damaged" in capsys.readouterr().err
    assert state_hash(resumed) == state_hash(expected)


def test_the_average_follows_the_weights_and_is_what_is_kept():
    plain, averaged = net(), net()
    train(plain, Scratch(), epochs=1)
    train(averaged, Scratch(), epochs=1, ema=0.999)
    start = net().backbone.network.conv1.weight
    ours, theirs = ((n.backbone.network.conv1.weight - start).norm() for n in (averaged, plain))
    assert 0 < ours < theirs


def test_pieces_of_a_batch_add_up_to_its_gradient():
    frozen_norms = FineTuning(0, norms_adapt=False)  # statistics of a batch are not those of its pieces
    ends, histories = [], []
    for at_once in (0, 5):
        learned = net()
        torch.manual_seed(0)
        learned.head = torch.nn.Sequential(torch.nn.Linear(learned.backbone.features, 3))
        start = torch.nn.utils.parameters_to_vector(learned.parameters())
        histories.append(train(learned, frozen_norms, epochs=1, at_once=at_once).history[0].train_loss)
        ends.append(torch.nn.utils.parameters_to_vector(learned.parameters()) - start)
    assert torch.cosine_similarity(*ends, dim=0) > 0.98  # Adam and bfloat16 make much of the last bits
    assert histories[0] == pytest.approx(histories[1], rel=1e-3)


class Narrow(torch.nn.Module):
    """A network on a device where no more than so many images fit."""

    def __init__(self, images: int) -> None:
        super().__init__()
        self.layer, self.images, self.norm = torch.nn.Linear(3, 3), images, torch.nn.BatchNorm1d(3)

    def forward(self, rows):
        scores = self.norm(self.layer(rows))
        if self.training and len(rows) > self.images:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return scores


def fit_rows(module, **changes):
    _, samples = pictures(20, seed=1)
    rng = np.random.default_rng(0)
    rows = np.eye(3, dtype=np.float32)[samples.targets] + rng.normal(0, 0.1, (60, 3)).astype(np.float32)
    data = RowBatches(samples, (rows,))
    return fit(Learner(module, tuple(whole("head", module))), data, data, replace(RECIPE, **changes))


def test_the_head_trains_on_rows_alone():
    assert fit_rows(torch.nn.Linear(3, 3), epochs=20, learning_rate=0.1).history[-1].val_accuracy == 1.0


def test_where_memory_runs_out_fewer_images_go_through_at_a_time(capsys):
    torch.manual_seed(0)
    narrow, wide = Narrow(6), Narrow(1000)
    wide.load_state_dict(narrow.state_dict())
    fit_rows(narrow, epochs=1)
    assert "out of memory: 7 images at a time" in capsys.readouterr().err
    fit_rows(wide, epochs=1, at_once=7)
    assert state_hash(narrow) == state_hash(wide)  # what was tried in vain has left no trace


@pytest.mark.parametrize("at_once", [1, 2])
def test_no_piece_of_a_batch_is_a_single_image(at_once):
    assert len(fit_rows(Narrow(1000), epochs=1, at_once=at_once).history) == 1


def test_group_weights_neither_vanish_nor_overflow():
    weights = (1e-300, 1.0)
    for _ in range(3):
        weights = next_group_weights(weights, np.array([0, 1]), torch.tensor([0.1, 9.0]), 1000.0)
        assert all(0 < weight <= 1 for weight in weights)
    _, samples = pictures(4, seed=1)
    assert torch.isfinite(sample_weights(samples, np.array([0, 1]), (1e-46,) * 6)).all()


def test_where_not_even_two_images_fit_it_says_so():
    with pytest.raises(BadEnvironment, match="smaller backbone"):
        fit_rows(Narrow(1), epochs=1)


def test_a_loss_that_is_no_number_stops_and_says_where(tmp_path):
    learned = net()
    with pytest.raises(BadData, match=r"epoch \d+, batch \d+ \(\w{64}, .* more\); lower train.learning_rate") as caught:
        train(learned, Scratch(), learning_rate=1e30, checkpoint=Checkpoint(tmp_path / "c", {}))
    assert str(tmp_path / "c") in str(caught.value)
    assert all(torch.isfinite(buffer).all() for buffer in learned.buffers())


def test_the_caller_s_random_stream_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(net(), Scratch(), epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_the_end_says_where_the_time_went(capsys):
    train(net(), Scratch(), epochs=1)
    said = capsys.readouterr().err
    assert "forward and backward" in said
    assert "what would help most" in said


@pytest.mark.parametrize("making", BESIDE)
def test_whatever_is_waited_for_has_an_advice(making):
    own, beside = Clock(), Clock()
    own.add("wait", 2.0)
    beside.add(making, 1.0)
    assert f"{BESIDE[making]} 1.0 s; what would help most: " in time_line(own, beside)


def test_groups_that_do_badly_gain_weight():
    weights = next_group_weights((0.5, 0.5), np.array([0, 0, 1]), torch.tensor([0.1, 0.3, 2.0]), 0.5)
    expected = [math.exp(0.5 * 0.2), math.exp(0.5 * 2.0)]
    assert weights == pytest.approx([one / sum(expected) for one in expected])


def test_cuda_is_never_replaced_in_silence():
    if torch.cuda.is_available():
        assert choose_device("cuda").type == "cuda"
    else:
        with pytest.raises(BadEnvironment, match="no CUDA GPU"):
            choose_device("cuda")
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
@given(total=st.integers(2, 2000))
def test_the_learning_rate_warms_up_to_its_peak_and_falls_to_nothing(schedule, total):
    rates = [rate_at(step, total, schedule) for step in range(total)]
    assert max(rates) == pytest.approx(1.0)
    assert all(0 <= rate <= 1 for rate in rates)
    peak = int(np.argmax(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


@pytest.mark.parametrize(
    ("classes", "features", "wanted"), [(5, 896, False), (400, 896, True)], ids=["few weights", "many"]
)
def test_a_head_of_few_weights_is_not_worth_bfloat16_on_a_cpu(monkeypatch, classes, features, wanted):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    head = make_head("linear", features, classes, 0.2)
    assert suits_bfloat16(head, torch.device("cpu")) == wanted
    assert suits_bfloat16(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 5)), torch.device("cpu"))
