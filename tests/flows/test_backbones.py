"""`graft backbones`: a list, a search, one in full."""

import json

import pytest

from flows.cli import main
from flows.workspaces import init
from tasks.backbone.cards import read_card, write_card
from tasks.backbone.catalog import EMBEDDED
from tasks.contracts.params_file import override


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def ws(tmp_path):
    """A workspace of small images with a backbone of its own."""
    made = init(tmp_path / "ws")
    override(made.params, ["quality.prepared_px=32"])
    folder = made.root / "models" / "backbones"
    folder.mkdir(exist_ok=True)
    (folder / "mine.safetensors").write_bytes((EMBEDDED / "formula_resnet18.safetensors").read_bytes())
    write_card(folder / "mine.json", read_card(EMBEDDED / "formula_resnet18.json"))
    return made


def read(capsys, *arguments):
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_list_has_every_source_the_embedded_first_and_the_cheap_before_the_costly(capsys):
    rows = read(capsys, "backbones")
    sources = [row["source"] for row in rows]
    assert sources == sorted(sources)
    assert sources[0] == "embedded"
    for source in set(sources):
        costs = [row["gmacs"] for row in rows if row["source"] == source]
        assert costs == sorted(costs)
        assert costs[0] > 0
    of = {row["name"]: row for row in rows}
    assert (of["resnet50"]["data"], of["resnet50"]["images"]) == ("ImageNet-1k", 1281167)
    for name in ("vit_h_14", "regnet_y_128gf"):
        assert "Instagram" in of[name]["data"]
        assert of[name]["images"] > 3e9
        assert "CC-BY-NC" in of[name]["licence"]
    assert of["embedded/formula_resnet18"]["timing"]["forward_ms"] > 0
    assert of["resnet50"]["timing"] is None
    assert "no natural-image data" in of["embedded/formula_resnet18"]["card"]["source_data"]


def test_part_of_a_name_lists_those_that_contain_it(capsys):
    assert main(["backbones", "squeezenet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["NAME", "PARAMS", "MB", "PX"]
    assert [line.split()[0] for line in lines[1:3]] == ["squeezenet1_1", "squeezenet1_0"]
    assert not lines[3]


def test_one_in_full(capsys):
    assert main(["backbones", "formula_resnet18"]) == 0
    shown = capsys.readouterr().out
    card = read_card(EMBEDDED / "formula_resnet18.json")
    for part in (
        "GMACs",
        "ms an image forward",
        "training step",
        card.knows,
        card.knows_not,
        card.sha256,
        card.licence,
    ):
        assert part in shown
    assert f"{card.images_seen:,} images in {card.seconds:,.0f} s on {card.device}" in shown


def test_a_workspace_adds_its_own_and_sets_the_side(capsys, ws):
    rows = read(capsys, "--workspace", ws.root, "backbones", "resnet18")
    assert [row["side_px"] for row in rows] == [32]
    (mine,) = read(capsys, "--workspace", ws.root, "backbones", "local/mine")
    assert (mine["source"], mine["side_px"], mine["timing"]["side_px"]) == ("local", 32, 32)
    assert mine["card"]["images_seen"] > 0
    assert mine["where"].endswith("models/backbones/mine.safetensors")


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["backbones", "resnet51"], 2, "did you mean resnet50"),
        (["backbones", "local/mine"], 2, "unknown backbone"),
        (["backbones", "resnet", "--fetch"], 2, "did you mean"),
        (["--workspace", "nowhere", "backbones"], 2, "graft init"),
    ],
)
def test_refusals(capsys, arguments, code, part):
    assert main(arguments) == code
    lines = capsys.readouterr().err.splitlines()
    assert part in lines[-1]


def test_a_broken_card_is_named(capsys, ws):
    (ws.root / "models" / "backbones" / "mine.json").write_text("{")
    assert main(["--workspace", str(ws.root), "backbones"]) == 5
    assert "mine.json" in capsys.readouterr().err
