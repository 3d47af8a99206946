import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torchvision import models

from tasks.backbone.candidates import named_entries
from tasks.backbone.cards import Card, read_card, write_card
from tasks.backbone.catalog import embedded_entries, entries, find_entry, local_entries
from tasks.backbone.download import fetch
from tasks.backbone.network import Backbone
from tasks.backbone.rows import state_sha256
from tasks.backbone.weights import build_backbone, build_network, open_entry
from tasks.contracts.errors import BadUsage, BrokenArtifact
from tasks.contracts.files import sha256_of

EMBEDDED = [entry.name for entry in embedded_entries()]


def half(network: torch.nn.Module, without: str) -> dict[str, torch.Tensor]:
    """The state in half precision but for batch norms, without the tensors whose names start so."""
    norms = {name for name, module in network.named_modules() if isinstance(module, torch.nn.BatchNorm2d)}
    return {
        name: tensor if name.rpartition(".")[0] in norms else tensor.half()
        for name, tensor in network.state_dict().items()
        if not name.startswith(without)
    }


def random_mobilenet() -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        return models.get_model("mobilenet_v3_small", weights=None).eval()


@pytest.fixture
def own(tmp_path) -> tuple[Path, Card]:
    """A workspace's root with a MobileNetV3 of its own, without its classifier, and the card beside it."""
    return tmp_path, put(tmp_path, "mobilenet_v3_small-pooled", "classifier.")


def put(root: Path, network: str, without: str) -> Card:
    path = root / "models" / "backbones" / "mine.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(half(random_mobilenet(), without), path)
    shipped = read_card(find_entry("formula_resnet18", root).file.with_suffix(".json"))
    card = replace(shipped, network=network, parameters=927008, sha256=sha256_of(path), bytes=path.stat().st_size)
    write_card(path.with_suffix(".json"), card)
    return card


def features(backbone: Backbone) -> torch.Tensor:
    with torch.inference_mode():
        return backbone(torch.linspace(-1, 1, 3 * 64**2).view(1, 3, 64, 64))


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_card_is_true_to_its_weights(folder, name):
    entry = find_entry(name, folder)
    card = entry.card
    assert card is not None
    assert (card.sha256, card.bytes) == (sha256_of(entry.file), entry.file.stat().st_size)
    backbone, ref = open_entry(entry, prepared_px=224)
    assert sum(p.numel() for p in backbone.parameters()) == card.parameters == ref.parameters
    assert card.knows
    assert card.knows_not
    assert "no bias" not in json.dumps([card.knows, card.knows_not, card.source_data])


def test_card_is_read_as_it_was_written(own):
    root, card = own
    path = root / "card.json"
    write_card(path, replace(card, panel={"digits": 0.9}, recipe={"seed": 1}))
    assert read_card(path) == replace(card, panel={"digits": 0.9}, recipe={"seed": 1})


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"network": None}, "network is not text"),
        ({"input_px": 64.5}, "input_px is not a whole number"),
        ({"input_px": 0}, "input_px"),
        ({"parameters": True}, "parameters is not a whole number"),
        ({"seconds": "long"}, "seconds is not a number"),
        ({"seconds": float("nan")}, "seconds"),
        ({"images_seen": -1}, "images_seen"),
        ({"mean": [1, 2, 3]}, "mean is not three numbers"),
        ({"std": [0, 1, 1]}, "std is not three numbers"),
        ({"sha256": "../x"}, "sha256"),
        ({"recipe": []}, "recipe is not an object"),
        ({"layout\n": "resnet18"}, "unknown: layout"),
    ],
)
def test_what_is_wrong_with_a_card_is_said_in_one_line(own, change, part):
    root, _ = own
    path = root / "models" / "backbones" / "mine.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BrokenArtifact, match=part) as caught:
        read_card(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("text", ["", "[]", "{}", "no JSON", "\udcff"])
def test_what_is_no_card_is_refused_with_its_path(own, text):
    root, _ = own
    path = root / "models" / "backbones" / "mine.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(BrokenArtifact, match=r"mine\.json"):
        find_entry("local/mine", root, root)


def test_own_backbone_is_found_by_its_short_name(own, folder):
    root, card = own
    entry = find_entry("local/mine", folder, root)
    assert entry == local_entries(root)[0]
    assert entry.card == card
    assert (entry.source, entry.network, entry.where) == ("local", card.network, str(entry.file))
    assert [one.name for one in entries(folder, root)][len(EMBEDDED)] == "local/mine"
    assert named_entries(["local/mine"], root, offline=True) == (entry,)
    with pytest.raises(BadUsage, match="local/mine"):
        find_entry("local/mines", folder, root)
    with pytest.raises(BadUsage):
        find_entry("local/mine", folder)


def test_mobilenet_without_its_classifier_gives_the_features_of_its_maps(own, folder):
    root, card = own
    backbone, ref = open_entry(find_entry("local/mine", folder, root), prepared_px=64)
    whole = random_mobilenet()
    whole.load_state_dict({name: tensor.float() for name, tensor in half(whole, "classifier.").items()}, strict=False)
    theirs = Backbone(whole, 64)
    assert backbone.taps == theirs.taps
    assert torch.equal(features(backbone), features(theirs)[:, : backbone.features])
    assert ref.parameters == card.parameters
    assert state_sha256(build_backbone(ref, root)) == state_sha256(backbone)
    assert build_network(ref).features == backbone.features


def test_mobilenet_with_its_hidden_layer_keeps_the_plain_name(tmp_path, folder):
    put(tmp_path, "mobilenet_v3_small", "classifier.3.")
    backbone, _ = open_entry(find_entry("local/mine", folder, tmp_path), prepared_px=64)
    assert features(backbone).shape[1] == Backbone(random_mobilenet(), 64).features


def test_random_layers_are_never_passed_off_as_trained(tmp_path, folder):
    put(tmp_path, "mobilenet_v3_small", "classifier.")
    with pytest.raises(BrokenArtifact, match="-pooled"):
        open_entry(find_entry("local/mine", folder, tmp_path), prepared_px=64)


def test_weights_must_be_those_of_the_card(own, folder):
    root, _ = own
    path = root / "models" / "backbones" / "mine.safetensors"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BrokenArtifact, match="sha256"):
        open_entry(find_entry("local/mine", folder, root), prepared_px=64)


def test_a_card_whose_weights_dvc_has_not_brought_yet_is_listed_and_says_what_to_do(own, folder):
    root, _ = own
    (root / "models" / "backbones" / "mine.safetensors").unlink()
    entry = find_entry("local/mine", folder, root)
    assert entry.where == "missing"
    assert entry in entries(folder, root)
    with pytest.raises(BrokenArtifact, match="`dvc pull`"):
        fetch(entry, offline=True)


def test_card_with_a_network_that_there_is_not(own, folder):
    root, card = own
    write_card(root / "models" / "backbones" / "mine.json", replace(card, network="resnet19"))
    with pytest.raises(BrokenArtifact, match=r"mine\.json: unknown backbone 'resnet19'"):
        find_entry("local/mine", folder, root)
