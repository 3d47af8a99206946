import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.contracts.errors import BadData
from tasks.contracts.params import IngestParams
from tasks.ingest.step import run


def put(ws, *paths, table=None):
    for path in paths:
        (ws.raw / path).parent.mkdir(parents=True, exist_ok=True)
        (ws.raw / path).write_bytes(b"x")
    if table is not None:
        (ws.raw / "metadata.csv").write_text(table)


def rows(ws, **params) -> dict[str, tuple]:
    run(ws, IngestParams(**params), seed=0)
    table = pd.read_parquet(ws.manifest)
    text = table[["label", "split"]].astype(object).where(table[["label", "split"]].notna(), None)
    return {
        path: (label, split, list(reasons))
        for path, label, split, reasons in zip(
            table["path"], text["label"], text["split"], table["reasons"], strict=True
        )
    }


def test_class_folders(ws):
    put(ws, "b/2.jpg", "b/3.jpg", "a/1.jpg", "loose.png", "a/notes.txt")
    record = run(ws, IngestParams(), seed=0)
    assert (record.found, record.labelled, record.classes, record.table, record.ignored) == (4, 3, ("a", "b"), None, 1)
    assert rows(ws) == {
        "a/1.jpg": ("a", None, []),
        "b/2.jpg": ("b", None, []),
        "b/3.jpg": ("b", None, []),
        "loose.png": (None, None, ["no_label"]),
    }


def test_the_manifest_has_a_stable_schema(ws):
    put(ws, "a/1.jpg", "b/2.jpg", "b/3.jpg", table="path,site\na/1.jpg,x\n")
    run(ws, IngestParams(), seed=0)
    schema = pq.read_schema(ws.manifest)
    place = ["archive", "offset", "stored_bytes", "deflated"]
    assert schema.names == ["path", "label", "split", "group", "reasons", *place, "meta_site"]
    assert schema.field("reasons").type == pa.list_(pa.field("element", pa.string()))
    assert pa.types.is_large_string(schema.field("split").type)
    assert pa.types.is_large_string(schema.field("archive").type)
    assert [schema.field(name).type for name in place[1:]] == [pa.int64(), pa.int64(), pa.bool_()]


def test_a_table_adds_split_group_and_metadata(ws):
    put(ws, "a/1.jpg", "b/2.jpg", "b/3.jpg", table="path,split,group,site\na/1.jpg,test,g,x\nb/2.jpg,train,,y\n")
    assert rows(ws) == {"a/1.jpg": ("a", "test", []), "b/2.jpg": ("b", "train", []), "b/3.jpg": ("b", None, [])}
    assert list(pd.read_parquet(ws.manifest)["meta_site"].fillna("null")) == ["x", "y", "null"]


def test_one_folder_and_a_table_with_labels(ws):
    table = "path,label\nimages/1.jpg,NA\nimages/2.jpg,dog\nimages/4.jpg,dog\n"
    put(ws, "images/1.jpg", "images/2.jpg", "images/3.jpg", "images/4.jpg", table=table)
    assert rows(ws) == {
        "images/1.jpg": ("NA", None, []),
        "images/2.jpg": ("dog", None, []),
        "images/3.jpg": (None, None, ["no_label"]),
        "images/4.jpg": ("dog", None, []),
    }


def test_a_file_that_the_table_names_and_nobody_has(ws):
    put(ws, "a/1.jpg", "b/2.jpg", "b/3.jpg", table="path,label\na/gone.jpg,a\n")
    assert rows(ws)["a/gone.jpg"] == ("a", None, ["missing_file"])


def test_a_file_that_the_table_names_counts_whatever_its_ending(ws):
    put(ws, "x/1.txt", "x/2.txt", "x/3.txt", "x/4.txt", table="path,label\nx/1.txt,a\nx/2.txt,b\nx/3.txt,b\n")
    assert rows(ws) == {"x/1.txt": ("a", None, []), "x/2.txt": ("b", None, []), "x/3.txt": ("b", None, [])}
    assert run(ws, IngestParams(), seed=0).ignored == 1


def test_folders_and_table_that_disagree_must_be_decided(ws):
    put(ws, "a/1.jpg", "b/2.jpg", "b/3.jpg", table="path,label\na/1.jpg,b\nb/2.jpg,b\n")
    with pytest.raises(BadData, match=r"1 of 2 images; set ingest\.labels_from"):
        run(ws, IngestParams(), seed=0)
    put(ws, table="path,label\na/1.jpg,dog\nb/2.jpg,cat\nb/3.jpg,cat\n")
    assert [row[0] for row in rows(ws, labels_from="table").values()] == ["dog", "cat", "cat"]
    assert [row[0] for row in rows(ws, labels_from="folders").values()] == ["a", "b", "b"]


def test_split_folders(ws):
    put(ws, "train/a/1.jpg", "train/b/2.jpg", "validation/a/3.jpg")
    assert rows(ws) == {
        "train/a/1.jpg": ("a", "train", []),
        "train/b/2.jpg": ("b", "train", []),
        "validation/a/3.jpg": ("a", "val", []),
    }


def test_a_table_may_not_contradict_split_folders(ws):
    put(ws, "train/a/1.jpg", "test/b/2.jpg", table="path,split\ntrain/a/1.jpg,test\n")
    with pytest.raises(BadData, match="another split to 1 of 1"):
        run(ws, IngestParams(), seed=0)


@pytest.mark.parametrize(
    ("paths", "params", "said"),
    [
        ([], {}, "no images"),
        (["a/notes.txt"], {}, "no images"),
        (["1.jpg", "2.jpg"], {}, "no image has a label"),
        (["a/1.jpg", "a/2.jpg"], {}, "one class, 'a'"),
        (["a/1.jpg", "b/1.jpg"], {"labels_from": "table"}, "no table with a filled column `label`"),
        (["a/1.jpg", "b/1.jpg"], {"table": "labels.csv"}, "labels.csv is missing"),
    ],
)
def test_what_cannot_be_a_data_set_is_refused(ws, paths, params, said):
    put(ws, *paths)
    with pytest.raises(BadData, match=said):
        run(ws, IngestParams(**params), seed=0)
    assert not ws.manifest.exists()


def test_no_folder_or_a_file_in_its_place(ws):
    ws.raw.rmdir()
    with pytest.raises(BadData, match="is missing"):
        run(ws, IngestParams(), seed=0)
    ws.raw.write_text("x")
    with pytest.raises(BadData, match="is a file"):
        run(ws, IngestParams(), seed=0)


def test_equal_folders_give_equal_bytes(ws):
    put(ws, "b/2.jpg", "b/3.jpg", "a/1.jpg", table="path,site\na/1.jpg,x\n")
    run(ws, IngestParams(), seed=0)
    first = ws.manifest.read_bytes()
    run(ws, IngestParams(), seed=1)
    assert ws.manifest.read_bytes() == first
