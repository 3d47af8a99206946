import json

import pytest
import torch

from tasks.backbone import cost
from tasks.backbone.catalog import find_entry
from tasks.backbone.cost import count_macs, counts_file, gmacs_of, measure


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v3_large", "vit_b_32", "regnet_y_400mf", "densenet121", "swin_t"]
)
def test_count_is_the_published_one(folder, name):
    entry = find_entry(name, folder)
    assert count_macs(name, entry.input_px) / 1e9 == pytest.approx(entry.gmacs, rel=2e-3)


def test_count_of_one_convolution_is_that_by_hand():
    """The stem of width 24 at 64 px alone: 32 x 32 places, 7 x 7 x 3 numbers each, 24 channels."""
    by_hand = 32 * 32 * 7 * 7 * 3 * 24
    assert by_hand < count_macs("resnet18-w24", 64) < 7 * by_hand


def test_a_smaller_side_costs_less_and_is_counted_once(folder, monkeypatch):
    entry = find_entry("resnet18", folder)
    small, large = gmacs_of([(entry, 96), (entry, 224)])
    assert small == pytest.approx(large * 96**2 / 224**2, rel=0.05)
    monkeypatch.setattr(cost, "count_macs", None)
    assert gmacs_of([(entry, 96)]) == [small]


@pytest.mark.parametrize("text", ["", "[]", '{"resnet18@96": "x"}', '{"resnet18": 1}'])
def test_damaged_counts_are_counted_anew(folder, text):
    entry = find_entry("formula_resnet18", folder)
    counts_file().parent.mkdir(parents=True)
    counts_file().write_text(text)
    (found,) = gmacs_of([(entry, 64)])
    assert found == pytest.approx(0.040, abs=1e-3)
    assert json.loads(counts_file().read_text())["resnet18-w32@64"] == found


def test_a_cache_that_cannot_be_written_stops_nothing(folder, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert gmacs_of([(find_entry("formula_resnet18", folder), 64)])[0] > 0


def test_time_is_measured_and_leaves_no_trace(folder):
    torch.manual_seed(1)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    timing = measure(find_entry("formula_resnet18", folder), 32, 0.01, training=True)
    assert timing is not None
    assert 0 < timing.forward_ms < timing.training_ms
    assert (timing.batch, timing.side_px) == (32, 32)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_what_would_take_long_is_measured_in_small_batches_or_not_at_all(folder, monkeypatch):
    monkeypatch.setattr(cost, "best_device", lambda: torch.device("cpu"))
    entry = find_entry("formula_resnet18", folder)
    small = measure(entry, 32, 50.0, training=False)
    assert small is not None
    assert (small.batch, small.training_ms) == (4, None)
    assert measure(entry, 32, 1017.0, training=False) is None
