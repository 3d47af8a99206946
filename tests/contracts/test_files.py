import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pandas as pd
import pytest

from tasks.contracts.errors import BadUsage, BrokenArtifact, one_line
from tasks.contracts.files import read_table, replacing, working_in, write_record, write_table, write_text
from tasks.contracts.records import Statistic, read_json, to_json
from tasks.contracts.workspace import Workspace, find_workspace


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_error_leaves_the_old_file_and_no_trace(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")

    def interrupted():
        with replacing(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["report.json"]


def test_a_folder_is_replaced_whole(tmp_path):
    path = tmp_path / "model"
    for name in ("first", "second"):
        with replacing(path) as part:
            part.mkdir()
            (part / name).write_text(name)
    assert names(path) == ["second"]
    assert names(tmp_path) == ["model"]


def test_a_file_never_takes_the_place_of_a_folder(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "work").write_text("of a week")
    with pytest.raises(BadUsage, match="kept is a folder"):
        write_text(tmp_path / "kept", "summary")
    assert (tmp_path / "kept" / "work").read_text() == "of a week"
    assert names(tmp_path) == ["kept"]


def test_equal_records_and_tables_give_equal_bytes(tmp_path):
    table = pd.DataFrame({"path": ["a", "b"], "reasons": [["dark"], []], "pixels": [0, -1]})
    for name in ("one", "two"):
        write_table(tmp_path / name, table)
        write_record(tmp_path / f"{name}.json", Statistic("accuracy", 0.5, 10))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert read_table(tmp_path / "one")["path"].tolist() == ["a", "b"]


def test_a_record_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json(Statistic("accuracy", float("nan"), 0))


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"schema_version": 999})])
def test_a_broken_report_says_which_and_what_to_do(tmp_path, text):
    path = tmp_path / "quality.json"
    path.write_text(text)
    with pytest.raises(BrokenArtifact, match=r"quality.json.*graft run"):
        read_json(path)


@pytest.mark.parametrize("content", [None, b"", b"not parquet"])
def test_a_broken_table_says_which_and_what_to_do(tmp_path, content):
    path = tmp_path / "checked.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BrokenArtifact, match=r"checked.parquet.*graft run"):
        read_table(path)


def test_a_workspace_is_found_from_below(tmp_path, monkeypatch):
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "params.yaml").touch()
    below = tmp_path / "data" / "raw"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert find_workspace(None) == Workspace(tmp_path.resolve())
    assert find_workspace(None).checked == tmp_path.resolve() / "data" / "checked.parquet"


def test_a_named_folder_must_itself_be_the_workspace(tmp_path):
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "params.yaml").touch()
    assert find_workspace(tmp_path) == Workspace(tmp_path.resolve())
    with pytest.raises(BadUsage, match="typo is no workspace"):
        find_workspace(tmp_path / "typo")


def test_a_folder_that_is_no_workspace_says_how_to_make_one(tmp_path):
    with pytest.raises(BadUsage, match="graft init"):
        find_workspace(tmp_path)


def test_an_error_message_is_one_printable_line():
    assert one_line("a\x1b[31m red\nline\u202e") == "a [31m red line"


def test_two_threads_that_change_folder_leave_the_process_where_it_was(tmp_path):
    before, inside, asked = Path.cwd(), Event(), Event()
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()

    def first():
        with working_in(tmp_path / "first"):
            inside.set()
            asked.wait(10)
            time.sleep(0.05)  # enough for the second to get in, if it could
            return Path.cwd()

    def second():
        inside.wait(10)
        asked.set()
        with working_in(tmp_path / "second"), working_in(tmp_path):
            time.sleep(0.1)  # the first has left by now
            return Path.cwd()

    with ThreadPoolExecutor(2) as pool:
        where = [pool.submit(first), pool.submit(second)]
        assert [one.result(10) for one in where] == [tmp_path / "first", tmp_path]
    assert Path.cwd() == before
