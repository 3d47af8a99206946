from dataclasses import replace
from datetime import UTC, datetime

import pytest
import torch

from tasks.contracts.files import write_record
from tasks.evaluate import latency
from tasks.evaluate.latency import Pace, measure_latency
from tasks.evaluate.timings import FOLDER, key_of, timed
from tasks.train.model import Head
from tests.conftest import CLASSES
from tests.train.tiny import REF, net

LONG_AGO = "2026-01-01T00:00:00+00:00"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(latency, "_SECONDS", 0.05)


def test_what_a_model_costs_is_measured_and_the_model_stays_as_it_was():
    model = net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    threads = torch.get_num_threads()
    found = measure_latency(model, REF, large=8)
    for pace, batch in ((found.single, 1), (found.large, 8)):
        assert pace.batch == batch
        assert pace.repeats >= 3
        assert 0 < pace.p50_ms <= pace.p90_ms
    assert found.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert found.disk_mb * 1e6 > 4 * found.parameters
    assert found.disk_mb * 1e6 < 4 * found.parameters + 100_000  # buffers and a header
    assert found.input_px == REF.input_px
    assert found.device
    assert 1 <= found.threads <= threads == torch.get_num_threads()
    assert found.peak_mb > 10
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training


def test_a_batch_of_one_is_measured_once_and_less_is_refused():
    found = measure_latency(net(), REF, large=1)
    assert found.large == found.single
    with pytest.raises(ValueError, match="at least 1 image"):
        measure_latency(net(), REF, large=0)


def paced(batch, ms):
    return Pace(batch, ms, ms, 3, LONG_AGO)


def test_of_a_known_single_image_and_a_new_one_the_quicker_stays_and_the_large_batch_is_not_timed_again():
    quick = replace(measure_latency(net(), REF, large=8), single=paced(1, 1e-6), large=paced(8, 123.0))
    found = measure_latency(net(), REF, 8, known=quick)
    assert (found.single, found.large) == (quick.single, quick.large)


def test_what_was_measured_while_others_used_the_machine_is_put_right():
    slow = replace(measure_latency(net(), REF, large=8), single=paced(1, 1e6), large=paced(8, 1e6))
    found = measure_latency(net(), REF, 8, known=slow)
    for pace in (found.single, found.large):
        assert pace.p50_ms < 1e6
        assert abs(datetime.fromisoformat(pace.measured) - datetime.now(UTC)).total_seconds() < 600


def test_a_large_batch_that_was_quicker_before_stays():
    known = replace(measure_latency(net(), REF, large=8), single=paced(1, 1e6), large=paced(8, 1e-6))
    assert measure_latency(net(), REF, 8, known=known).large == known.large


def test_what_a_network_costs_is_remembered_whatever_its_weights(tmp_path):
    other = net()
    torch.nn.init.constant_(other.head[-1].weight, 0.5)
    first = timed(net(), REF, tmp_path, large=8)
    path = tmp_path / FOLDER / f"{key_of(net(), REF, 8)}.json"
    kept = replace(first, single=paced(1, first.single.p50_ms / 1000), large=paced(8, first.large.p50_ms))
    write_record(path, kept)
    again = timed(other, REF, tmp_path, large=8)
    assert (again.single, again.large) == (kept.single, kept.large)
    assert kept.large.measured == LONG_AGO
    assert [*tmp_path.rglob("*.json")] == [path]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"single": {}, "large": {}}'])
def test_a_damaged_memory_is_said_and_timed_anew(tmp_path, capsys, text):
    path = tmp_path / FOLDER / f"{key_of(net(), REF, 8)}.json"
    path.parent.mkdir()
    path.write_text(text)
    found = timed(net(), REF, tmp_path, large=8)
    assert found.single.p50_ms > 0
    assert "is damaged; the model is timed anew" in capsys.readouterr().err
    assert timed(net(), REF, tmp_path, large=8).parameters == found.parameters


def test_another_architecture_or_another_machine_is_another_figure(monkeypatch):
    keys = [key_of(net(), REF), key_of(net(), REF, 8), key_of(net(), replace(REF, input_px=REF.input_px + 16))]
    heads = [Head(7), Head(len(CLASSES), "cosine"), Head(len(CLASSES), "mlp"), Head(len(CLASSES), feature_stages=1)]
    keys += [key_of(net(head), REF) for head in heads]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 96)
    keys.append(key_of(net(), REF))
    assert len({*keys}) == len(keys)
    assert key_of(net(), REF) == keys[-1]
