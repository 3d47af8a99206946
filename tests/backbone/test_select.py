import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import save_file

from tasks.backbone.catalog import embedded_entries, find_entry, weights_folder
from tasks.backbone.step import run
from tasks.backbone.weights import backbone_ref, build_backbone, build_network
from tasks.contracts.errors import BadData, BadEnvironment, BadUsage, BrokenArtifact, GateRefused
from tasks.contracts.files import write_record, write_table
from tasks.contracts.params import LocalBackbone, SelectParams
from tasks.contracts.records import GateReport, GateRule, read_json
from tasks.contracts.workspace import Workspace
from tests.conftest import store_pixels

SIDE_PX = 32
OFFLINE = SelectParams(download=False, folds=3)


def stripes(label: int, rng: np.random.Generator) -> np.ndarray:
    """Stripes at an angle that the class decides, of any colour and phase: texture, not colour, tells them apart."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    angle = label * np.pi / 3
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 1.2 + rng.uniform(0, 6.28))
    colours = rng.uniform(0, 255, (2, 3))
    picture = colours[0] + (colours[1] - colours[0]) * (wave[..., None] > 0) + rng.normal(0, 10, (SIDE_PX, SIDE_PX, 3))
    return picture.clip(0, 255).astype(np.uint8)


@pytest.fixture
def ws(tmp_path, folder) -> Workspace:
    """Three classes of 24 images in train and 6 in test, an open gate, and one quarantined image."""
    ws = Workspace(tmp_path / "ws")
    rng = np.random.default_rng(0)
    pixels = np.stack([stripes(i % 3, rng) for i in range(91)])
    rows = []
    for i in range(90):
        sha256 = hashlib.sha256(pixels[i].tobytes()).hexdigest()
        split = "test" if i >= 72 else "train"
        rows.append((f"{'abc'[i % 3]}/{i:02}.png", sha256, "abc"[i % 3], split, "keep", sha256))
    rows.append(("a/dark.png", "f" * 64, "a", "train", "quarantine", None))
    columns = ["path", "sha256", "label", "split", "verdict", "component"]
    write_table(ws.checked, store_pixels(ws, pd.DataFrame(rows, columns=columns), pixels))
    write_record(ws.gate, GateReport(True, (), "test"))
    return ws


def change(ws: Workspace, **columns: object) -> None:
    write_table(ws.checked, pd.read_parquet(ws.checked).assign(**columns))


def test_report_is_whole_and_the_same_again(ws):
    report = run(ws, OFFLINE, 0)
    first = ws.selection.read_bytes()
    assert {one.backbone.name for one in report.candidates} == {entry.name for entry in embedded_entries()}
    assert report.chosen == report.candidates[0].backbone
    for candidate in report.candidates:
        assert candidate.accuracy.n == 72  # the train split alone, without what was quarantined
        assert candidate.accuracy.low > 1 / 3
        assert len(candidate.fold_accuracies) == 3
    assert [control.name for control in report.controls] == ["random_features", "raw_pixels", "majority_class"]
    assert report.controls[2].value == pytest.approx(1 / 3)
    assert str(ws.root) not in first.decode()
    run(ws, OFFLINE, 0)
    assert ws.selection.read_bytes() == first
    build_backbone(backbone_ref(read_json(ws.selection)["chosen"]), ws.root)


def test_test_images_decide_nothing(ws):
    run(ws, OFFLINE, 0)
    before = ws.selection.read_bytes()
    table = pd.read_parquet(ws.checked)
    change(ws, label=np.where(table["split"] == "test", "a", table["label"]))
    run(ws, OFFLINE, 0)
    assert ws.selection.read_bytes() == before


def test_what_is_left_out_comes_with_the_way_to_fetch_it(ws):
    report = run(ws, OFFLINE, 0)
    assert [one.name for one in report.left_out] == ["resnet18", "mobilenet_v3_large", "resnet50"]
    assert all("switched off" in one.why and f"--fetch {one.name}" in one.remedy for one in report.left_out)


def test_environment_can_forbid_the_network_too(ws, server, monkeypatch):
    monkeypatch.setenv("GRAFT_OFFLINE", "1")
    monkeypatch.setenv("GRAFT_WEIGHTS_MIRROR", server.address)
    run(ws, SelectParams(folds=3), 0)
    assert server.asked == []


def test_network_that_refuses_is_asked_once(ws, server, monkeypatch, capsys):
    monkeypatch.setenv("GRAFT_WEIGHTS_MIRROR", server.address)
    server.files["/resnet18-f37072fd.pth"], server.status = b"", 503
    report = run(ws, SelectParams(folds=3), 0)
    assert len(server.asked) == 1
    assert "answered 503" in capsys.readouterr().err
    assert len(report.left_out) == 3
    assert all("could not be downloaded" in one.why for one in report.left_out)
    assert b"503" not in ws.selection.read_bytes()  # DVC hashes it; the words of an error are not a result


def test_file_that_a_mirror_lacks_does_not_stop_the_others(ws, server, monkeypatch):
    monkeypatch.setenv("GRAFT_WEIGHTS_MIRROR", server.address)
    server.files["/resnet50-11ad3fa6.pth"] = b"not these weights"
    report = run(ws, SelectParams(folds=3), 0)
    assert len(server.asked) == 3
    assert ["404" in one.why for one in report.left_out] == [True, True, False]
    assert "other bytes" in report.left_out[2].why


def test_local_weights_compete_and_are_found_again(ws, embedded):
    ref = embedded[1]
    network = build_network(ref, seed=1).network
    (ws.root / "models").mkdir()
    save_file(network.state_dict(), ws.root / "models" / "own.safetensors")
    own = LocalBackbone(network=ref.network, weights="models/own.safetensors")
    report = run(ws, SelectParams(candidates=("formula_resnet18", own), folds=3), 0)
    assert {one.backbone.name for one in report.candidates} == {"embedded/formula_resnet18", "local/models/own"}
    values = [one.accuracy.value for one in report.candidates]
    assert values == sorted(values, reverse=True)
    only = run(ws, SelectParams(candidates=(own,), folds=3), 0)
    assert only.chosen.weights_path == "models/own.safetensors"
    assert "only candidate" in only.why
    assert [one.check for one in only.findings][:1] == ["no_gain_over_random"]
    build_backbone(backbone_ref(read_json(ws.selection)["chosen"]), ws.root)


@pytest.mark.parametrize(
    ("candidates", "error"),
    [
        (("resnet51",), BadUsage),
        (("resnet18",), BadEnvironment),
        ((LocalBackbone(network="resnet18-w24", weights="nothing.safetensors"),), BadUsage),
        ((LocalBackbone(network="resnet18-w24", weights="params.yaml"),), BrokenArtifact),
    ],
)
def test_candidate_asked_for_by_name_must_be_had(ws, candidates, error):
    (ws.root / "params.yaml").write_text("seed: 0\n")
    with pytest.raises(error) as caught:
        run(ws, SelectParams(candidates=candidates, download=False), 0)
    assert str(caught.value).isprintable()
    assert not ws.selection.exists()


def test_closed_gate_stops_it(ws):
    rule = GateRule("min_train_images", 5, 1, passed=False, message="too few")
    write_record(ws.gate, GateReport(False, (rule,), "test"))
    with pytest.raises(GateRefused):
        run(ws, OFFLINE, 0)


def test_one_class_or_one_group_is_not_enough(ws):
    change(ws, component="everyone")
    with pytest.raises(BadData, match="belong together"):
        run(ws, OFFLINE, 0)
    change(ws, label="a")
    with pytest.raises(BadData, match="classes"):
        run(ws, OFFLINE, 0)


def test_class_that_is_smaller_than_the_folds(ws):
    table = pd.read_parquet(ws.checked)
    rare = (table["label"] == "c") & (table["split"] == "train")
    change(ws, verdict=np.where(rare & (table.index > 5), "quarantine", table["verdict"]))
    report = run(ws, OFFLINE, 0)
    assert report.candidates[0].accuracy.n == 48 + 2


def test_large_data_are_probed_on_a_part_that_keeps_every_class(ws, monkeypatch):
    monkeypatch.setattr("tasks.backbone.step.PROBE_IMAGES", 36)
    report = run(ws, OFFLINE, 0)
    assert report.candidates[0].accuracy.n == 36
    assert report.candidates[0].accuracy.estimator == "3-fold linear probe on 36 of 72 training images, Wilson"


def test_second_run_reads_features_from_the_cache(ws):
    run(ws, OFFLINE, 0)
    shards = sorted((ws.cache / "features").rglob("*.safetensors"))
    run(ws, OFFLINE, 0)
    assert sorted((ws.cache / "features").rglob("*.safetensors")) == shards
    assert len(shards) == len(embedded_entries()) + 2  # and of the random control, and how that was settled
    assert json.loads(ws.selection.read_text())["schema_version"] == 1


def test_what_torch_has_cached_competes_unasked_and_must_be_what_its_name_promises(ws):
    file = find_entry("shufflenet_v2_x0_5", weights_folder()).file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"not these weights")
    with pytest.raises(BrokenArtifact, match=r"not the weights of shufflenet_v2_x0_5.*delete it"):
        run(ws, OFFLINE, 0)
