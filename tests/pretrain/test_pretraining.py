"""Pre-training as a whole: the same plan makes the same bytes, whatever interrupts it, and select takes the result."""

import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tasks.backbone.catalog import find_entry, weights_folder
from tasks.backbone.weights import open_entry
from tasks.contracts.errors import BadUsage
from tasks.contracts.workspace import Workspace
from tasks.pretrain.lessons import lesson_of, require_network
from tasks.pretrain.own import read_own
from tasks.pretrain.plan import Place, Plan
from tasks.pretrain.pretrain import train
from tests.conftest import write_images
from tests.pretrain.conftest import CPU

TINY = Plan("resnet18-w4", "drawn", 32, images=900, seed=3, batch_size=100)
PROGRAM = """
import os, sys
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from pathlib import Path
from tasks.contracts.workspace import Workspace
from tasks.pretrain.plan import Place, Plan
from tasks.pretrain.pretrain import train
root, name, plan = sys.argv[1:]
train(Place(Workspace(Path(root)), name), Plan.from_json(plan), seconds_between=0)
"""


def test_the_same_plan_makes_the_same_bytes_and_another_seed_others(one_core, tmp_path):
    ws = Workspace(tmp_path)
    cards = [train(Place(ws, name), TINY) for name in ("one", "two")]
    assert cards[0].sha256 == cards[1].sha256
    assert train(Place(ws, "three"), replace(TINY, seed=4)).sha256 != cards[0].sha256


def test_a_training_that_is_killed_goes_on_to_the_same_bytes(one_core, tmp_path, capsys):
    plan = replace(TINY, images=2_000)
    straight = train(Place(Workspace(tmp_path / "straight"), "net"), plan)
    place = Place(Workspace(tmp_path / "killed"), "net")
    checkpoint = place.private / "checkpoint.safetensors"
    command = [sys.executable, "-c", PROGRAM, str(place.ws.root), "net", plan.to_json()]
    with subprocess.Popen(command) as process:
        while not checkpoint.exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not place.card.exists()
    assert train(place, plan).sha256 == straight.sha256
    assert "going on from epoch" in capsys.readouterr().err


def test_the_card_says_what_was_done_and_the_catalogue_offers_the_result(one_core, tmp_path):
    place = Place(Workspace(tmp_path), "mine")
    card = train(place, TINY)
    assert (card.network, card.input_px, card.images_seen) == ("resnet18-w4", 32, 900)
    assert card.device == "1 CPU core"
    assert card.knows == "shapes and textures, not objects"
    assert "no bias" not in card.knows_not
    backbone, ref = open_entry(find_entry("local/mine", weights_folder(), tmp_path), prepared_px=48)
    assert ref.weights_sha256 == card.sha256
    assert torch.isfinite(backbone(torch.rand(2, 3, 32, 32))).all()


def test_nobodys_weights_are_replaced(one_core, tmp_path):
    place = Place(Workspace(tmp_path), "mine")
    assert not place.has(TINY)
    train(place, TINY)
    assert place.has(TINY)
    assert not Place(place.ws, "other").has(TINY)
    for plan, data in ((replace(TINY, seed=9), ""), (TINY, "another set")):
        with pytest.raises(BadUsage, match="choose another name"):
            place.has(plan, data)


def test_weights_whose_card_was_not_written_are_made_anew_and_those_of_others_are_not(one_core, tmp_path):
    place = Place(Workspace(tmp_path), "mine")
    train(place, TINY)
    weights = place.weights.rename(tmp_path / "elsewhere")
    with pytest.raises(BadUsage, match="`dvc pull`"):
        place.has(TINY)
    weights.rename(place.weights)
    place.card.unlink()
    assert not place.has(TINY)
    shutil.rmtree(place.private)
    with pytest.raises(BadUsage, match="choose another name"):
        place.has(TINY)


@pytest.mark.parametrize(("network", "px", "small"), [("resnet18-w4", 64, 48), ("densenet121", 32, 32)])
def test_early_images_are_smaller_where_the_network_takes_them(network, px, small):
    lesson = lesson_of(replace(TINY, network=network, input_px=px), None, CPU)
    assert (lesson.train.small_px, lesson.train.input_px) == (small, px)


@pytest.mark.parametrize(("network", "px"), [("inception_v3", 32), ("vit_h_14", 64)])
def test_a_side_that_a_network_does_not_take_is_a_usage_error(network, px):
    with pytest.raises(BadUsage):
        require_network(replace(TINY, network=network, input_px=px))


@pytest.mark.parametrize("source", ["labelled", "unlabelled"])
def test_a_set_of_ones_own_is_learned_from(one_core, tmp_path, source):
    images = write_images(tmp_path / "photos", 90)
    place = Place(Workspace(tmp_path / "ws"), source)
    read_own(place.ws, images, place.private, 32, labelled=source == "labelled")
    plan = Plan("resnet18-w4", source, 32, images=700, seed=1, data=str(images), batch_size=64)
    card = train(place, plan)
    assert card.source_images == 270
    assert card.source_data.startswith("your own, 3 classes" if source == "labelled" else "your own, no labels")
    assert str(tmp_path) not in place.card.read_text()
    assert train(Place(place.ws, source), plan).sha256 == card.sha256


@pytest.mark.parametrize(
    ("change", "said"),
    [({"input_px": 50}, "a multiple of 32"), ({"input_px": 8}, "32 to 256"), ({"images": 0}, "1 or more")],
)
def test_a_plan_without_sense_is_a_usage_error(change, said):
    with pytest.raises(BadUsage, match=said):
        replace(TINY, **change)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 65])
def test_a_name_that_is_no_file_name_is_a_usage_error(name):
    with pytest.raises(BadUsage, match="no name for a backbone"):
        Place(Workspace(Path()), name)
