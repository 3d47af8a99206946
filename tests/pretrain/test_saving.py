"""A saved backbone: small, exact where it must be, and the same for the same weights."""

import hashlib
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from tasks.backbone.layouts import resnet18
from tasks.pretrain.draws import seeded
from tasks.pretrain.saving import restate_norms, save_weights
from tests.pretrain.conftest import CPU


def headless(width: int) -> nn.Module:
    net = resnet18(width, 2)
    net.fc = nn.Identity()
    return net


def test_saved_weights_fill_the_network_again_and_compute_almost_the_same(tmp_path):
    path, net = tmp_path / "weights.safetensors", headless(24)
    saved = save_weights(net, path, {})
    assert saved.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert saved.bytes == path.stat().st_size <= 4_000_000
    assert saved.parameters == sum(p.numel() for p in net.parameters())
    again = headless(24)
    missing, unexpected = again.load_state_dict(load_file(path), strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    probe = torch.rand(2, 3, 32, 32)
    assert torch.allclose(net.eval()(probe), again.eval()(probe), atol=0.02)


def test_only_weights_outside_batch_norms_are_halved(tmp_path):
    save_weights(headless(4), tmp_path / "w.safetensors", {})
    stored = load_file(tmp_path / "w.safetensors")
    assert stored["conv1.weight"].dtype == torch.float16
    assert stored["layer2.0.downsample.0.weight"].dtype == torch.float16
    assert stored["bn1.running_var"].dtype == torch.float32
    assert stored["layer2.0.downsample.1.running_mean"].dtype == torch.float32


def test_equal_weights_make_equal_files(tmp_path):
    net = headless(4)
    for number in range(5):
        save_weights(net, tmp_path / f"{number}.safetensors", {"mean": (0.5,) * 3, "input_px": 64})
    assert len({path.read_bytes() for path in tmp_path.glob("*.safetensors")}) == 1
    with safe_open(tmp_path / "0.safetensors", "pt") as stored:
        assert json.loads(stored.metadata()["mean"]) == [0.5, 0.5, 0.5]


def test_buffers_that_are_no_statistics_are_saved_too(tmp_path):
    """The window attention of a Swin transformer looks up its biases by an index that is a buffer."""
    net = nn.Module()
    net.register_buffer("index", torch.arange(4))
    net.norm = nn.BatchNorm2d(2)
    save_weights(net, tmp_path / "w.safetensors", {})
    stored = load_file(tmp_path / "w.safetensors")
    assert torch.equal(stored["index"], torch.arange(4))
    assert "norm.num_batches_tracked" not in stored


def test_restated_norms_centre_what_they_saw():
    batches = [3 + 2 * torch.randn(64, 3, 8, 8, generator=seeded(CPU, i)) for i in range(4)]
    norm = nn.Sequential(nn.BatchNorm2d(3, momentum=0.2))
    restate_norms(norm, batches)
    seen = norm(torch.cat(batches))
    assert seen.mean((0, 2, 3)).tolist() == pytest.approx([0] * 3, abs=1e-4)
    assert seen.std((0, 2, 3)).tolist() == pytest.approx([1] * 3, abs=1e-2)
    assert norm[0].momentum == 0.2
