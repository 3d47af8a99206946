"""A start from a version's weights: what is kept of the head, when it is tried, and that val alone decides."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from tasks.backbone.heads import make_head
from tasks.backbone.weights import build_backbone
from tasks.contracts.errors import BadEnvironment, BrokenArtifact
from tasks.contracts.files import sha256_of, write_record
from tasks.contracts.model_records import Attempt, StartPin
from tasks.contracts.params import FineTuningParams, TrainParams
from tasks.train import step
from tasks.train.model import WEIGHTS, load_model
from tasks.train.opening import open_task
from tasks.train.pinned import find_start
from tasks.train.start import Start, adapted_head, verdict, why_not
from tasks.train.strategies import FeatureExtraction, FineTuning
from tasks.train.transfer import transfer
from tests.conftest import CLASSES
from tests.train.conftest import small
from tests.train.tiny import state_hash

QUICK = TrainParams(epochs=1, batch_size=12, fine_tuning=FineTuningParams(frozen_stages=1))
FEATURES = 6
LABELS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=6, unique=True).map(tuple)


def start_of(folder: Path, classes=CLASSES, **changes) -> Start:
    """The model in a folder as a version to start from."""
    values = {
        "version": "model@1",
        "sha256": sha256_of(folder / WEIGHTS),
        "weights": folder / WEIGHTS,
        "model": load_model(folder)[1],
        "seen": frozenset({"0" * 64}),
        "learned": {"model@1": "c" * 40},
        "classes": tuple(classes),
    }
    return Start(**(values | changes))


@pytest.fixture(scope="module")
def champion(tmp_path_factory) -> Start:
    """A fine-tuned model of the same data, on the shelf."""
    ws = small(tmp_path_factory.mktemp("champion"))
    step.run(ws, QUICK.model_copy(update={"epochs": 2}), seed=1)
    return start_of(ws.candidate)


def started(ws, monkeypatch, start: Start, params=QUICK):
    """The train stage where `start` is to be tried."""
    monkeypatch.setattr(step, "find_start", lambda *_: (start, ""))
    step.run(ws, params, seed=0)
    return load_model(ws.candidate)


@given(LABELS, LABELS, st.sampled_from(["linear", "cosine"]))
def test_rows_go_by_the_class_and_what_is_new_is_fresh(before, now, kind):
    old, fresh = (make_head(kind, FEATURES, len(labels), 0.0).state_dict() for labels in (before, now))
    found = adapted_head(old, fresh, (before, now))
    assert found.keys() == fresh.keys()
    for place, label in enumerate(now):
        expected = old["2.weight"][before.index(label)] if label in before else fresh["2.weight"][place]
        assert torch.equal(found["2.weight"][place], expected)
    if kind == "cosine":
        assert torch.equal(found["2.scale"], old["2.scale"])
    make_head(kind, FEATURES, len(now), 0.0).load_state_dict(found)


@pytest.mark.parametrize(("kind", "features"), [("cosine", FEATURES), ("mlp", FEATURES), ("linear", FEATURES + 1)])
def test_a_head_of_another_form_is_fresh(kind, features):
    old = make_head("linear", FEATURES, 3, 0.0).state_dict()
    assert adapted_head(old, make_head(kind, features, 3, 0.0).state_dict(), ("abc", "abc")) is None


def test_hidden_layers_are_kept_where_they_are_of_one_size():
    old, fresh = (make_head("mlp", FEATURES, classes, 0.0).state_dict() for classes in (2, 3))
    found = adapted_head(old, fresh, ("ac", "abc"))
    assert torch.equal(found["1.weight"], old["1.weight"])
    assert torch.equal(found["4.bias"], torch.stack([old["4.bias"][0], fresh["4.bias"][1], old["4.bias"][1]]))


def test_a_network_begins_with_the_weights_of_the_version_and_ends_elsewhere(ws, champion):
    task, _ = open_task(ws, QUICK, seed=0)
    before = load_model(champion.weights.parent)[0]
    warm = replace(task, start=champion)
    frozen = transfer(warm, FeatureExtraction())
    assert state_hash(frozen.net.backbone) == state_hash(before.backbone)
    assert frozen.on_val.start == "model@1"
    tuned = transfer(replace(warm, checkpoints=task.checkpoints / "other"), FineTuning())
    assert state_hash(tuned.net.backbone) != state_hash(before.backbone)
    assert tuned.on_val.start == "model@1"


@pytest.mark.parametrize(
    ("strategy", "ruined"), [("fine_tuning", False), ("feature_extraction", False), ("auto", False), ("auto", True)]
)
def test_val_alone_decides_and_the_record_says_so(ws, champion, tmp_path, monkeypatch, strategy, ruined):
    if ruined:
        net, _ = load_model(champion.weights.parent)
        for parameter in net.parameters():
            parameter.data.normal_(0, 3, generator=torch.Generator().manual_seed(0))
        champion = replace(champion, weights=tmp_path / "ruined.safetensors", sha256="e" * 64)
        save_file(net.state_dict(), champion.weights)
    _, found = started(ws, monkeypatch, champion, QUICK.model_copy(update={"strategy": strategy}))
    tries = found["compared"]
    names = {"fine_tuning", "feature_extraction", "scratch"} if strategy == "auto" else {strategy}
    assert {(one["strategy"], one["start"]) for one in tries} == {
        (name, start) for name in names for start in ("", "model@1") if (name, start) != ("scratch", "model@1")
    }
    best = max(tries, key=lambda one: (one["val_accuracy"], -one["val_loss"]))
    assert (found["strategy"], found["started_from"]) == (best["strategy"], best["start"])
    assert found["learned"] == (champion.learned if best["start"] else {})
    assert found["start"].startswith(f"started from {best['start'] or 'the backbone'}: val ")
    assert f" from {'the backbone' if best['start'] else 'model@1'}" in found["start"]
    assert best["start"] == "" or not ruined


def test_of_equals_the_backbone_is_taken():
    assert "loss 0.400 against 0.500 from model@1" in verdict(
        Attempt("fine_tuning", 0.9, 0.4), Attempt("fine_tuning", 0.9, 0.5, "model@1")
    )
    tried = [step._Tried(None, None, _result(start)) for start in ("", "model@1")]
    assert max(tried, key=step._order).found.on_val.start == ""


def _result(start: str):
    return SimpleNamespace(on_val=Attempt("fine_tuning", 0.9, 0.4, start))


def test_equal_starts_give_equal_bytes_and_other_classes_are_learned(ws, champion, monkeypatch):
    grown = replace(champion, model={**champion.model, "classes": ["circles", "dots", "stripes"]})
    written = []
    for _ in range(2):
        started(ws, monkeypatch, grown)
        written.append([(ws.candidate / name).read_bytes() for name in (WEIGHTS, "model.json")])
    assert written[0] == written[1]
    assert not ws.checkpoints.exists()


def test_a_killed_start_goes_on_to_the_same_bytes(ws, champion):
    task, _ = open_task(ws, QUICK.model_copy(update={"epochs": 2}), seed=0)
    warm = replace(task, start=champion, seconds_between=0.0)
    whole = transfer(replace(warm, checkpoints=ws.root / "whole"), FineTuning())

    def stop(_name, position):
        if (position.epoch, position.step) == (1, 1):
            raise BadEnvironment("stopped")

    with pytest.raises(BadEnvironment, match="stopped"):
        transfer(replace(warm, watch=stop), FineTuning())
    assert state_hash(transfer(warm, FineTuning()).net) == state_hash(whole.net)
    other = transfer(replace(task, seconds_between=0.0), FineTuning())  # from the backbone: not from that checkpoint
    assert state_hash(other.net) == state_hash(transfer(replace(task, checkpoints=ws.root / "cold"), FineTuning()).net)


def test_when_a_start_is_not_tried(ws, champion):
    task, _ = open_task(ws, QUICK, seed=0)
    backbone = build_backbone(task.backbone, ws.root)
    assert why_not(champion, task.backbone, backbone, {"val": ["1" * 64]}) == ""
    other = replace(task.backbone, name="another", weights_sha256="f" * 64)
    assert "tiny for a backbone, another was selected" in why_not(champion, other, backbone, {})
    assert "held out now (1 of test)" in why_not(champion, task.backbone, backbone, {"val": [], "test": ["0" * 64]})


def test_a_head_on_the_frozen_backbone_is_no_other_start(ws, tmp_path):
    step.run(ws, QUICK.model_copy(update={"strategy": "feature_extraction"}), seed=0)
    task, _ = open_task(ws, QUICK, seed=0)
    said = why_not(start_of(ws.candidate), task.backbone, build_backbone(task.backbone, ws.root), {})
    assert said == "model@1 was not tried: its body is the backbone as it came, which only a head was put on"


def test_a_body_that_does_not_fit_is_a_broken_artifact(ws, champion, tmp_path):
    net, _ = load_model(champion.weights.parent)
    state = net.state_dict()
    state.pop(next(name for name in state if name.startswith("backbone.")))
    save_file(state, tmp_path / "less.safetensors")
    task, _ = open_task(ws, QUICK, seed=0)
    with pytest.raises(BrokenArtifact, match="the weights of model@1 do not fit what its record says"):
        transfer(replace(task, start=replace(champion, weights=tmp_path / "less.safetensors")), FineTuning())


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({}, "started from the backbone: there was no champion"),
        ({"start": "backbone"}, "started from the backbone: train.start says so"),
        ({"strategy": "scratch"}, "started from random weights: train.strategy is scratch"),
    ],
)
def test_without_a_start_the_record_says_why(ws, params, said):
    step.run(ws, QUICK.model_copy(update=params), seed=0)
    found = load_model(ws.candidate)[1]
    assert (found["start"], found["started_from"], found["learned"]) == (said, "", {})


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"schema_version": 1}x', '{"schema_version": 1, "version": "model@1", "odd": 1}', "\x00"],
)
def test_a_broken_pin_is_one_line(ws, text):
    ws.start.write_text(text)
    task, classes = open_task(ws, QUICK, seed=0)
    with pytest.raises(BrokenArtifact) as error:
        find_start(ws, QUICK, task, classes)
    assert "\n" not in str(error.value)
    write_record(ws.start, StartPin("model@1", "a" * 64, {"model@2": "b" * 40}))
    with pytest.raises(BrokenArtifact, match=r"start.json is no record of a start; `git checkout"):
        find_start(ws, QUICK, task, classes)
