import pytest
import torch

from tasks.evaluate import latency
from tasks.evaluate.latency import measure_latency
from tests.train.tiny import REF, net


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
