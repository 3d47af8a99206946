from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.contracts.errors import BadUsage
from tasks.ingest.crops import PHOTOGRAPHS, crops
from tasks.ingest.demo import make_demo


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "raw"
    return folder, make_demo(folder, seed=0)


@pytest.fixture(scope="module")
def table(made):
    return pd.read_csv(made[0] / "metadata.csv", keep_default_na=False)


def overlap(a, b) -> int:
    wide = min(a.x + a.size_px, b.x + b.size_px) - max(a.x, b.x)
    high = min(a.y + a.size_px, b.y + b.size_px) - max(a.y, b.y)
    return max(0, wide) * max(0, high)


@pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=lambda one: one.label)
def test_crops_overlap_at_most_a_quarter_and_never_across_splits(photograph):
    for a, b in combinations(crops(photograph, np.random.default_rng(1)), 2):
        shared = overlap(a, b)
        assert shared <= 0.25 * min(a.size_px, b.size_px) ** 2
        assert shared == 0 or a.split == b.split


@pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=lambda one: one.label)
def test_crops_stay_in_the_box_and_fill_every_split(photograph):
    left, top, width, height = photograph.box
    cut = list(crops(photograph, np.random.default_rng(1)))
    assert min(c.x for c in cut) >= left
    assert min(c.y for c in cut) >= top
    assert max(c.x + c.size_px for c in cut) <= left + width
    assert max(c.y + c.size_px for c in cut) <= top + height
    assert {c.split for c in cut} == {"train", "val", "promotion", "test"}


def test_it_is_large_enough_and_little_of_it_is_train(made):
    _, demo = made
    assert demo.files >= 1200
    assert len(demo.classes) >= 12
    assert 0.2 < demo.splits["train"] / demo.files < 0.4
    assert {flaw: len(paths) for flaw, paths in demo.planted.items() if flaw != "watermark"} == {
        "dark": 8,
        "duplicate": 4,
        "duplicate_across_classes": 8,
        "text": 2,
        "truncated": 6,
        "wrong_label": 8,
    }


def test_the_table_names_every_file_and_each_flaw(made, table):
    folder, demo = made
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files - {"metadata.csv"} == set(table["path"])
    for flaw, paths in demo.planted.items():
        assert tuple(table.loc[table["planted"] == flaw, "path"]) == paths


def test_wrong_labels_are_wrong_and_only_in_train(table):
    source = {photograph.label: Path(photograph.file).name for photograph in PHOTOGRAPHS}
    wrong = table["path"].str.split("/").str[0].map(source) != table["source"]
    assert set(table.loc[wrong, "planted"]) == {"wrong_label", "duplicate_across_classes", "text"}
    assert set(table.loc[table["planted"] == "wrong_label", "split"]) == {"train"}


def test_the_watermark_goes_with_one_class_in_train(table):
    marked = table[table["planted"] == "watermark"]
    assert set(marked["path"].str.split("/").str[0]) == {"coffee"}
    assert set(marked["split"]) == {"train"}
    of_class = table[table["path"].str.startswith("coffee/") & (table["split"] == "train")]
    assert len(marked) / len(of_class) > 0.8


def test_equal_seeds_give_equal_bytes(made, tmp_path):
    folder, demo = made
    assert make_demo(tmp_path / "again", seed=0) == demo
    for path in sorted(folder.rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(folder)).read_bytes()


def test_it_does_not_write_over_files(tmp_path):
    (tmp_path / "mine.jpg").touch()
    with pytest.raises(BadUsage, match="not empty"):
        make_demo(tmp_path, seed=0)
