"""Bad labels and tables, by the numbers of the list of faults that graft survives."""

import csv
import io

import pandas as pd
import pytest

from tasks.contracts.csv_text import csv_safe
from tests.ingest.packing import write_tar, write_zip
from tests.ingest.workspaces import CLASSES, ingest, put, reasons, refusal


def test_case_33_an_empty_class_folder_is_named(ws):
    put(ws, *CLASSES, "bird/.DS_Store")
    assert "the class folder 'bird' is empty" in refusal(ws)
    put(ws, "bird/1.jpg")
    (ws.raw / "cat/empty").mkdir()  # no class of its own
    assert ingest(ws).classes == ("bird", "cat", "dog")


def test_case_33_an_empty_class_folder_in_an_archive(ws):
    write_zip(ws.raw / "z.zip", {"bird/": b"", **dict.fromkeys(CLASSES, b"x")})
    assert "the class folder 'bird' is empty" in refusal(ws)


def test_case_33_folders_that_are_no_classes_may_be_empty(ws):
    (ws.raw / "spare").mkdir()
    put(
        ws,
        "images/1.jpg",
        "images/2.jpg",
        "images/3.jpg",
        table="path,label\nimages/1.jpg,a\nimages/2.jpg,b\nimages/3.jpg,b\n",
    )
    assert ingest(ws).classes == ("a", "b")


def test_case_34_a_class_that_is_missing_from_a_split_is_no_error(ws):
    put(ws, "train/cat/1.jpg", "train/cat/2.jpg", "train/dog/3.jpg", "test/cat/4.jpg")
    (ws.raw / "test/dog").mkdir()
    assert ingest(ws).classes == ("cat", "dog")


def test_case_36_the_order_of_numbered_classes_is_stored(ws):
    put(ws, "10/a.jpg", "9/b.jpg", "1/c.jpg", "1/d.jpg", "2/e.jpg", "other/f.jpg")
    assert ingest(ws).classes == ("1", "2", "9", "10", "other")


def test_case_37_labels_that_differ_in_writing_only_are_warned_of(ws, capsys):
    put(ws, *CLASSES, "Cat/5.jpg", "ice cream/6.jpg", "ice_cream/7.jpg")
    record = ingest(ws)
    assert [line.split(" are ")[0] for line in record.warnings] == [
        "the labels 'Cat', 'cat'",
        "the labels 'ice cream', 'ice_cream'",
    ]
    said = capsys.readouterr().err
    assert all(f"warning: {line}" in said for line in record.warnings)


def test_case_39_every_oddity_of_a_csv_has_its_exact_count(ws):
    put(ws, *(f"images/{i}.jpg" for i in range(1, 8)), "images/unused.jpg")
    rows = [
        "path;label;note",
        "images/1.jpg;NA;plain",
        'images/2.jpg;NaN;"two\r\nlines; and ""quotes"""',
        "images/3.jpg;null;",
        "images/3.jpg;null;",  # the same row again
        "",
        "images/4.jpg;;no label",
        "images/5.jpg;NA;",
        "images/6.jpg; NaN ;",
        "images/7.jpg;None;",
        "images/gone.jpg;NA;missing",
    ]
    put(ws, table=b"\xef\xbb\xbf" + "\r\n".join(rows).encode())
    record = ingest(ws)
    assert (record.found, record.labelled, record.ignored) == (9, 7, 0)
    assert record.classes == ("NA", "NaN", "None", "null")
    found = reasons(ws)
    assert {path: ids for path, ids in found.items() if ids} == {
        "images/4.jpg": ["no_label"],
        "images/gone.jpg": ["missing_file"],
        "images/unused.jpg": ["no_label"],
    }
    notes = pd.read_parquet(ws.manifest).set_index("path")["meta_note"]
    assert notes["images/2.jpg"] == 'two\r\nlines; and "quotes"'
    assert int(notes.isna().sum()) == 5


def test_case_40_folder_labels_and_a_label_column_that_disagree_are_a_question(ws):
    put(ws, *CLASSES, table="path,label\ncat/1.jpg,cat\ncat/2.jpg,dog\n")
    said = refusal(ws)
    assert "1 of 2 images; set ingest.labels_from" in said
    assert "'cat/2.jpg' is 'cat' and 'dog'" in said
    (ws.raw / "metadata.csv").unlink()
    (ws.raw / "metadata.jsonl").write_text('{"path": "cat/2.jpg", "label": "dog"}\n')
    assert "1 of 1 images" in refusal(ws)
    assert ingest(ws, labels_from="folders").labelled == 4


@pytest.mark.parametrize("archive", [False, True])
def test_case_41_one_class_or_one_image_each_is_refused(ws, archive):
    def put_all(*paths):
        if archive:
            write_tar(ws.raw / "a.tar", dict.fromkeys(paths, b""))
        else:
            put(ws, *paths)

    put_all("cat/1.jpg", "cat/2.jpg")
    assert "one class, 'cat'" in refusal(ws)
    put_all("cat/1.jpg", "dog/2.jpg") if archive else (ws.raw / "cat/2.jpg").rename(ws.raw / "cat/2.txt")
    put(ws, *([] if archive else ["dog/2.jpg"]))
    assert "each of the 2 classes has one image" in refusal(ws)


def test_case_41_files_that_are_missing_do_not_make_a_class_learnable(ws):
    put(ws, "images/1.jpg", "images/2.jpg", table="path,label\nimages/1.jpg,a\nimages/2.jpg,b\nimages/3.jpg,b\n")
    assert "each of the 2 classes has one image" in refusal(ws)
    put(ws, table="path,label\n1.jpg,a\n2.jpg,b\n3.jpg,b\n")
    said = refusal(ws)
    assert "none of the 3 labelled files can be read, the first is '1.jpg' (missing_file)" in said


def test_case_42_ten_thousand_classes(ws):
    write_tar(ws.raw / "a.tar", {f"class{i % 10_000}/{i}.jpg": b"" for i in range(20_000)})
    record = ingest(ws)
    assert (record.found, len(record.classes), record.warnings) == (20_000, 10_000, ())


@pytest.mark.parametrize(
    "text", ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t1", "\n1", "\uff1d1+1", "-", "+a", "\u200b=1"]
)
def test_case_44_a_formula_gets_an_apostrophe(text):
    assert csv_safe(text) == f"'{text}"
    out = io.StringIO()
    csv.writer(out).writerow([csv_safe(text)])
    assert next(csv.reader(io.StringIO(out.getvalue(), newline=""))) == [f"'{text}"]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a;=1", "a;'=1"),  # two cells where semicolons part them
        ("a\t =1", "a\t' =1"),
        (';"=1', ";\"'=1"),
        ("\n=1", "'\n'=1"),
        ("\r1", "'\n1"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\x00\ud800", "a\ufffd\ufffd"),
        ("\x00=1", "'\ufffd=1"),
    ],
)
def test_case_44_nor_does_a_formula_begin_within_a_cell(text, cell):
    assert csv_safe(text) == cell


@pytest.mark.parametrize("text", ["", "cat", "a=b", "-1", "+3.5", "-1e-3", "'quoted", "1-2", " =1", "a; b", "a\n1"])
def test_case_44_what_is_no_formula_stays(text):
    assert csv_safe(text) == text


@pytest.mark.parametrize("label", ['"[""cat"", ""dog""]"', "\"['cat', 'dog']\"", "['cat']", '"[1, 2]"'])
def test_case_45_a_list_in_the_label_column_is_refused(ws, label):
    put(ws, *CLASSES, table=f"path,label\ncat/1.jpg,cat\ncat/2.jpg,{label}\n")
    assert "row 2" in refusal(ws, labels_from="table")


def test_case_45_a_list_column_of_a_parquet_table_is_refused(ws):
    put(ws, *CLASSES)
    pd.DataFrame({"path": CLASSES[:2], "label": [["cat"], ["cat", "dog"]]}).to_parquet(ws.raw / "metadata.parquet")
    assert "row 1: ['cat'] as label; graft takes one value" in refusal(ws)


def test_case_45_a_name_in_brackets_is_a_name(ws):
    put(ws, "x/1.jpg", "x/2.jpg", "x/3.jpg", table="path,label\nx/1.jpg,[UNK]\nx/2.jpg,[UNK]\nx/3.jpg,a|b\n")
    assert ingest(ws).classes == ("[UNK]", "a|b")
