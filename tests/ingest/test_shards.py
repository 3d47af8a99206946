"""WebDataset's sidecars: what they say, what of it counts, and what is asked."""

import json

import pandas as pd
import pytest

from tasks.contracts.errors import BadData
from tasks.contracts.params import IngestParams
from tasks.ingest.step import run
from tests.ingest.packing import write_tar, write_zip


def shard(ws, files: dict[str, bytes | str], name: str = "train-000.tar"):
    write_tar(ws.raw / name, {path: data if isinstance(data, bytes) else data.encode() for path, data in files.items()})


def manifest(ws, **params) -> pd.DataFrame:
    run(ws, IngestParams(**params), seed=0)
    return pd.read_parquet(ws.manifest).set_index("path")


def labels(ws, **params) -> list[str | None]:
    table = manifest(ws, **params)["label"]
    return table.astype(object).where(table.notna(), None).tolist()


def test_labels_from_cls_json_and_txt(ws):
    shard(
        ws,
        {
            "1.jpg": b"1", "1.cls": "7\n",
            "2.jpg": b"2", "2.json": '{"label": 7}',
            "3.jpg": b"3", "3.txt": "red panda",
            "4.jpg": b"4", "4.cls": "red panda", "4.txt": "a caption of it",
            "5.jpg": b"5", "5.txt": "a caption\nof two lines",
            "6.jpg": b"6",
        },
    )  # fmt: skip
    assert labels(ws) == ["7", "7", "red panda", "red panda", None, None]
    record = run(ws, IngestParams(), seed=0)
    assert (record.found, record.labelled, record.sidecars, record.ignored, record.archives) == (6, 4, 4, 2, 1)


def test_the_key_ends_at_the_first_dot_and_includes_the_folder(ws):
    shard(
        ws,
        {
            "x/1.left.jpg": b"", "x/1.right.png": b"", "x/1.cls": "a",
            "y/1.jpg": b"", "y/1.CLS": "b",
            "y/orphan.cls": "c",
        },
    )  # fmt: skip
    assert labels(ws, labels_from="sidecars") == ["a", "a", "b"]
    assert run(ws, IngestParams(labels_from="sidecars"), seed=0).ignored == 1


def test_an_object_gives_metadata_split_and_group(ws):
    for i in range(3):
        said = {"label": "ab"[i % 2], "split": ["train", "test", None][i], "patient": f"p{i}", "age": 30 + i}
        shard(ws, {"1.jpg": b"", "1.json": json.dumps({**said, "boxes": [1], "path": "other"})}, f"{i}.tar")
    table = manifest(ws, group="patient")
    assert list(table["split"].fillna("null")) == ["train", "test", "null"]
    assert list(table["group"]) == ["p0", "p1", "p2"]
    assert list(table["meta_age"]) == [30, 31, 32]
    assert [name for name in table if name.startswith("meta_")] == ["meta_patient", "meta_age"]


def test_a_table_adds_to_sidecars_and_may_not_contradict_them(ws):
    shard(ws, {"1.jpg": b"", "1.cls": "a", "2.jpg": b"", "2.cls": "b", "3.jpg": b""}, "s.tar")
    (ws.raw / "metadata.csv").write_text("path,label,site\ns.tar/3.jpg,a,x\ns.tar/1.jpg,a,y\n")
    table = manifest(ws)
    assert list(table["label"]) == ["a", "b", "a"]
    assert list(table["meta_site"].fillna("null")) == ["y", "null", "x"]
    (ws.raw / "metadata.csv").write_text("path,label\ns.tar/1.jpg,b\ns.tar/2.jpg,b\ns.tar/3.jpg,a\n")
    with pytest.raises(BadData, match=r"sidecars and table give another label to 1 of 2 images.*'s\.tar/1\.jpg'"):
        run(ws, IngestParams(), seed=0)
    assert labels(ws, labels_from="table") == ["b", "b", "a"]
    (ws.raw / "metadata.csv").write_text("path\ns.tar/1.jpg\n")
    with pytest.raises(BadData, match=r"`table`, but there is no table with a filled column"):
        run(ws, IngestParams(labels_from="table"), seed=0)


def test_folders_that_contradict_sidecars_must_be_decided(ws):
    shard(ws, {"a/1.jpg": b"", "a/1.cls": "b", "b/2.jpg": b"", "b/2.cls": "b", "b/3.jpg": b"", "b/3.cls": "c"})
    with pytest.raises(BadData, match=r"folders and sidecars give another label to 2 of 3"):
        run(ws, IngestParams(), seed=0)
    assert labels(ws, labels_from="folders") == ["a", "b", "b"]
    assert labels(ws, labels_from="sidecars") == ["b", "b", "c"]


def test_one_folder_in_a_shard_is_no_class(ws):
    shard(ws, {"images/1.jpg": b"", "images/1.cls": "a", "images/2.jpg": b"", "images/2.cls": "b", "images/3.jpg": b""})
    (ws.raw / "metadata.csv").write_text("path,label\ntrain-000.tar/images/3.jpg,b\n")
    assert labels(ws) == ["a", "b", "b"]


def test_cls_and_json_that_differ_are_refused_unless_neither_counts(ws):
    pair = {"1.cls": "a", "1.json": '{"label": "b"}', "2.cls": "3", "2.json": '{"label": 3.0}'}
    shard(ws, {"x/1.jpg": b"", "y/2.jpg": b"", "y/3.jpg": b"", **{f"x/{k}": v for k, v in pair.items()}})
    with pytest.raises(BadData, match=r"x/1: \.json gives the label 'b', \.cls 'a'"):
        run(ws, IngestParams(), seed=0)
    assert labels(ws, labels_from="folders") == ["x", "y", "y"]


def test_numbers_that_are_equal_agree(ws):
    shard(
        ws,
        {
            "1.jpg": b"",
            "1.cls": "3",
            "1.json": '{"label": 3.0}',
            "2.jpg": b"",
            "2.cls": "3",
            "3.jpg": b"",
            "3.cls": "4",
        },
    )
    assert labels(ws) == ["3", "3", "4"]


@pytest.mark.parametrize(
    ("sidecar", "said"),
    [
        ({"1.json": '{"label": ["a", "b"]}'}, "['a', 'b'] as label"),
        ({"1.json": '{"label": {"a": 1}}'}, "as label"),
        ({"1.cls": "a\nb"}, "1.cls has several lines"),
        ({"1.cls": "[1, 2]"}, "[1, 2] as label"),
        ({"1.json": '{"label": "a"'}, "1.json is no JSON object"),
        ({"1.json": "[1]"}, "1.json is no JSON object"),
        ({"1.json": '{"label": "a", "split": "dev"}'}, "unknown split 'dev'"),
        ({"1.cls": b"\xff"}, "1.cls is not UTF-8"),
        ({"1.json": b"{}".ljust(1_000_001)}, "has 1,000,001 bytes"),
    ],
)
def test_case_45_a_sidecar_that_gives_no_single_label_is_refused(ws, sidecar, said):
    shard(ws, {"1.jpg": b"", **sidecar})
    with pytest.raises(BadData, match=r"train-000\.tar/1") as caught:
        run(ws, IngestParams(), seed=0)
    assert said in str(caught.value)


def test_in_a_zip_or_a_folder_the_same_files_are_no_sidecars(ws):
    write_zip(ws.raw / "z.zip", {"a/1.jpg": b"", "a/1.cls": b"x", "b/2.jpg": b"", "b/3.jpg": b""})
    (ws.raw / "a").mkdir()
    (ws.raw / "a/4.jpg").touch()
    (ws.raw / "a/4.txt").write_text("x")
    assert labels(ws) == ["a", "a", "b", "b"]
    assert run(ws, IngestParams(), seed=0).sidecars == 0


def test_a_group_that_neither_table_nor_sidecar_has(ws):
    shard(ws, {"1.jpg": b"", "1.json": '{"label": "a", "site": "x"}'})
    with pytest.raises(BadData, match=r"ingest\.group is patient"):
        run(ws, IngestParams(group="patient"), seed=0)


def test_a_sidecar_that_the_table_names_is_a_row_and_counted_once(ws):
    shard(ws, {"1.jpg": b"", "1.cls": "a", "2.jpg": b"", "2.cls": "b"}, "s.tar")
    (ws.raw / "metadata.csv").write_text("path,label\ns.tar/2.cls,b\n")
    record = run(ws, IngestParams(), seed=0)
    assert (record.found, record.sidecars, record.ignored) == (3, 1, 0)
