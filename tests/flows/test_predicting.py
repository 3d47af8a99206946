"""What `graft predict` answers: to files, folders, patterns and lists; on the screen, as JSON and as tables."""

import io
import json
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from flows.cli import main
from tasks.contracts.workspace import Workspace
from tasks.register.registry import bundle_of, find_version
from tests.conftest import CLASSES, draw, write_images


@pytest.fixture
def photos(tmp_path):
    """Two images of each class in folders, and one file that is no image."""
    folder = write_images(tmp_path / "new", 2, seed=7)
    (folder / "circles" / "bad.png").write_bytes(b"no image")
    return folder


def predicted(capsys, ws: Workspace, *arguments, code: int = 0) -> list[dict]:
    assert main(["--workspace", str(ws.root), "predict", "--json", *map(str, arguments)]) == code
    return json.loads(capsys.readouterr().out)


def test_one_class_is_named_where_it_alone_is_plausible(capsys, finished, photos):
    found = predicted(capsys, finished, photos / "circles" / "7_000.png", photos / "stripes" / "7_001.png")
    for one in found:
        assert one["model"] == "model@1"
        assert one["problem"] == ""
        if one["unlike"]:
            assert (one["label"], one["probability"], one["plausible"], one["probabilities"]) == ("", None, [], {})
            continue
        assert set(one["probabilities"]) == set(CLASSES)
        assert sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-4)
        assert one["probability"] == max(one["probabilities"].values())
        assert one["label"] == (one["plausible"][0] if len(one["plausible"]) == 1 else "")
        assert bool(one["why"]) == (one["label"] == "")
        assert one["label"] in ("", max(one["probabilities"], key=one["probabilities"].get))
    assert any(one["label"] for one in found)


def test_a_higher_coverage_names_no_fewer_classes(capsys, finished, photos):
    low, high = (predicted(capsys, finished, photos / "crosses", "--coverage", c) for c in (0.5, 0.9))
    for a, b in zip(low, high, strict=True):
        assert set(a["plausible"]) <= set(b["plausible"])


def test_folders_patterns_and_lists_mean_the_same_files(capsys, finished, photos, monkeypatch):
    (photos / "crosses" / "notes.txt").write_text("left out")
    (photos / "crosses" / ".hidden.png").write_bytes(b"left out")
    by_folder = predicted(capsys, finished, photos / "crosses")
    by_pattern = predicted(capsys, finished, photos / "cro*" / "**" / "*.png")
    listed = "".join(f"{one['path']}\n" for one in by_folder)
    monkeypatch.setattr(sys, "stdin", io.StringIO(listed))
    assert by_folder == by_pattern == predicted(capsys, finished, "-", photos / "crosses" / "7_000.png")
    assert [one["path"] for one in by_folder] == [str(photos / "crosses" / f"7_00{i}.png") for i in (0, 1)]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_broken_file_is_a_row_and_the_table_is_whole(capsys, finished, photos, tmp_path, suffix):
    out = tmp_path / f"found.{suffix}"
    assert main(["--workspace", str(finished.root), "predict", str(photos), "nowhere.png", "--out", str(out)]) == 3
    shown = capsys.readouterr()
    assert "2 of 8 files could not be read, the first: " in shown.err
    assert "2 not read" in shown.out
    table = pd.read_csv(out, keep_default_na=False) if suffix == "csv" else pd.read_parquet(out)
    assert len(table) == 8
    assert table["problem"].ne("").sum() == 2
    bad = table[table["problem"] != ""].set_index("path")["problem"]
    assert bad[str(photos / "circles" / "bad.png")].startswith("not_an_image")
    assert bad["nowhere.png"].startswith("missing_file")


def test_a_file_name_is_no_formula(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(draw("stripes", np.random.default_rng(5))).save("=1+1.png")
    assert main(["--workspace", str(finished.root), "predict", "=1+1.png", "--out", "found.csv"]) == 0
    assert (tmp_path / "found.csv").read_text().splitlines()[1].startswith("'=1+1.png,")


def test_an_interruption_leaves_the_old_table(finished, photos, tmp_path, monkeypatch):
    out = tmp_path / "found.csv"
    out.write_text("old")
    monkeypatch.setattr("tasks.predict.engine.BATCH", 1)

    def stop(*_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("tasks.predict.writing._csv_row", stop)
    assert main(["--workspace", str(finished.root), "predict", str(photos), "--out", str(out)]) == 130
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if ".part" in path.name] == []


def test_an_exported_bundle_needs_no_workspace(capsys, finished, photos, tmp_path):
    exported = shutil.copytree(bundle_of(finished, find_version(finished)), tmp_path / "exported")
    wanted = str(photos / "stripes")
    assert main(["--workspace", str(tmp_path / "none"), "predict", wanted, "--model", str(exported), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    known = predicted(capsys, finished, wanted, "--model", "model@1")
    assert [{**one, "model": "model@1"} for one in found] == known


def test_a_bundle_that_lost_its_calibration_is_refused(capsys, finished, photos, tmp_path):
    old = shutil.copytree(bundle_of(finished, find_version(finished)), tmp_path / "old")
    shutil.rmtree(old / "calibration")
    assert main(["predict", str(photos / "stripes"), "--model", str(old), "--json"]) == 5
    assert "calibration.json is missing" in capsys.readouterr().err


def test_a_broken_calibration_is_an_integrity_error(capsys, finished, photos, tmp_path):
    broken = shutil.copytree(bundle_of(finished, find_version(finished)), tmp_path / "broken")
    file = broken / "calibration" / "calibration.safetensors"
    file.write_bytes(file.read_bytes()[:-5])
    assert main(["predict", str(photos), "--model", str(broken)]) == 5
    assert "calibration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["new/*.webp"], "matches no file"),
        (["empty"], "no image"),
        (["new", "--out", "found.xlsx"], ".csv or .parquet"),
        (["new", "--coverage", "1"], "between 0 and 1"),
        (["new", "--coverage", "0.9999"], "needs 9999 images in val and promotion"),
        (["new", "--model", "model@9"], "no version model@9"),
        (["new", "--model", "empty"], "no bundle"),
    ],
)
def test_what_cannot_be_meant_is_refused(capsys, finished, photos, tmp_path, monkeypatch, arguments, said):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["--workspace", str(finished.root), "predict", *arguments])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert said in capsys.readouterr().err
