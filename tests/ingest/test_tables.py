import pandas as pd
import pytest

from tasks.contracts.errors import BadData
from tasks.contracts.params import IngestParams
from tasks.ingest.tables import find_table, read_table


def table_of(tmp_path, text: str | bytes, **params) -> pd.DataFrame:
    path = tmp_path / "metadata.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, IngestParams(**params))


def problem(tmp_path, text: str | bytes, **params) -> str:
    with pytest.raises(BadData) as caught:
        table_of(tmp_path, text, **params)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.jpg,NA\nb.jpg,nan\n",
        b"\xef\xbb\xbfpath;label\r\na.jpg;NA\r\nb.jpg;nan\r\n",
        'file_name\tlabel\n"a.jpg"\tNA\n\n./b.jpg\t nan \n',
    ],
)
def test_bom_separator_line_ends_and_missing_words(tmp_path, text):
    table = table_of(tmp_path, text)
    assert list(table["path"]) == ["a.jpg", "b.jpg"]
    assert list(table["label"]) == ["NA", "nan"]


def test_labels_are_text_and_empty_is_null(tmp_path):
    table = table_of(tmp_path, "path,label\na,1\nb,10\nc,\n")
    assert list(table["label"].fillna("null")) == ["1", "10", "null"]


def test_a_quoted_line_end_stays_in_its_value(tmp_path):
    table = table_of(tmp_path, 'path,label,note\na,x,"two\nlines; and, more"\nb,y,\n')
    assert table["meta_note"][0] == "two\nlines; and, more"


def test_metadata_keeps_its_kind(tmp_path):
    table = table_of(tmp_path, "path,age,code,site\na,3.5,007,x\nb,,008,\n")
    assert table["meta_age"].dtype == "float64"
    assert list(table["meta_code"]) == ["007", "008"]
    assert table["meta_site"].isna().tolist() == [False, True]


def test_splits_get_grafts_names(tmp_path):
    table = table_of(tmp_path, "path,split\na,Train\nb,validation\nc,\n")
    assert list(table["split"].fillna("null")) == ["train", "val", "null"]


def test_the_group_column_is_the_one_that_params_name(tmp_path):
    text = "path,patient,group\na,p1,g1\n"
    assert table_of(tmp_path, text)["group"][0] == "g1"
    table = table_of(tmp_path, text, group="patient")
    assert (table["group"][0], table["meta_patient"][0]) == ("p1", "p1")


def test_parquet_is_read_alike(tmp_path):
    path = tmp_path / "metadata.parquet"
    frame = pd.DataFrame({"path": ["a", "b"], "label": [1.0, None], "tags": [["x"], []], "ok": [True, False]})
    frame.to_parquet(path)
    table = read_table(path, IngestParams())
    assert list(table["label"].fillna("null")) == ["1", "null"]
    assert table["meta_ok"].dtype == bool
    assert table["meta_tags"].dtype == "str"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,label\na,x\n", "no column `path`"),
        ("path,label\na,x\n../b,y\n", "row 2: '../b' leaves"),
        ("path,label\n/etc/passwd,x\n", "row 1"),
        ("path,label\n..\\b,x\n", "leaves the data folder"),
        ("path,split\na,train\nb,tset\n", "row 2: unknown split 'tset'"),
        ("path,label\na,x\na,y\n", "'a' more than once with different label"),
        ("path,label\na,x,y\n", "line 2: 3 values for 2 columns"),
        ('path,label\n"a,x\n', "line"),
        ("path,label\n,x\n", "row 1: no path"),
        ("path,path\na,b\n", "twice"),
        ("path,label\n", "no rows"),
        ("", "no rows"),
        (b"path,label\n\xff\xfe,x\n", "UTF-8"),
        ("path,label\na\0b,x\n", "metadata.csv"),
    ],
)
def test_a_bad_table_is_one_line_that_says_where(tmp_path, text, said):
    assert said in problem(tmp_path, text)


def test_the_same_row_twice_counts_once(tmp_path):
    assert len(table_of(tmp_path, "path,label\na,x\na,x\n")) == 1


def test_a_missing_group_column_is_refused(tmp_path):
    assert "'patient'" in problem(tmp_path, "path\na\n", group="patient")


def test_which_table_is_used(tmp_path):
    assert find_table(tmp_path, None) is None
    (tmp_path / "metadata.csv").touch()
    assert find_table(tmp_path, None) == tmp_path / "metadata.csv"
    (tmp_path / "metadata.parquet").touch()
    with pytest.raises(BadData, match=r"ingest\.table"):
        find_table(tmp_path, None)
    with pytest.raises(BadData, match="missing"):
        find_table(tmp_path, "other.csv")


def test_a_broken_parquet_is_bad_data(tmp_path):
    (tmp_path / "metadata.parquet").write_bytes(b"no table")
    with pytest.raises(BadData, match="no parquet"):
        read_table(tmp_path / "metadata.parquet", IngestParams())


def lines_of(tmp_path, text: str | bytes, **params) -> pd.DataFrame:
    path = tmp_path / "metadata.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(path, IngestParams(**params))


def test_json_lines_are_read_alike(tmp_path):
    text = (
        b'\xef\xbb\xbf{"file_name": "a.jpg", "label": 3, "age": 4, "site": "x", "ok": true}\r\n\r\n'
        b'{"file_name": "b.jpg", "label": "NA", "age": null, "box": [1, {"a": 2}], "ok": false}\n'
        b'{"file_name": "c.jpg", "split": "Valid", "age": NaN, "site": "caf\\u00e9\\u2028", "ok": true}'
    )
    table = lines_of(tmp_path, text)
    assert list(table["path"]) == ["a.jpg", "b.jpg", "c.jpg"]
    assert list(table["label"].fillna("null")) == ["3", "NA", "null"]
    assert list(table["split"].fillna("null")) == ["null", "null", "val"]
    assert table["meta_age"].isna().tolist() == [False, True, True]
    assert table["meta_age"].dtype == "float64"
    assert table["meta_ok"].dtype == bool
    assert table["meta_box"][1] == '[1, {"a": 2}]'
    assert table["meta_site"][2] == "caf\u00e9\u2028"


def test_whole_numbers_stay_exact_where_some_are_missing(tmp_path):
    text = '{"path": "a", "group": 9007199254740993}\n{"path": "b", "group": 9007199254740992}\n{"path": "c"}\n'
    assert list(lines_of(tmp_path, text)["group"].fillna("null")) == ["9007199254740993", "9007199254740992", "null"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"path": "a"}\n{"path": \n', "line 2: no JSON object"),
        ('{"path": "a"}\n\n["b"]\n', "line 3: no JSON object"),
        ('{"path": "a", "path": "b"}\n', "line 1: no JSON object (a key stands there twice)"),
        ('{"path": "a", "x": Infinity}\n', "line 1"),
        ('{"path": "a\\ud800"}\n', "half a character"),
        ("[" * 100_000 + "\n", "line 1: no JSON object"),
        ('{"path": "a", "x": ' + "9" * 5000 + "}\n", "line 1"),
        ("\n\n", "no rows"),
        ('{"label": "a"}\n', "no column `path`"),
        ('{"path": "a"}\n\n{"path": "../b"}\n', "line 3: '../b' leaves"),
        ('{"path": "a", "split": "x"}\n', "line 1: unknown split 'x'"),
        ('{"path": "a", "label": ["x", "y"]}\n', "line 1: ['x', 'y'] as label; graft takes one"),
        ('{"path": "a", "label": {"x": 1}}\n', "line 1: {'x': 1} as label"),
        (b'{"path": "\xff"}\n', "UTF-8"),
        ("\n".join(f'{{"path": "{i}", "key{i}": 1}}' for i in range(1001)), "more than 1,000"),
    ],
)
def test_bad_json_lines_are_one_line_that_says_where(tmp_path, text, said):
    with pytest.raises(BadData) as caught:
        lines_of(tmp_path, text)
    assert said in str(caught.value)
    assert "metadata.jsonl" in str(caught.value)


def test_metadata_jsonl_is_found(tmp_path):
    (tmp_path / "metadata.jsonl").touch()
    assert find_table(tmp_path, None) == tmp_path / "metadata.jsonl"
    (tmp_path / "metadata.csv").touch()
    with pytest.raises(BadData, match=r"has metadata\.csv and metadata\.jsonl; name"):
        find_table(tmp_path, None)
