import json
import shutil

import numpy as np
import pandas as pd
import pytest

from flows.workspaces import init, template
from tasks.contracts.errors import BadUsage
from tasks.contracts.workspace import Workspace
from tasks.quality.expectations import hold_contract, read_contract
from tasks.quality.first_contract import first_contract, write_first_contract
from tasks.quality.integrity import own_rules
from tasks.quality.suite import read_suite
from tests.conftest import write_images


def manifest(**columns) -> pd.DataFrame:
    base = {"path": [f"{i}.png" for i in range(20)], "label": ["10", "2", None, "1"] * 5}
    return pd.DataFrame(base | columns)


def items(text: str, column: str) -> dict[str, dict]:
    """The entries about a column, by their type."""
    entries = json.loads(text)["expectations"]
    return {one["type"]: one for one in entries if one["kwargs"].get("column") == column}


@pytest.fixture
def ws(tmp_path) -> Workspace:
    """A folder with the params alone."""
    ws = Workspace(tmp_path / "ws")
    ws.root.mkdir()
    shutil.copy(template() / "params.yaml", ws.params)
    return ws


def test_classes_are_named_once_in_their_order():
    about = items(first_contract(manifest()), "label")
    assert list(about) == ["expect_column_distinct_values_to_equal_set"]
    (one,) = about.values()
    assert one["kwargs"]["value_set"] == ["1", "2", "10"]
    assert one["severity"] == "critical"


def test_half_of_the_files_must_stay():
    (count,) = [one for one in json.loads(first_contract(manifest()))["expectations"] if "row_count" in one["type"]]
    assert count["kwargs"] == {"min_value": 10}
    assert count["meta"]["rows"] == "all"


def test_metadata_promises_what_it_was_and_only_warns():
    text = first_contract(
        manifest(
            meta_site=["north", "south"] * 10,
            meta_age=np.linspace(20, 40, 20),
            meta_sparse=["x"] + [None] * 19,
            meta_text=[f"free text {i}" for i in range(20)],
            meta_flag=[True, False] * 10,
            meta_empty=[None] * 20,
            meta_odd=[np.inf] * 20,
        )
    )
    assert items(text, "meta_site")["expect_column_values_to_be_in_set"]["kwargs"]["value_set"] == ["north", "south"]
    between = items(text, "meta_age")["expect_column_values_to_be_between"]["kwargs"]
    assert (between["min_value"], between["max_value"]) == (10, 50)
    assert items(text, "meta_flag")["expect_column_values_to_be_in_set"]["kwargs"]["value_set"] == [False, True]
    for name in ("meta_sparse", "meta_empty"):
        assert "expect_column_values_to_not_be_null" not in items(text, name)
    assert list(items(text, "meta_empty")) == ["expect_column_to_exist"]
    assert "expect_column_values_to_be_between" not in items(text, "meta_odd")
    metadata = [one for one in json.loads(text)["expectations"] if one["kwargs"].get("column", "").startswith("meta_")]
    assert {one["severity"] for one in metadata} == {"warning"}


def test_free_text_is_no_set():
    about = items(first_contract(manifest(meta_note=[f"note {i}" for i in range(20)])), "meta_note")
    assert "expect_column_values_to_be_in_set" in about  # 20 are still few
    many = pd.concat([manifest(meta_note=[f"{k} {i}" for i in range(20)]) for k in range(2)])
    assert "expect_column_values_to_be_in_set" not in items(first_contract(many), "meta_note")


def test_a_thousand_columns_and_ten_thousand_classes_make_a_contract_that_can_be_read(tmp_path):
    wide = pd.DataFrame({f"meta_{i}": np.zeros(10_000) for i in range(1000)})
    wide["label"] = [f"class {i}" for i in range(10_000)]
    path = tmp_path / "contract.json"
    path.write_text(first_contract(wide))
    assert len(read_suite(path)[0].kwargs["value_set"]) == 10_000


def test_the_first_data_meet_their_own_contract(tmp_path):
    checked = manifest(meta_site=["north", "south"] * 10, meta_age=np.linspace(20, 40, 20)).dropna()
    checked = checked.assign(
        sha256=[f"{i:064x}" for i in range(len(checked))],
        split="train",
        verdict="keep",
        reasons=[[] for _ in range(len(checked))],
        pixels_crc32=1,
    )
    path = tmp_path / "contract.json"
    path.write_text(first_contract(manifest(meta_site=["north", "south"] * 10, meta_age=np.linspace(20, 40, 20))))
    lines = hold_contract(checked, (*own_rules(checked, 0.5), *read_contract(path))).rules
    assert [line for line in lines if not line.success] == []


def test_great_expectations_reads_it_as_its_own():
    import great_expectations as gx

    text = first_contract(manifest(meta_site=["north", "south"] * 10))
    loaded = gx.ExpectationSuite(**json.loads(text))
    assert len(loaded.expectations) == len(json.loads(text)["expectations"])


def test_init_writes_it_from_labels_alone_and_commits_it(tmp_path):
    photos = write_images(tmp_path / "photos", 3)
    for image in photos.rglob("*.png"):
        image.write_bytes(b"no image at all, but it is not opened")
    ws = init(tmp_path / "ws", photos)
    assert read_suite(ws.contract)[0].kwargs["value_set"] == ["circles", "crosses", "stripes"]
    first = ws.contract.read_text()
    assert "contract.json" not in git_status(ws)
    shutil.rmtree(ws.raw / "stripes")
    init(ws.root)
    assert ws.contract.read_text() == first
    ws.contract.unlink()
    init(ws.root)
    assert read_suite(ws.contract)[0].kwargs["value_set"] == ["circles", "crosses"]


def git_status(ws) -> str:
    from flows.workspaces import git

    return git(ws, "status", "--porcelain")


def test_without_data_it_is_general_and_says_how_to_get_another(ws):
    write_first_contract(ws)
    document = json.loads(ws.contract.read_text())
    assert items(ws.contract.read_text(), "label") == {}
    assert "graft init" in document["notes"]
    assert read_suite(ws.contract)


def test_the_workspace_that_graft_itself_is_has_the_general_one():
    assert (template() / "contract.json").read_text() == first_contract(None)


def test_data_that_cannot_be_told_apart_yet_stop_no_init(ws, capsys):
    ws.raw.mkdir(parents=True)
    write_first_contract(ws)
    assert items(ws.contract.read_text(), "label") == {}
    assert "contract.json does not name the classes yet" in capsys.readouterr().err


def test_what_is_there_is_never_touched_however_broken(ws):
    ws.contract.write_text("{ mine")
    write_first_contract(ws)
    assert ws.contract.read_text() == "{ mine"
    with pytest.raises(BadUsage):
        read_suite(ws.contract)
