"""Bad paths and archives, by the numbers of the list of faults that graft survives."""

import os

import pytest

from tests.ingest.packing import write_tar, write_zip
from tests.ingest.workspaces import CLASSES, ingest, put, reasons, refusal


@pytest.mark.parametrize(
    "path", ["../secret.jpg", "cat/../../secret.jpg", "a.tar/../../secret.jpg", "cat\\..\\..\\x.jpg"]
)
def test_case_21_dots_in_a_table_are_refused(ws, path):
    put(ws, *CLASSES, table=f"path\ncat/1.jpg\n{path}\n")
    assert "row 2" in refusal(ws)


@pytest.mark.parametrize("path", ["/etc/passwd", "//host/share/1.jpg", "C:\\photos\\1.jpg", "\\\\host\\1.jpg"])
def test_case_22_an_absolute_path_in_a_table_is_refused(ws, path):
    put(ws, *CLASSES, table=f"path\ncat/1.jpg\n{path}\n")
    assert "row 2" in refusal(ws)


def test_case_23_a_link_out_of_the_folder_is_a_reason_and_never_entered(ws, tmp_path):
    put(ws, *CLASSES)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/1.jpg").touch()
    write_tar(tmp_path / "out.tar", {"cat/9.jpg": b""})
    (ws.raw / "cat/file.jpg").symlink_to(tmp_path / "elsewhere/1.jpg")
    (ws.raw / "folder").symlink_to(tmp_path / "elsewhere")
    (ws.raw / "out.tar").symlink_to(tmp_path / "out.tar")
    assert ingest(ws).found == 7
    found = {path: ids for path, ids in reasons(ws).items() if ids}
    assert found == {
        "cat/file.jpg": ["leaves_folder"],
        "folder": ["leaves_folder", "no_label"],
        "out.tar": ["leaves_folder", "no_label"],
    }


def test_case_24_loops_of_links_end(ws):
    put(ws, *CLASSES)
    (ws.raw / "cat/up").symlink_to("..")
    (ws.raw / "cat/self").symlink_to("self")
    (ws.raw / "dog/cat").symlink_to("../cat")
    assert ingest(ws).found == 7
    found = reasons(ws)
    assert found["cat/up"] == found["dog/cat"] == ["not_a_file"]
    assert found["cat/self"][0] in ("unreadable", "not_a_file")


def test_case_25_a_hard_link_is_a_file_like_any_other(ws, tmp_path):
    put(ws, *CLASSES)
    (tmp_path / "outside.jpg").write_bytes(b"x")
    os.link(tmp_path / "outside.jpg", ws.raw / "cat/hard.jpg")
    assert ingest(ws).found == 5
    assert reasons(ws)["cat/hard.jpg"] == []


def test_case_26_a_hostile_archive_refuses_everything_before_a_manifest_is_there(ws, tmp_path):
    put(ws, *CLASSES)
    write_zip(ws.raw / "cat/z.zip", {"1.jpg": b"", "../../../evil.jpg": b""})
    said = refusal(ws)
    assert "z.zip" in said
    assert "'../../../evil.jpg' leads out" in said
    assert not list(tmp_path.rglob("evil.jpg"))


def test_case_28_a_nested_archive_is_counted_and_never_opened(ws):
    inner = write_zip(ws.raw.parent / "bomb.zip", {"../x": b""}).read_bytes()
    files = {"cat/1.jpg": b"", "cat/2.jpg": b"", "dog/3.jpg": b"", "dog/in.zip": inner, "in.tar": b"", "in.tar.gz": b""}
    write_tar(ws.raw / "a.tar", files)
    record = ingest(ws)
    assert (record.found, record.ignored, record.archives) == (3, 3, 1)


def test_case_29_two_paths_that_are_one_elsewhere_are_both_named(ws):
    put(ws, *CLASSES, "cat/IMG.jpg", "cat/img.JPG")
    said = refusal(ws)
    assert "'cat/IMG.jpg'" in said
    assert "'cat/img.JPG'" in said
    (ws.raw / "cat/img.JPG").unlink()
    put(ws, table="path,site\ncat/Img.jpg,x\n")
    assert "'cat/Img.jpg'" in refusal(ws)


def test_case_29_unicode_forms_of_one_name(ws):
    put(ws, *CLASSES, "cat/caf\u00e9.jpg", "cat/cafe\u0301.jpg")
    assert "Unicode form" in refusal(ws)


HOSTILE = (
    "cat/new\nline.jpg",
    "cat/tab\tand 'quotes\".jpg",
    "cat/<script>alert(1)<&script>.jpg",
    "cat/-rf.jpg",
    "cat/=cmd|x.jpg",
    "cat/" + "n" * 251 + ".jpg",
    "cat/\u202etxt.jpg",
    "cat/\x1b[2J.jpg",
    "cat/back\\slash.jpg",
)


def test_case_30_hostile_names_survive_the_round_trip(ws):
    put(ws, *CLASSES, *HOSTILE)
    (ws.raw / os.fsdecode(b"cat/\xff\xfe.jpg")).write_bytes(b"x")
    assert ingest(ws).found == 4 + len(HOSTILE) + 1
    found = reasons(ws)
    assert {path: found[path] for path in HOSTILE} == {path: [] for path in HOSTILE}
    assert found["cat/\\xff\\xfe.jpg"] == ["unreadable"]
    assert all((ws.raw / path).is_file() for path, ids in found.items() if not ids)


def test_case_31_hidden_and_system_folders_are_never_a_class(ws):
    hidden = (".ipynb_checkpoints/1.jpg", "__MACOSX/cat/1.jpg", ".DS_Store", "cat/Thumbs.db", "cat/.x/1.jpg")
    put(ws, *CLASSES, *hidden)
    write_zip(ws.raw / "z.zip", dict.fromkeys((*hidden, "bird/1.jpg", "__MACOSX/bird/._1.jpg"), b"x"))
    write_tar(ws.raw / ".git.tar", {"secret/1.jpg": b""})
    record = ingest(ws)
    assert (record.classes, record.found, record.ignored) == (("bird", "cat", "dog"), 5, 0)


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/1.jpg",
        "https://a/1.jpg",
        "file:///etc/passwd",
        "s3://b/1.jpg",
        "file:/etc/passwd",
        "data:,x",
    ],
)
def test_case_32_an_address_in_the_path_column_is_refused(ws, url):
    put(ws, *CLASSES, table=f'path\ncat/1.jpg\n"{url}"\n')
    said = refusal(ws)
    assert "row 2" in said
    assert "is an address; nothing is fetched" in said
