import io
import json
import os
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import load_file, save, save_file
from torchvision import models

from tasks.backbone.catalog import find_entry, local_entry
from tasks.backbone.download import fetch
from tasks.backbone.network import Backbone
from tasks.backbone.rows import state_sha256
from tasks.backbone.weights import backbone_ref, build_backbone, build_network, load_state, open_entry
from tasks.contracts.errors import BrokenArtifact

SMALL = "shufflenet_v2_x0_5"


def pth(state: dict[str, torch.Tensor]) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def features_of(network: torch.nn.Module, side_px: int = 64) -> torch.Tensor:
    with torch.inference_mode():
        return Backbone(network.eval(), side_px)(image(side_px))


def image(side_px: int = 64) -> torch.Tensor:
    return torch.linspace(-1, 1, 3 * side_px**2).view(1, 3, side_px, side_px)


def random_network(name: str, **options: object) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return models.get_model(name, weights=None, **options)


@pytest.fixture
def own(tmp_path):
    """The path and the tensors of a good file for the small network, in half precision and without a head."""
    state = {k: v.half() if v.is_floating_point() else v for k, v in random_network(SMALL).state_dict().items()}
    state = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    save_file(state, tmp_path / "own.safetensors")
    return tmp_path / "own.safetensors", state


@pytest.mark.parametrize("name", [SMALL, "squeezenet1_1", "mobilenet_v3_small"])
def test_downloaded_weights_end_up_in_the_network(server, offer, name):
    network = random_network(name)
    entry = offer(pth(network.state_dict()), name)
    fetch(entry, offline=False)
    backbone, ref = open_entry(entry, prepared_px=64)
    with torch.inference_mode():
        assert torch.equal(backbone(image()), features_of(network))
    assert not backbone.training
    assert ref.weights_sha256.startswith(entry.file.stem.rpartition("-")[2])
    assert ref.input_px == 64


def test_heads_that_only_help_training_are_dropped(server, offer):
    network = random_network("googlenet", aux_logits=True, init_weights=False, transform_input=True)
    entry = offer(pth(network.state_dict()), "googlenet")
    fetch(entry, offline=False)
    backbone, _ = open_entry(entry, prepared_px=64)
    assert not [name for name in backbone.state_dict() if "aux" in name]
    network.aux1 = network.aux2 = None
    with torch.inference_mode():
        assert torch.equal(backbone(image()), features_of(network))
        assert isinstance(backbone.train()(torch.cat([image(), image()])), torch.Tensor)


def test_old_names_of_densenet_are_read(server, offer):
    network = random_network("densenet121")
    state = network.state_dict()
    old = {name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): tensor for name, tensor in state.items()}
    assert old.keys() != state.keys()
    entry = offer(pth(old), "densenet121")
    fetch(entry, offline=False)
    backbone, _ = open_entry(entry, prepared_px=32)
    ours, theirs = backbone.network.features.denseblock4, network.features.denseblock4
    assert torch.equal(ours.denselayer16.conv2.weight, theirs.denselayer16.conv2.weight)


def test_file_without_counters_of_batches_is_read(own):
    path, state = own
    whole, _ = open_entry(local_entry(SMALL, path.name, path.parent), 64)
    save_file({name: tensor for name, tensor in state.items() if "num_batches" not in name}, path)
    without, _ = open_entry(local_entry(SMALL, path.name, path.parent), 64)
    assert state_sha256(without) == state_sha256(whole)


def test_local_file_in_half_precision_and_without_head(own):
    path, state = own
    backbone, ref = open_entry(local_entry(SMALL, path.name, path.parent), prepared_px=64)
    assert ref.weights_path == "own.safetensors"
    network = random_network(SMALL)
    network.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
    with torch.inference_mode():
        assert torch.equal(backbone(image()), features_of(network))


def test_reference_survives_json_and_gives_the_same_backbone(own):
    path, _ = own
    backbone, ref = open_entry(local_entry(SMALL, path.name, path.parent), prepared_px=64)
    again = backbone_ref(json.loads(json.dumps(asdict(ref))))
    assert again == ref
    assert state_sha256(build_backbone(again, path.parent)) == state_sha256(backbone)


def test_own_pretrained_layout_is_a_local_file_too(folder, tmp_path):
    shipped = find_entry("formula_resnet18", folder)
    (tmp_path / "mine.safetensors").write_bytes(shipped.file.read_bytes())
    mine = local_entry(shipped.network, "mine.safetensors", tmp_path)
    assert (mine.mean, mine.std, mine.input_px) == (shipped.mean, shipped.std, shipped.input_px)
    assert state_sha256(open_entry(mine, 64)[0]) == state_sha256(open_entry(shipped, 64)[0])


def test_weights_that_changed_since_they_were_chosen_are_refused(own):
    path, state = own
    _, ref = open_entry(local_entry(SMALL, path.name, path.parent), prepared_px=64)
    save_file({name: tensor + 1 for name, tensor in state.items()}, path)
    with pytest.raises(BrokenArtifact, match="chosen with"):
        build_backbone(ref, path.parent)
    path.unlink()
    with pytest.raises(BrokenArtifact, match="missing"):
        build_backbone(ref, path.parent)


def with_value(state: dict[str, torch.Tensor], value: float) -> bytes:
    name = "conv1.0.weight"
    return save({**state, name: torch.full_like(state[name], value)})


BROKEN = {
    "empty": lambda _: b"",
    "text": lambda _: b"these are no weights at all",
    "a pickle": pth,
    "truncated": lambda state: save(state)[:-1000],
    "huge header": lambda state: b"\xff" * 8 + save(state)[8:],
    "header cut": lambda state: save(state)[:500],
    "NaN": lambda state: with_value(state, float("nan")),
    "infinity": lambda state: with_value(state, float("inf")),
    "tensor missing": lambda state: save({name: t for name, t in state.items() if name != "conv5.0.weight"}),
    "tensor too many": lambda state: save({**state, "more\x1b[2J.weight": torch.zeros(2)}),
    "another shape": lambda state: save({**state, "conv1.0.weight": torch.zeros(24, 3, 5, 5)}),
    "another network": lambda _: save(random_network("squeezenet1_1").state_dict()),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_file_is_one_line_and_exit_code_5(own, kind):
    path, state = own
    path.write_bytes(BROKEN[kind](state))
    with pytest.raises(BrokenArtifact) as caught:
        open_entry(local_entry(SMALL, path.name, path.parent), 64)
    assert caught.value.exit_code == 5
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_names_that_do_not_fit_are_told(own):
    path, state = own
    save_file({name: t for name, t in state.items() if name != "conv5.0.weight"}, path)
    with pytest.raises(BrokenArtifact, match=r"1 missing \(conv5.0.weight\)"):
        open_entry(local_entry(SMALL, path.name, path.parent), 64)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, ("owned", 0o700)


def test_pickle_never_runs_code_even_where_its_hash_is_right(offer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    entry = offer(pth({"conv1.weight": Evil()}))
    with pytest.raises(BrokenArtifact):
        open_entry(replace(entry, file=fetch(entry, offline=False)), 64)
    assert not (tmp_path / "owned").exists()


def test_cached_file_with_other_bytes_is_not_loaded(offer, folder):
    entry = offer(pth({}))
    folder.mkdir(parents=True)
    entry.file.write_bytes(pth(random_network(SMALL).state_dict()))
    with pytest.raises(BrokenArtifact, match="delete it"):
        open_entry(entry, 64)


def test_random_weights_depend_on_the_seed_alone(embedded):
    ref = replace(embedded[1], source="random")
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = state_sha256(build_network(ref, 3))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert state_sha256(build_network(ref, 3)) == first
    assert state_sha256(build_network(ref, 4)) != first
    assert state_sha256(build_backbone(ref, root=None, seed=3)) == first


@pytest.mark.parametrize("broken", [{}, {"mean": [1, 2]}, {"more": 1}, {"std": None}])
def test_reference_that_is_none(embedded, broken):
    data = {**asdict(embedded[1]), **broken} if broken else {}
    with pytest.raises(BrokenArtifact, match="reference"):
        backbone_ref(data)


def test_network_that_this_torchvision_lacks(embedded):
    with pytest.raises(BrokenArtifact, match="resnet19"):
        build_network(replace(embedded[1], network="resnet19"))


def test_state_is_read_as_it_was_written(own):
    path, state = own
    read = load_state(path)
    assert read.keys() == load_file(path).keys()
    for name, tensor in state.items():
        assert torch.equal(read[name], tensor.float() if tensor.is_floating_point() else tensor)
