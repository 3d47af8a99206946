import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.contracts.prepared import open_prepared
from tasks.quality.scan import Caps, Unreadable, read_whole, scan, scan_file

CAPS = Caps(side_px=16, max_megapixels=1.0, max_megabytes=1.0)


def save(path, level: int, size=(20, 30)) -> bytes:
    Image.new("RGB", size, (level, level, level)).save(path)
    return path.read_bytes()


def manifest(*paths: str) -> pd.DataFrame:
    return pd.DataFrame({"path": list(paths), "reasons": [[] for _ in paths]})


def test_what_is_read_of_an_image(tmp_path):
    data = save(tmp_path / "a.png", 51)
    row = scan(tmp_path, manifest("a.png"), CAPS, tmp_path / "prepared").iloc[0]
    assert row["sha256"] == hashlib.sha256(data).hexdigest()
    assert (row["bytes"], row["width"], row["height"]) == (len(data), 20, 30)
    assert (row["mode"], row["format"], row["pixels"], row["reasons"]) == ("RGB", "PNG", 0, [])
    assert (row["luminance_median"], row["aspect"]) == (0.2, 1.5)


def test_rows_of_the_array_follow_the_hash_and_equal_images_share_one(tmp_path):
    for name, level in (("a.png", 10), ("b.png", 200), ("c.png", 10), ("d.png", 90)):
        save(tmp_path / name, level)
    table = scan(tmp_path, manifest("a.png", "b.png", "c.png", "d.png"), CAPS, tmp_path / "prepared")
    array = open_prepared(tmp_path / "prepared")
    assert array.shape == (3, 16, 16, 3)
    assert table.drop_duplicates("sha256").sort_values("sha256")["pixels"].tolist() == [0, 1, 2]
    assert [int(array[row, 0, 0, 0]) for row in table["pixels"]] == [10, 200, 10, 90]
    assert [file.name for file in (tmp_path / "prepared").iterdir()] == ["pixels.npy"]


def test_the_array_does_not_depend_on_paths(tmp_path):
    for folder, names in (("one", "abc"), ("two", "cab")):
        (tmp_path / folder).mkdir()
        for name, level in zip(names, (1, 2, 3), strict=True):
            save(tmp_path / folder / f"{name}.png", level * 50)
        scan(tmp_path / folder, manifest("a.png", "b.png", "c.png"), CAPS, tmp_path / folder / "prepared")
    one, two = (open_prepared(tmp_path / folder / "prepared") for folder in ("one", "two"))
    assert np.array_equal(one, two)


def test_nothing_stops_the_scan(tmp_path):
    good = save(tmp_path / "good.jpg", 100, (400, 400))
    (tmp_path / "cut.jpg").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.jpg").write_text("not a picture at all")
    (tmp_path / "empty.jpg").touch()
    save(tmp_path / "large.png", 1, (1100, 1000))
    (tmp_path / "heavy.bmp").write_bytes(b"BM" + bytes(1_000_001))
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "out.jpg").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "pipe.jpg")
    paths = [*sorted(p.name for p in tmp_path.iterdir()), "gone.jpg"]
    table = scan(tmp_path, manifest(*paths), CAPS, tmp_path / ".prepared").set_index("path")
    assert {path: reasons[0] if reasons else None for path, reasons in table["reasons"].items()} == {
        "good.jpg": None,
        "cut.jpg": "truncated",
        "text.jpg": "not_an_image",
        "empty.jpg": "empty",
        "large.png": "too_many_pixels",
        "heavy.bmp": "too_many_bytes",
        "folder.jpg": "not_a_file",
        "out.jpg": "leaves_folder",
        "pipe.jpg": "not_a_file",
        "gone.jpg": "missing_file",
    }
    assert (table["pixels"] >= 0).sum() == 1


def test_a_file_with_a_reason_is_not_read_and_one_without_label_is(tmp_path):
    save(tmp_path / "a.png", 1)
    rows = manifest("a.png", "a.png")
    rows["reasons"] = [["leaves_folder"], ["no_label"]]
    table = scan(tmp_path, rows, CAPS, tmp_path / "prepared")
    assert table["sha256"].isna().tolist() == [True, False]
    assert table["reasons"].tolist() == [["leaves_folder"], ["no_label"]]


def test_a_file_that_cannot_be_read():
    scanned = scan_file(Path("/proc/self"), "mem", CAPS)  # a regular file whose first byte gives EIO
    assert scanned.reason == "unreadable"


def test_no_permission_is_unreadable(tmp_path):
    save(tmp_path / "a.png", 1)
    (tmp_path / "a.png").chmod(0)
    if os.access(tmp_path / "a.png", os.R_OK):
        pytest.skip("root may read everything")
    assert scan_file(tmp_path, "a.png", CAPS).reason == "unreadable"


def test_a_file_that_changes_while_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(b"1234")
    stat = os.fstat
    calls = []

    def growing(handle):
        calls.append(handle)
        with path.open("ab") as file:
            file.write(b"x")
        return stat(handle)

    monkeypatch.setattr(os, "fstat", growing)
    with pytest.raises(Unreadable) as caught:
        read_whole(path, 1000)
    assert caught.value.reason == "changed_while_read"
    assert len(calls) >= 4  # it was tried twice


def test_an_empty_manifest_is_scanned(tmp_path):
    assert len(scan(tmp_path, manifest(), CAPS, tmp_path / "prepared")) == 0
