"""`graft pretrain` at the door: what it refuses, and what it leaves behind."""

import json

import pytest

from flows.cli import main
from flows.runs import find_run
from flows.stages import only_run
from flows.workspaces import init
from tasks.contracts.files import sha256_of
from tasks.contracts.workspace import Workspace
from tasks.pretrain.plan import Place, Plan
from tasks.pretrain.pretrain import train
from tests.conftest import write_images
from tests.flows.conftest import graft

TINY = ("--network", "resnet18-w4", "--px", "32", "--images", "600")


@pytest.fixture(scope="module")
def ws(tmp_path_factory) -> Workspace:
    return init(tmp_path_factory.mktemp("pretrained") / "ws")


def door(capsys, ws: Workspace, *arguments: str) -> tuple[int, str, str]:
    code = main(["--workspace", str(ws.root), "pretrain", *arguments])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("../up", *TINY), "is no name for a backbone"),
        (("mine", "--px", "33"), "a multiple of 32"),
        (("mine", "--images", "0"), "1 or more"),
        (("mine", "--unlabelled"), "give them with --data"),
        (("mine", "--network", "resnet81"), "did you mean resnet"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(capsys, ws, arguments, said):
    code, _, err = door(capsys, ws, *arguments)
    assert code == 2
    assert said in err
    assert not ws.backbones.exists()


def test_a_run_keeps_it_out(capsys, ws):
    with only_run(ws):
        refused = graft(ws, "pretrain", "mine", *TINY)
    assert refused.returncode == 4
    assert "is in use by " in refused.stderr
    assert ", process " in refused.stderr


def test_a_set_of_ones_own_leaves_weights_a_card_and_a_version(ws, tmp_path):
    photos = write_images(tmp_path / "photos", 80)
    (photos / "circles" / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    source = ("--data", str(photos), "--unlabelled", "--network", "resnet18-w4", "--images", "600")
    made = graft(ws, "pretrain", "photos", *source, "--json")
    assert made.returncode == 0, made.stderr
    assert "1 images left out: could not be read" in made.stderr
    found = json.loads(made.stdout)
    assert found["name"] == "local/photos"
    assert found["card"]["sha256"] == sha256_of(ws.backbones / "photos.safetensors")
    assert found["card"]["source_data"].startswith("your own, no labels")
    assert "path: photos.safetensors" in (ws.backbones / "photos.safetensors.dvc").read_text()
    assert not list((ws.private / "pretraining").iterdir())
    assert (find_run(ws).flow, find_run(ws).state, find_run(ws).why) == ("pretrain", "done", "made local/photos")


def test_what_is_there_already_is_versioned_and_shown_and_another_plan_is_refused(one_core, capsys, ws):
    train(Place(ws, "mine"), Plan("resnet18-w4", "drawn", 32, images=600, seed=0))
    assert not (ws.backbones / "mine.safetensors.dvc").exists()
    capsys.readouterr()
    code, out, err = door(capsys, ws, "mine", *TINY)
    assert code == 0, err
    assert "Prefect" not in err
    assert "pre-training" not in err
    assert (ws.backbones / "mine.safetensors.dvc").is_file()
    assert "shapes and textures, not objects" in out
    assert "select.candidates=[local/mine]" in out
    record = ws.backbones / "mine.safetensors.dvc"
    true = record.read_text()
    record.write_text(true.replace(true.split("md5: ")[1].split()[0], "a" * 32))  # of weights that were removed
    code, _, err = door(capsys, ws, "mine", *TINY)
    assert code == 0, err
    assert record.read_text() == true
    code, _, err = door(capsys, ws, "mine", *TINY[:-1], "700")
    assert code == 2
    assert "choose another name" in err
