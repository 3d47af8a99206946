"""Where exports go, and what is never lost to them."""

import pytest

from tasks.contracts.errors import BadUsage
from tasks.contracts.workspace import Workspace
from tasks.exports.write import write_exports
from tests.exports.documents import document


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_export_takes_the_place_of_the_first(tmp_path):
    ws, out = Workspace(tmp_path), tmp_path / "out"
    write_exports(ws, document(), out)
    first = files(out)
    made = document()
    made["entry"]["number"] = 4
    write_exports(ws, made, out)
    assert files(out).keys() == first.keys()
    assert b"audit 4" in (out / "README.md").read_bytes()


@pytest.mark.parametrize("text", ["# My project", '---\nlicense: mit\n---\n\ntags: ["graft", "audited"]\n', "\x00"])
def test_the_readme_of_somebody_else_is_kept(tmp_path, text):
    out = tmp_path / "out"
    out.mkdir()
    (out / "README.md").write_text(text)
    before = files(tmp_path)
    with pytest.raises(BadUsage, match=r"README\.md is not of an earlier export"):
        write_exports(Workspace(tmp_path), document(), out)
    assert files(tmp_path) == before


def test_the_workspace_itself_is_no_place_for_exports(tmp_path):
    with pytest.raises(BadUsage, match="the workspace itself"):
        write_exports(Workspace(tmp_path), document(), tmp_path / "data" / "..")
    assert files(tmp_path) == {}


@pytest.mark.parametrize("name", ["README.md", "croissant.json"])
def test_a_folder_in_the_place_of_a_file_is_kept(tmp_path, name):
    work = tmp_path / "out" / name / "work"
    work.parent.mkdir(parents=True)
    work.write_text("of a week")
    with pytest.raises(BadUsage, match="is a folder"):
        write_exports(Workspace(tmp_path), document(), tmp_path / "out")
    assert list(files(tmp_path)) == [work.relative_to(tmp_path)]


def test_a_file_in_the_place_of_the_folder_is_kept(tmp_path):
    (tmp_path / "out").write_text("of a week")
    with pytest.raises(BadUsage, match="is no folder"):
        write_exports(Workspace(tmp_path), document(), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "of a week"
