import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from tasks.backbone.catalog import embedded_entries, entries, find_entry, local_entry, weights_folder
from tasks.backbone.weights import open_entry
from tasks.contracts.errors import BadUsage, BrokenArtifact
from tasks.contracts.files import sha256_of


def write_weights(root: Path, **header: str) -> None:
    save_file({"conv1.weight": np.zeros((2, 3), np.float32)}, root / "own.safetensors", header)


def test_all_families_are_on_offer_under_their_plain_names(folder):
    names = [entry.name for entry in entries(folder)]
    assert names[0].startswith("embedded/")
    assert {"resnet50", "vgg16", "inception_v3", "vit_b_16", "densenet121"} < set(names)
    assert len(names) == len(set(names))


def test_nothing_is_there_until_it_is_in_the_folder(folder):
    before = {entry.name: entry.where for entry in entries(folder)}
    assert before["embedded/formula_resnet18"] == "embedded"
    assert before["resnet18"] == "to download"
    folder.mkdir(parents=True)
    (folder / "resnet18-f37072fd.pth").touch()
    assert find_entry("resnet18", folder).where == str(folder / "resnet18-f37072fd.pth")


@pytest.mark.parametrize("entry", embedded_entries(), ids=lambda entry: entry.name)
def test_embedded_card_is_true_to_its_weights(folder, entry):
    assert entry == find_entry(entry.name, folder) == find_entry(entry.name.removeprefix("embedded/"), folder)
    assert entry.sha256 == sha256_of(entry.file)
    assert "no natural-image data" in entry.data
    assert "bias" not in f"{entry.card.knows} {entry.card.knows_not}"
    backbone, ref = open_entry(entry, prepared_px=224)
    assert sum(p.numel() for p in backbone.parameters()) == entry.parameters == ref.parameters
    assert torch.isfinite(backbone(torch.rand(2, 3, ref.input_px, ref.input_px))).all()


def test_what_is_embedded_is_a_family_of_small_files():
    family = embedded_entries()
    assert {entry.name for entry in family} == {
        "embedded/formula_mobilenet_v3_small",
        "embedded/formula_resnet18",
        "embedded/formula_resnet18_small",
    }
    assert sum(entry.megabytes for entry in family) <= 20
    assert len({entry.network for entry in family}) == len(family)


@pytest.mark.parametrize(
    ("name", "prepared_px", "side_px"),
    [
        ("resnet50", 96, 96),
        ("resnet50", 512, 224),
        ("inception_v3", 64, 75),
        ("inception_v3", 512, 299),
        ("vit_b_16", 96, 224),
        ("swin_v2_t", 96, 256),
        ("embedded/formula_resnet18", 224, 64),
    ],
)
def test_input_is_neither_enlarged_nor_of_a_side_that_the_network_refuses(folder, name, prepared_px, side_px):
    assert find_entry(name, folder).side_px(prepared_px) == side_px


@pytest.mark.parametrize(
    ("name", "nearest"), [("resnet51", "resnet50"), ("formula_resnet", "embedded/formula_resnet18")]
)
def test_unknown_name_comes_with_the_nearest(folder, name, nearest):
    with pytest.raises(BadUsage, match=nearest):
        find_entry(name, folder)


def test_name_with_terminal_escapes_stays_one_line(folder):
    with pytest.raises(BadUsage) as caught:
        find_entry("\x1b[31m\nresnet", folder)
    assert str(caught.value).isprintable()


def test_folder_is_that_of_torch_hub(monkeypatch):
    monkeypatch.setenv("TORCH_HOME", "/models/torch")
    assert weights_folder() == Path("/models/torch/hub/checkpoints")
    monkeypatch.delenv("TORCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert weights_folder() == Path("/cache/torch/hub/checkpoints")
    import torch.hub

    assert weights_folder() == Path(torch.hub.get_dir()) / "checkpoints"


def test_header_of_a_local_file_wins_over_its_network(tmp_path):
    write_weights(tmp_path, mean="[0.5, 0.4, 0.3]", input_px="96")
    entry = local_entry("resnet18", "own.safetensors", tmp_path)
    assert entry.mean == (0.5, 0.4, 0.3)
    assert entry.std == (0.229, 0.224, 0.225)
    assert (entry.input_px, entry.parameters, entry.name) == (96, 6, "local/own")


@pytest.mark.parametrize(
    "header",
    [{"mean": "[1, 2]"}, {"mean": "x"}, {"std": "[0, 0, 0]"}, {"std": "[NaN, 1, 1]"}, {"input_px": "9"}, {"mean": "7"}],
)
def test_nonsense_in_the_header_is_named(tmp_path, header):
    write_weights(tmp_path, **header)
    with pytest.raises(BrokenArtifact, match=next(iter(header))):
        local_entry("resnet18", "own.safetensors", tmp_path)


def test_local_file_must_be_there_and_of_a_known_network(tmp_path):
    with pytest.raises(BadUsage, match="no file"):
        local_entry("resnet18", "own.safetensors", tmp_path)
    write_weights(tmp_path)
    with pytest.raises(BadUsage, match="resnet18"):
        local_entry("resnet19", "own.safetensors", tmp_path)


def test_asking_for_an_embedded_one_does_not_import_torch():
    code = (
        "import sys, json; from pathlib import Path; from tasks.backbone.catalog import find_entry;"
        "find_entry('formula_resnet18', Path('x')); print(json.dumps('torch' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) is False
