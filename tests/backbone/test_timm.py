"""timm's networks through the same doors as all others; the weights are random ones, served from this machine."""

import json

import pytest
import timm
import torch
from safetensors.torch import save

from flows.backbones import timm_line
from flows.cli import main
from tasks.backbone import timm_zoo
from tasks.backbone.candidates import named_entries
from tasks.backbone.catalog import find_entry, network_entry, search_entries
from tasks.backbone.download import fetch
from tasks.backbone.features import compute_features
from tasks.backbone.weights import build_backbone, open_entry
from tasks.contracts.errors import BadEnvironment, BadUsage, BrokenArtifact
from tasks.contracts.files import sha256_of

SMALL = "timm/test_resnet.r160_in1k"
PLAIN = SMALL.removeprefix("timm/")


def weights_of(name: str, seed: int = 0) -> bytes:
    torch.manual_seed(seed)
    return save(timm.create_model(name, pretrained=False).state_dict())


@pytest.fixture
def mirror(server, folder, monkeypatch):
    monkeypatch.setenv("GRAFT_WEIGHTS_MIRROR", f"{server.address}/models")
    server.files[f"/models/{PLAIN}.safetensors"] = weights_of(PLAIN)
    return server


@pytest.fixture
def absent(monkeypatch):
    monkeypatch.setattr(timm_zoo, "find_spec", lambda _name: None)


def test_entry_says_what_timm_says(folder):
    entry = find_entry("timm/resnet18.a1_in1k", folder)
    assert (entry.source, entry.input_px, entry.side_px(96)) == ("timm", 224, 96)
    assert entry.parameters == find_entry("resnet18", folder).parameters
    assert entry.megabytes == pytest.approx(46.8, abs=0.1)
    assert entry.url == "https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/model.safetensors"
    assert entry.licence == "apache-2.0; ImageNet's terms apply"
    assert "a1_in1k" in entry.data
    assert entry.where == "to download"


def test_a_transformer_takes_its_own_side_only(folder):
    entry = find_entry("timm/vit_tiny_patch16_224.augreg_in21k", folder)
    assert entry.side_px(96) == entry.side_px(512) == 224
    assert entry.mean == (0.5, 0.5, 0.5)


def test_named_candidate_is_fetched_opened_and_pinned(mirror, tmp_path, pictures):
    (entry,) = named_entries([SMALL], tmp_path, offline=False)
    assert mirror.asked == [f"/models/{PLAIN}.safetensors"]
    backbone, ref = open_entry(entry, prepared_px=64)
    assert (ref.name, ref.source, ref.weights_sha256) == (SMALL, "timm", sha256_of(entry.file))
    assert ref.mean == timm.get_pretrained_cfg(PLAIN).mean
    pixels, _ = pictures(3, 64)
    features = compute_features(backbone, ref, pixels)
    assert features.shape == (3, backbone.features)

    torch.manual_seed(0)
    theirs = timm.create_model(PLAIN, pretrained=False).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        last = theirs.forward_head(theirs.forward_features(images), pre_logits=True)
        torch.testing.assert_close(backbone(images)[:, -last.shape[1] :], last)
        again = build_backbone(ref, tmp_path)
        assert torch.equal(again(images), backbone(images))
    assert len(mirror.asked) == 1


def test_other_weights_than_chosen_are_refused(mirror, tmp_path):
    (entry,) = named_entries([SMALL], tmp_path, offline=False)
    _, ref = open_entry(entry, prepared_px=64)
    entry.file.write_bytes(weights_of(PLAIN, seed=1))
    with pytest.raises(BrokenArtifact, match="was chosen with"):
        build_backbone(ref, tmp_path)


@pytest.mark.parametrize(
    ("content", "why"), [(b"<html>log in here</html>", "no safetensors"), (weights_of("test_vit"), "does not fit")]
)
def test_a_file_of_something_else_is_refused(folder, content, why):
    entry = find_entry(SMALL, folder)
    entry.file.parent.mkdir(parents=True)
    entry.file.write_bytes(content)
    with pytest.raises(BrokenArtifact, match=why):
        open_entry(entry, prepared_px=64)


def test_a_page_in_place_of_weights_is_not_kept(mirror, folder):
    mirror.files[f"/models/{PLAIN}.safetensors"] = b"<html>log in here</html>"
    with pytest.raises(BrokenArtifact, match="no safetensors"):
        fetch(find_entry(SMALL, folder), offline=False)
    assert list(folder.iterdir()) == []


def test_offline_asks_nobody(mirror, tmp_path):
    with pytest.raises(BadEnvironment, match=f"switched off.*--fetch {SMALL}"):
        named_entries([SMALL], tmp_path, offline=True)
    assert mirror.asked == []


def test_names_begin_as_asked(folder, monkeypatch):
    found = [entry.name for entry in search_entries("timm/test_resnet", folder)]
    assert found == [SMALL]
    found = [entry.name for entry in search_entries("timm/test_v", folder)]
    assert len(found) > 1
    assert all(name.startswith("timm/test_v") for name in found)
    monkeypatch.setattr(timm_zoo, "_MOST_FOUND", 1)
    with pytest.raises(BadUsage, match="more of the name"):
        search_entries("timm/test_v", folder)


def test_the_whole_list_only_counts_them():
    assert f"timm has {len(timm_zoo.timm_names()):,} more" in timm_line()


def test_unknown_name_comes_with_the_nearest(folder):
    with pytest.raises(BadUsage, match=r"timm/resnet18\.a1_in1k"):
        find_entry("timm/resnet18.a1_in2k", folder)


def test_every_door_says_what_is_missing_without_timm(absent, folder):
    for ask in (find_entry, search_entries, lambda name, _folder: network_entry(name)):
        with pytest.raises(BadUsage, match=r"pip install graft\[timm\]"):
            ask(SMALL, folder)
    assert timm_line() == ""


def test_fetch_and_one_in_full(mirror, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert main(["backbones", SMALL, "--fetch"]) == 0
    path = folder / f"{PLAIN}.safetensors"
    assert capsys.readouterr().out.strip() == str(path)
    assert main(["backbones", SMALL, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["source"], row["where"]) == ("timm", str(path))
    assert row["gmacs"] > 0
    assert row["timing"]["forward_ms"] > 0
