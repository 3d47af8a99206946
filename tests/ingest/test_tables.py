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
