import json

import pandas as pd
import pytest

from tasks.bias import step
from tasks.contracts.errors import BadData, BadUsage
from tasks.contracts.params import BiasParams, GateParams, WaiverParams
from tasks.contracts.workspace import Workspace

PARAMS = BiasParams(permutations=40)


def report(ws: Workspace) -> dict[str, object]:
    """What the stage says about the workspace."""
    step.run(ws, PARAMS, seed=0)
    return json.loads(ws.bias.read_text())


def outputs(ws: Workspace) -> list[bytes]:
    """The bytes of everything that the stage writes."""
    return [path.read_bytes() for path in (ws.bias, ws.gate, ws.weights)]


def test_the_planted_biases_are_found_and_nothing_else_is_called_an_overlay(ws: Workspace) -> None:
    found = report(ws)["findings"]
    overlays = [one for one in found if one["check"] == "fixed_overlay"]
    assert [one["subject"] for one in overlays] == ["d"]
    assert overlays[0]["severity"] == "warn"
    assert "bottom right corner" in overlays[0]["message"]
    assert len(overlays[0]["evidence"]) == 10
    assert all(path.startswith("d/") for path in overlays[0]["evidence"])
    others = {(one["check"], one["subject"]) for one in found if one["severity"] == "warn"} - {("fixed_overlay", "d")}
    assert others == {
        ("association", "source"),
        ("missing_subgroup", "a with source = phone"),
        ("sharpness_gives_class_away", "d"),
        ("trivial_model_falls", "split"),  # the ring is in train alone
    }
    assert [(one["check"], one["subject"]) for one in found if one["severity"] == "error"] == [
        ("size_gives_class_away", "b")
    ]


def test_composition_and_imbalance_count_usable_images_only(ws: Workspace) -> None:
    said = report(ws)
    assert said["composition"] == {label: {"all": 39} for label in "abcd"}
    assert said["imbalance_ratio"]["value"] == 1.0
    assert said["imbalance_ratio"]["n"] == 76


def test_every_statistic_has_n_and_a_status_and_no_value_unless_measured(ws: Workspace) -> None:
    said = report(ws)
    statistics = [said["imbalance_ratio"], *said["associations"], *said["shortcuts"]]
    statistics += [one["statistic"] for one in said["findings"]]
    for one in statistics:
        assert one["n"] > 0
        assert (one["value"] is None) == (one["status"] != "measured")
    assert [one["status"] for one in said["associations"]] == ["not_measurable", "measured"]  # id, source


def test_attributes_and_their_cells_are_told_without_small_numbers(ws: Workspace) -> None:
    said = report(ws)
    assert [(one["name"], one["why_not"]) for one in said["attributes"]] == [
        ("id", "the column names single images"),
        ("source", ""),
    ]
    cells = {(one["label"], one["value"], one["split"]): one["images"] for one in said["cells"]}
    assert cells["a", "scanner", "train"] == 19
    assert cells["b", "phone", "test"] == 8
    assert cells["b", "phone", "promotion"] is None  # 4 of them
    assert [one["name"] for one in said["sections"]][:2] == ["coverage", "representativeness"]


def test_an_attribute_that_is_not_there_is_bad_usage(ws: Workspace) -> None:
    with pytest.raises(BadUsage, match="no column sex in the data; the columns are id, source"):
        step.run(ws, BiasParams(permutations=20, attributes=("sex",)), seed=0)


def test_every_usable_image_weighs_one(ws: Workspace) -> None:
    step.run(ws, PARAMS, seed=0)
    weights = pd.read_parquet(ws.weights)
    checked = pd.read_parquet(ws.checked)
    assert weights["sha256"].tolist() == sorted(checked[checked["verdict"] != "quarantine"]["sha256"])
    assert (weights["weight"] == 1.0).all()


def test_equal_input_gives_equal_bytes_whatever_the_order_of_rows(ws: Workspace) -> None:
    step.run(ws, PARAMS, seed=0)
    first = outputs(ws)
    pd.read_parquet(ws.checked).sample(frac=1, random_state=1).to_parquet(ws.checked, index=False)
    step.run(ws, PARAMS, seed=0)
    assert outputs(ws) == first


def test_test_and_promotion_pictures_are_never_looked_at(ws: Workspace) -> None:
    """Held-out images are counted by their metadata, but decide nothing: no test looks for what gives them away."""
    decided = ("associations", "shortcuts", "composition", "imbalance_ratio", "maps")
    first, gate = report(ws), ws.gate.read_bytes()
    checked = pd.read_parquet(ws.checked)
    held_out = checked["split"].isin(["test", "promotion"])
    checked.loc[held_out, ["pixels", "width"]] = [-1, 7]  # metadata are: they may go with the split
    checked.to_parquet(ws.checked, index=False)
    again = report(ws)
    assert {key: again[key] for key in decided} == {key: first[key] for key in decided}
    assert ws.gate.read_bytes() == gate


def test_a_failing_gate_is_recorded_and_stops_nothing_here(ws: Workspace) -> None:
    verdict = step.run(ws, BiasParams(permutations=20, gate=GateParams(min_train_images=20)), seed=0)
    assert not verdict.passed
    assert json.loads(ws.gate.read_text())["passed"] is False
    assert ws.bias.exists()
    assert ws.weights.exists()


def test_a_class_without_usable_images_is_said_and_fails_the_gate(ws: Workspace) -> None:
    checked = pd.read_parquet(ws.checked)
    checked.loc[checked["label"] == "c", "verdict"] = "quarantine"
    checked.to_parquet(ws.checked, index=False)
    verdict = step.run(ws, PARAMS, seed=0)
    assert {rule.rule for rule in verdict.rules if not rule.passed} >= {"min_train_images", "min_test_images"}
    said = json.loads(ws.bias.read_text())
    assert said["composition"]["c"] == {}
    assert said["imbalance_ratio"]["status"] == "not_measurable"


def test_classes_too_small_to_judge_are_named(ws: Workspace) -> None:
    checked = pd.read_parquet(ws.checked)
    few = (checked["label"] == "c") & (checked["split"] == "train")
    checked.loc[checked[few].index[5:], "verdict"] = "quarantine"
    checked.to_parquet(ws.checked, index=False)
    small = [one for one in report(ws)["shortcuts"] if one["status"] == "too_small"]
    assert [(one["name"], one["n"]) for one in small] == [("shortcuts of c", 4)]


def test_a_picture_that_stands_many_times_is_evidence_once(ws: Workspace) -> None:
    checked = pd.read_parquet(ws.checked)
    same = (checked["label"] == "c") & (checked["split"] == "train")
    pinned = ["sha256", "pixels_crc32"]
    checked.loc[same, pinned] = checked.loc[85, pinned].to_numpy()
    checked.to_parquet(ws.checked, index=False)
    said = report(ws)
    assert ("shortcuts of c", 1) in [(one["name"], one["n"]) for one in said["shortcuts"]]
    assert [one["subject"] for one in said["findings"] if one["check"] == "fixed_overlay"] == ["d"]


def test_nothing_usable_is_bad_data(ws: Workspace) -> None:
    checked = pd.read_parquet(ws.checked)
    checked.assign(verdict="quarantine").to_parquet(ws.checked, index=False)
    with pytest.raises(BadData, match="no usable image"):
        step.run(ws, PARAMS, seed=0)


def test_a_wrong_waiver_writes_nothing(ws: Workspace) -> None:
    params = BiasParams(permutations=20, gate=GateParams(waivers=(WaiverParams(rule="x", reason="r", by="b"),)))
    with pytest.raises(BadUsage):
        step.run(ws, params, seed=0)
    assert not ws.gate.exists()
    assert not ws.bias.exists()


def test_the_page_can_draw_where_the_ring_is_and_read_what_was_asked(ws: Workspace) -> None:
    said = report(ws)
    ring = next(one for one in said["maps"] if one["label"] == "d" and "edge" in one["what"])
    assert max((value, row, column) for row, of in enumerate(ring["tiles"]) for column, value in enumerate(of))[1:] in (
        (6, 6),
        (6, 7),
        (7, 6),
        (7, 7),
    )
    asked = [one["name"] for one in said["sections"]]  # one attribute that matters: none to confound it
    assert asked == ["coverage", "representativeness", "quality by group", "split drift", "splits"]
    assert all(one["correction"] for one in said["shortcuts"] if one["p_value"] is not None)


def test_the_camera_of_the_exif_block_is_an_attribute(ws: Workspace) -> None:
    checked = pd.read_parquet(ws.checked)
    checked["camera"] = ["Canon EOS R6" if label == "c" else "NIKON D90" for label in checked["label"]]
    checked.to_parquet(ws.checked, index=False)
    found = [one for one in report(ws)["findings"] if one["check"] in ("association", "follows_another")]
    assert ("association", "EXIF camera") in [(one["check"], one["subject"]) for one in found]


@pytest.mark.parametrize("left", ["no picture", "one class", "equal pictures"])
def test_where_there_is_nothing_to_compare_nothing_is_claimed(ws: Workspace, left: str) -> None:
    checked = pd.read_parquet(ws.checked)
    if left == "no picture":
        checked["pixels_crc32"] = None
    elif left == "one class":
        checked["label"] = "a"
    else:
        checked = checked.assign(width=480, pixels_crc32=checked["pixels_crc32"][0], sha256=checked["sha256"][0])
    checked.to_parquet(ws.checked, index=False)
    said = report(ws)
    assert [one["value"] for one in said["shortcuts"]] == [None] * len(said["shortcuts"])
    assert not [one for one in said["findings"] if one["check"].endswith("gives_class_away")]
