"""`graft init DIR --data SRC`: a workspace with its first data, or a line that says why not."""

import pandas as pd
import pytest

from flows.cli import main
from flows.stages import track_raw
from flows.workspaces import init
from tasks.contracts.progress import QUIET
from tasks.contracts.workspace import Workspace
from tests.conftest import CLASSES, write_images
from tests.ingest.packing import write_tar, write_zip


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    """`--quiet` sets this in the environment, where it must not stay for the tests that follow."""
    monkeypatch.setenv(QUIET, "1")


def packed(folder) -> dict[str, bytes]:
    photos = write_images(folder / "photos", 4)
    return {path.relative_to(photos).as_posix(): path.read_bytes() for path in sorted(photos.rglob("*.png"))}


def line(capsys) -> str:
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("name", ["photos.zip", "photos.tar", "photos.tar.xz"])
def test_an_archive_is_one_file_for_dvc_and_many_images_for_graft(tmp_path, name):
    files = packed(tmp_path)
    if name.endswith("zip"):
        source = write_zip(tmp_path / name, files)
    else:
        source = write_tar(tmp_path / name, files, mode="w:xz" if name.endswith("xz") else "w")
    assert main(["--quiet", "init", str(tmp_path / "ws"), "--data", str(source)]) == 0
    ws = Workspace(tmp_path / "ws")
    track_raw(ws)
    assert "nfiles: 1\n" in (ws.root / "data/raw.dvc").read_text()
    assert main(["--quiet", "--workspace", str(ws.root), "stage", "ingest"]) == 0
    manifest = pd.read_parquet(ws.manifest)
    assert sorted(manifest["label"].unique()) == list(CLASSES)
    assert len(manifest) == 12
    row = manifest.iloc[-1]
    if not row["deflated"]:
        data = (ws.raw / row["archive"]).read_bytes()[row["offset"] :][: row["stored_bytes"]]
        assert data == files[row["path"].removeprefix(f"{row['archive']}/")]


def test_an_address_is_copied(tmp_path):
    from fsspec.implementations.memory import MemoryFileSystem

    files = packed(tmp_path)
    MemoryFileSystem().pipe({f"/bucket/flowers/{name}": data for name, data in files.items()})
    try:
        assert main(["--quiet", "init", str(tmp_path / "ws"), "--data", "memory://bucket/flowers"]) == 0
    finally:
        MemoryFileSystem.store.clear()
    raw = Workspace(tmp_path / "ws").raw
    assert {path.relative_to(raw).as_posix(): path.read_bytes() for path in raw.rglob("*.png")} == files


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [("hostile.zip", 3, "'../evil.jpg'"), ("s3://bucket/photos", 4, "s3fs"), ("what://bucket", 2, "what://bucket")],
)
def test_what_shows_before_anything_is_written_leaves_nothing(capsys, tmp_path, monkeypatch, source, code, said):
    monkeypatch.chdir(tmp_path)
    write_zip(tmp_path / "hostile.zip", {"cat/1.jpg": b"", "../evil.jpg": b""})
    assert main(["init", "ws", "--data", source]) == code
    assert said in line(capsys)
    assert not (tmp_path / "ws").exists()


def test_data_that_fail_on_the_way_leave_a_workspace_that_takes_others(capsys, tmp_path):
    hostile = write_tar(tmp_path / "hostile.tgz", {"../evil.jpg": b""}, mode="w:gz")
    assert main(["init", str(tmp_path / "ws"), "--data", str(hostile)]) == 3
    assert "hostile.tgz: member '../evil.jpg'" in line(capsys)
    assert not Workspace(tmp_path / "ws").raw.exists()
    ws = init(tmp_path / "ws", write_images(tmp_path / "photos", 2))
    assert len(list(ws.raw.rglob("*.png"))) == 6


def test_data_are_not_copied_over_others(capsys, tmp_path):
    init(tmp_path / "ws", write_images(tmp_path / "photos", 2))
    source = write_tar(tmp_path / "a.tar", {"cat/1.jpg": b""})
    assert main(["init", str(tmp_path / "ws"), "--data", str(source)]) == 2
    assert "is there already" in line(capsys)
    assert main(["init", str(tmp_path), "--data", str(tmp_path)]) == 2
    assert "holds the workspace" in line(capsys)
