import json
import warnings

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.contracts.errors import BadUsage
from tasks.contracts.params import IngestParams, Limits, QualityParams
from tasks.contracts.prepared import open_checked
from tasks.contracts.records import read_json
from tasks.contracts.workspace import Workspace
from tasks.ingest.step import run as ingest
from tasks.quality.first_contract import first_contract
from tasks.quality.step import run

PARAMS = QualityParams(prepared_px=32)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:great_expectations")


@pytest.fixture(autouse=True, scope="module")
def _import_once():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import great_expectations  # noqa: F401


@pytest.fixture
def ws(tmp_path) -> Workspace:
    """Two classes of 30 noisy images, some of them spoilt."""
    ws = Workspace(tmp_path)
    ws.decisions.write_text("hash,action,value,who,when,why\n")
    ws.contract.write_text(first_contract(None))
    rng = np.random.default_rng(0)
    for label in ("a", "b"):
        (ws.raw / label).mkdir(parents=True)
        for i in range(30):
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(ws.raw / f"{label}/{i:02}.png")
    raw = ws.raw
    (raw / "a/copy.png").write_bytes((raw / "a/00.png").read_bytes())
    (raw / "b/conflict.png").write_bytes((raw / "a/01.png").read_bytes())
    (raw / "a/cut.png").write_bytes((raw / "a/02.png").read_bytes()[:500])
    Image.new("RGB", (40, 40)).save(raw / "b/black.png")
    (raw / "loose.png").write_bytes((raw / "a/03.png").read_bytes())
    ingest(ws, IngestParams(), 0)
    return ws


def verdicts(ws) -> dict[str, tuple[str, list[str]]]:
    table = pd.read_parquet(ws.checked)
    return {p: (v, list(r)) for p, v, r in zip(table["path"], table["verdict"], table["reasons"], strict=True)}


def test_everything_found_is_kept_or_quarantined_with_its_reason(ws):
    report = run(ws, PARAMS, 0)
    assert report.found == report.kept + report.quarantined == 65
    assert {path: row for path, row in verdicts(ws).items() if row[0] != "keep"} == {
        "a/copy.png": ("quarantine", ["duplicate"]),
        "a/01.png": ("quarantine", ["conflicting_labels"]),
        "b/conflict.png": ("quarantine", ["conflicting_labels"]),
        "a/cut.png": ("quarantine", ["truncated"]),
        "b/black.png": ("quarantine", ["dark", "low_contrast", "low_information"]),
        "loose.png": ("quarantine", ["no_label"]),
    }
    assert report.reasons["conflicting_labels"] == 2
    assert all(rule.success for rule in report.contract)
    assert len(report.contract) >= 10


def test_a_mirrored_copy_under_another_label_is_kept_beside_it_and_said(ws):
    Image.fromarray(np.asarray(Image.open(ws.raw / "a/05.png"))[:, ::-1]).save(ws.raw / "b/mirrored.png")
    ingest(ws, IngestParams(), 0)
    report = run(ws, PARAMS, 0)
    table = pd.read_parquet(ws.checked).set_index("path").loc[["a/05.png", "b/mirrored.png"]]
    assert [list(reasons) for reasons in table["reasons"]] == [["suspect_label"]] * 2
    assert (table["verdict"] == "warn").all()
    assert table["split"].nunique() == table["component"].nunique() == 1
    said = next(finding for finding in report.findings if finding.check == "near_duplicates_of_two_labels")
    assert said.evidence == ("a/05.png", "b/mirrored.png")


def test_the_outputs_fit_each_other(ws):
    run(ws, PARAMS, 0)
    table = pd.read_parquet(ws.checked)
    kept = table[table["verdict"] != "quarantine"]
    checked, array = open_checked(ws)
    rows = checked["pixels"][kept.index]
    assert array.shape[1:] == (32, 32, 3)
    assert rows.is_unique
    assert rows.between(0, len(array) - 1).all()
    assert kept["split"].notna().all()
    assert table.loc[table["verdict"] == "quarantine", "split"].isna().all()
    assert len(pd.read_parquet(ws.duplicates)) == 2
    assert read_json(ws.quality)["kept"] == len(kept)


def test_equal_inputs_give_equal_bytes(ws):
    files = (ws.checked, ws.duplicates, ws.quality, ws.splits, ws.label_errors, ws.suspects)
    run(ws, PARAMS, 0)
    first = [file.read_bytes() for file in files]
    run(ws, PARAMS, 0)
    assert [file.read_bytes() for file in files] == first


def test_one_more_image_moves_no_other(ws):
    run(ws, PARAMS, 0)
    before = pd.read_parquet(ws.checked).set_index("path")["split"].dropna()
    Image.fromarray(np.random.default_rng(9).integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(ws.raw / "a/new.png")
    ingest(ws, IngestParams(), 0)
    run(ws, PARAMS, 0)
    after = pd.read_parquet(ws.checked).set_index("path")["split"]
    assert after[before.index].equals(before)


def test_a_group_in_two_splits_loses_its_smaller_side(ws):
    table = "path,split,group\na/04.png,train,g\na/05.png,train,g\nb/06.png,test,g\n"
    (ws.raw / "metadata.csv").write_text(table)
    ingest(ws, IngestParams(), 0)
    report = run(ws, PARAMS, 0)
    assert verdicts(ws)["b/06.png"] == ("quarantine", ["group_crosses_splits"])
    assert verdicts(ws)["a/04.png"] == ("keep", [])
    assert "group_crosses_splits" in {finding.check for finding in report.findings}


def test_a_copy_in_another_split_is_a_finding(ws):
    (ws.raw / "metadata.csv").write_text("path,split\na/00.png,train\na/copy.png,test\n")
    ingest(ws, IngestParams(), 0)
    report = run(ws, PARAMS, 0)
    assert verdicts(ws)["a/00.png"] == ("quarantine", ["duplicate"])
    assert verdicts(ws)["a/copy.png"] == ("keep", [])
    assert [f.evidence for f in report.findings if f.check == "duplicates_across_splits"] == [("a/00.png",)]


def test_a_broken_contract_is_an_error_that_stops_nothing(ws):
    report = run(ws, QualityParams(prepared_px=32, limits=Limits(min_side_px=64)), 0)
    assert report.kept == 0
    broken = [rule.rule for rule in report.contract if not rule.success]
    assert "at least 50% of the files are kept" in broken
    assert "every class has a kept image in train" in broken
    assert report.findings[0].severity == "error"


def test_the_users_contract_is_held_beside_grafts_own_and_all_results_are_kept(ws):
    sharp = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "width", "max_value": 10}}
    classes = {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "label", "value_set": ["a"]}}
    suite = {"expectations": [{**sharp, "severity": "warning", "notes": "small"}, classes]}
    ws.contract.write_text(json.dumps(suite))
    report = run(ws, PARAMS, 0)
    small, labels = report.contract[-2:]
    assert (small.success, small.severity, small.source) == (False, "warn", "contract.json, expectation 1")
    assert (labels.success, labels.severity, labels.examples) == (False, "error", ("b",))
    severities = {f.message: f.severity for f in report.findings if f.check == "contract"}
    assert severities["the data contract is broken: small"] == "warn"
    assert set(severities.values()) == {"warn", "error"}
    results = json.loads(ws.contract_results.read_text())
    assert len(results["results"]) == len(report.contract)
    before = ws.contract_results.read_bytes()
    run(ws, PARAMS, 0)
    assert ws.contract_results.read_bytes() == before


def test_a_contract_that_is_missing_is_refused_before_the_work(ws):
    ws.contract.unlink()
    with pytest.raises(BadUsage, match=r"contract.json is missing; `graft init"):
        run(ws, PARAMS, 0)
    assert not ws.checked.exists()
