"""Archives among the sources: rows, labels, tables and warnings."""

import os
import zlib

import pandas as pd
import pytest

from tasks.ingest.folders import list_files
from tests.ingest.packing import write_tar, write_zip
from tests.ingest.workspaces import CLASSES, ingest, put, refusal


def test_archives_are_transparent_for_labels_and_splits(ws):
    write_tar(ws.raw / "train/cat/a.tar", {"1.jpg": b"", "sub/2.jpg": b""})
    write_zip(ws.raw / "train/b.zip", {"dog/3.jpg": b"x"})
    write_tar(ws.raw / "c.tar", {"test/dog/4.jpg": b""})
    ingest(ws)
    table = pd.read_parquet(ws.manifest).set_index("path")
    assert dict(zip(table.index, zip(table["label"], table["split"], strict=True), strict=True)) == {
        "c.tar/test/dog/4.jpg": ("dog", "test"),
        "train/b.zip/dog/3.jpg": ("dog", "train"),
        "train/cat/a.tar/1.jpg": ("cat", "train"),
        "train/cat/a.tar/sub/2.jpg": ("cat", "train"),
    }


def test_a_row_says_where_a_member_lies(ws):
    put(ws, "cat/plain.jpg")
    write_tar(ws.raw / "cat/a.tar", {"1.jpg": b"first picture"})
    write_zip(ws.raw / "b.zip", {"dog/2.jpg": b"second picture" * 9})
    ingest(ws)
    table = pd.read_parquet(ws.manifest).set_index("path")
    plain = table.loc["cat/plain.jpg", ["archive", "offset", "stored_bytes"]]
    assert plain.isna().all()
    assert list(table["deflated"]) == [True, False, False]
    read = {}
    for path, row in table[table["archive"].notna()].iterrows():
        data = (ws.raw / row["archive"]).read_bytes()[row["offset"] :][: row["stored_bytes"]]
        read[path] = zlib.decompress(data, -15) if row["deflated"] else data
    assert read == {"cat/a.tar/1.jpg": b"first picture", "b.zip/dog/2.jpg": b"second picture" * 9}


def test_a_table_names_members_and_those_that_are_missing(ws):
    write_tar(ws.raw / "a.tar", {"cat/1.jpg": b"", "dog/2.jpg": b"", "dog/3.jpg": b"", "dog/4.txt": b""})
    put(ws, table="path,split\na.tar/cat/1.jpg,test\na.tar/dog/9.jpg,train\na.tar/dog/4.txt,train\n")
    record = ingest(ws)
    assert (record.found, record.ignored) == (5, 0)
    table = pd.read_parquet(ws.manifest).set_index("path")
    assert list(table["label"]) == ["cat", "dog", "dog", "dog", "dog"]
    assert list(table.loc["a.tar/dog/9.jpg", "reasons"]) == ["missing_file"]
    assert table.loc["a.tar/dog/4.txt", "offset"] > 0


@pytest.mark.parametrize("name", ["a.tar.gz", "a.TGZ", "x/a.tar.xz", "a.tar.bz2", "a.tar.zst"])
def test_a_compressed_tar_is_refused_with_the_remedy(ws, name):
    put(ws, *CLASSES, name)
    said = refusal(ws)
    assert name in said
    assert "decompress it to a.tar" in said


def test_an_archive_that_may_not_be_read_is_a_row(ws, monkeypatch):
    put(ws, *CLASSES)
    write_tar(ws.raw / "a.tar", {"cat/1.jpg": b""})
    monkeypatch.setattr(os, "access", lambda path, _: path != ws.raw / "a.tar")  # root may read everything
    assert (list_files(ws.raw).files[0].path, list_files(ws.raw).files[0].reasons) == ("a.tar", ("unreadable",))


def test_archives_whose_names_sound_like_splits_are_warned_of_unless_splits_are_declared(ws):
    write_tar(ws.raw / "train-0001.tar", {"cat/1.jpg": b"", "cat/2.jpg": b""})
    write_tar(ws.raw / "test.tar", {"dog/3.jpg": b""})
    assert ingest(ws).warnings[0].startswith("the name of test.tar, train-0001.tar declares no split")
    put(ws, table="path,split\ntest.tar/dog/3.jpg,test\n")
    assert ingest(ws).warnings == ()
    (ws.raw / "train-0001.tar").rename(ws.raw / "trainspotting.tar")
    (ws.raw / "test.tar").rename(ws.raw / "b.tar")
    (ws.raw / "metadata.csv").unlink()
    assert ingest(ws).warnings == ()


def test_a_table_in_an_archive_is_not_looked_for_and_that_is_said(ws, capsys):
    write_zip(ws.raw / "z.zip", {"metadata.csv": b"path,label\n", "1.jpg": b"", "2.jpg": b""})
    assert "no image has a label" in refusal(ws)
    assert "z.zip/metadata.csv is not read" in capsys.readouterr().err
