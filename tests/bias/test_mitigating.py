"""From what is found to what is done: the stage acts on the kinds that a person names, and on no others."""

import numpy as np
import pytest

from tasks.bias import step
from tasks.contracts.files import read_table
from tasks.contracts.params import BiasParams
from tasks.contracts.records import read_json
from tasks.contracts.workspace import Workspace


def mitigated(ws: Workspace, *kinds: str) -> list[dict]:
    step.run(ws, BiasParams(permutations=40, mitigate=kinds), seed=0)
    return read_json(ws.bias)["mitigations"]


def test_nothing_is_done_unasked(ws: Workspace) -> None:
    assert mitigated(ws) == []
    assert (read_table(ws.weights)["weight"] == 1).all()


def test_a_ring_in_a_corner_is_covered_where_it_is(ws: Workspace) -> None:
    (done,) = mitigated(ws, "overlay")
    assert (done["kind"], done["subject"], done["means"]) == ("overlay", "d", "augmentation")
    (box,) = done["transforms"]
    assert box["transform"] == "Cover"
    assert box["top"] * 48 <= 37 <= 44 <= (box["top"] + box["height"]) * 48 + 6  # the ring is drawn at 36 to 44


@pytest.mark.parametrize("kind", ["tone", "compression", "border"])
def test_what_was_not_found_is_not_acted_on_and_that_is_said(ws: Workspace, kind: str) -> None:
    assert mitigated(ws, kind, "overlay") == mitigated(ws, "overlay")
    assert not [one for one in read_json(ws.bias)["findings"] if one["check"] == "not_mitigated"]
    assert mitigated(ws, kind) == []
    (said,) = [one for one in read_json(ws.bias)["findings"] if one["check"] == "not_mitigated"]
    assert (said["subject"], said["severity"]) == (kind, "info")


def test_training_images_are_weighed_by_a_column_that_classes_share(ws: Workspace) -> None:
    checked = read_table(ws.checked)
    rare = (checked["label"] == "a") & (np.arange(len(checked)) % 5 == 0)
    checked.loc[rare, "meta_source"] = "phone"
    checked.to_parquet(ws.checked, index=False)
    (done,) = mitigated(ws, "association")
    assert (done["subject"], done["means"]) == ("source", "reweighing")
    weights = read_table(ws.weights).set_index("sha256")["weight"]
    train = checked[(checked["split"] == "train") & (checked["verdict"] == "keep")]
    by_cell = train.assign(weight=weights.reindex(train["sha256"]).to_numpy()).groupby(["label", "meta_source"])
    assert by_cell["weight"].nunique().max() == 1
    assert by_cell["weight"].first()["a", "phone"] > 1 > by_cell["weight"].first()["a", "scanner"]
    held_out = checked[checked["split"] != "train"]
    assert (weights.reindex(held_out["sha256"]) == 1).all()


def test_a_column_that_no_two_classes_share_is_left_alone(ws: Workspace) -> None:
    assert mitigated(ws, "association") == []
    assert "no column whose values two classes share" in read_json(ws.bias)["findings"][-1]["message"]
    assert (read_table(ws.weights)["weight"] == 1).all()
