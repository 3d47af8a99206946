import hashlib
import os
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.contracts.prepared import Store
from tasks.contracts.raw import Place
from tasks.quality.scan import Caps, Scan, prepared_side, scan

CAPS = Caps(side_px=16, max_megapixels=1.0, max_megabytes=1.0)


def save(path: Path, level: int, size=(20, 30)) -> bytes:
    Image.new("RGB", size, (level, level, level)).save(path)
    return path.read_bytes()


def manifest(*paths: str) -> pd.DataFrame:
    table = pd.DataFrame({"path": list(paths), "reasons": [[] for _ in paths], "archive": None, "deflated": False})
    table["offset"] = table["stored_bytes"] = pd.array([None] * len(paths), dtype="Int64")
    return table.astype({"path": "str", "archive": "str"})


def scanned(root: Path, *paths: str, caps: Caps = CAPS) -> Scan:
    """A scan that starts once the files have settled: of one that has just changed nothing is remembered."""
    time.sleep(0.06)
    store = Store(root / ".cache", caps.side_px)
    return scan(root, manifest(*paths), caps, store, root / ".cache" / "index.parquet")


def pixels_of(root: Path, sha256: str) -> np.ndarray:
    store = Store(root / ".cache", 16)
    return store.pixels()[store.rows(pd.Series([sha256]))[0]]


def test_what_is_read_of_an_image(tmp_path):
    data = save(tmp_path / "a.png", 51)
    row = scanned(tmp_path, "a.png").table.iloc[0]
    assert row["sha256"] == hashlib.sha256(data).hexdigest()
    assert (row["bytes"], row["width"], row["height"], row["aspect"]) == (len(data), 20, 30, 1.5)
    assert (row["mode"], row["format"], row["prepared_px"], row["reasons"]) == ("RGB", "PNG", 16, [])
    assert row["luminance_median"] == 0.2
    assert (pixels_of(tmp_path, row["sha256"]) == 51).all()


def test_equal_contents_share_one_record(tmp_path):
    for name, level in (("a.png", 10), ("b.png", 200), ("c.png", 10)):
        save(tmp_path / name, level)
    table = scanned(tmp_path, "a.png", "b.png", "c.png").table
    assert Store(tmp_path / ".cache", 16).rows(table["sha256"]).nunique() == 2
    assert table["pixels_crc32"].nunique() == 2
    assert [int(pixels_of(tmp_path, sha256)[0, 0, 0]) for sha256 in table["sha256"]] == [10, 200, 10]


def test_nothing_stops_the_scan(tmp_path):
    good = save(tmp_path / "good.jpg", 100, (400, 400))
    (tmp_path / "cut.jpg").write_bytes(good[: len(good) // 2])
    (tmp_path / "text.jpg").write_text("not a picture at all")
    (tmp_path / "empty.jpg").touch()
    save(tmp_path / "large.png", 1, (1100, 1000))
    (tmp_path / "heavy.bmp").write_bytes(b"BM" + bytes(1_000_001))
    with (tmp_path / "sparse.jpg").open("wb") as file:
        file.truncate(1 << 40)
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    paths = [*sorted(p.name for p in tmp_path.iterdir()), "gone.jpg"]
    table = scanned(tmp_path, *paths).table.set_index("path")
    assert {path: reasons[0] if reasons else None for path, reasons in table["reasons"].items()} == {
        "good.jpg": None,
        "cut.jpg": "truncated",
        "text.jpg": "not_an_image",
        "empty.jpg": "empty",
        "large.png": "too_many_pixels",
        "heavy.bmp": "too_many_bytes",
        "sparse.jpg": "too_many_bytes",
        "folder.jpg": "not_a_file",
        "pipe.jpg": "not_a_file",
        "gone.jpg": "missing_file",
    }
    assert table["pixels_crc32"].notna().sum() == 1


def test_a_file_with_a_reason_is_not_read_and_one_without_label_is(tmp_path):
    save(tmp_path / "a.png", 1)
    rows = manifest("a.png", "b.png")
    rows["reasons"] = [["no_label"], ["leaves_folder"]]
    (tmp_path / "b.png").symlink_to("/etc/hostname")
    found = scan(tmp_path, rows, CAPS, Store(tmp_path / ".cache", 16), tmp_path / ".cache" / "index.parquet")
    assert found.read == 1
    assert found.table["sha256"].isna().tolist() == [False, True]
    assert found.table["reasons"].tolist() == [["no_label"], ["leaves_folder"]]


def test_an_empty_manifest_is_scanned(tmp_path):
    assert len(scanned(tmp_path).table) == 0


def test_an_unchanged_file_is_not_read_again_and_a_changed_one_is(tmp_path):
    for name, level in (("a.png", 10), ("b.png", 20), ("c.png", 30)):
        save(tmp_path / name, level)
    (tmp_path / "d.png").write_text("no picture")
    names = ("a.png", "b.png", "c.png", "d.png")
    first = scanned(tmp_path, *names)
    again = scanned(tmp_path, *names)
    assert (first.read, again.read) == (4, 0)
    pd.testing.assert_frame_equal(first.table, again.table)
    stamp = (tmp_path / "b.png").stat()
    save(tmp_path / "b.png", 99)
    os.utime(tmp_path / "b.png", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # as a copying tool does
    save(tmp_path / "e.png", 50)
    (tmp_path / "a.png").unlink()
    third = scanned(tmp_path, *names[1:], "e.png")
    assert third.read == 2
    assert third.table["luminance_median"].round(4).tolist()[:2] == [round(99 / 255, 4), round(30 / 255, 4)]
    assert third.table["reasons"].tolist() == [[], [], ["not_an_image"], []]


def test_a_file_that_has_just_changed_is_not_believed(tmp_path):
    save(tmp_path / "a.png", 10)
    store = Store(tmp_path / ".cache", 16)
    for _ in range(2):
        found = scan(tmp_path, manifest("a.png"), CAPS, store, tmp_path / ".cache" / "index.parquet")
        assert found.read == 1


def test_other_caps_another_side_and_a_lost_cache_make_it_read_again(tmp_path):
    save(tmp_path / "a.png", 10)
    scanned(tmp_path, "a.png")
    other = Caps(side_px=8, max_megapixels=1.0, max_megabytes=1.0)
    assert scanned(tmp_path, "a.png", caps=other).read == 1
    stricter = Caps(side_px=8, max_megapixels=0.0001, max_megabytes=1.0)
    assert scanned(tmp_path, "a.png", caps=stricter).table["reasons"][0] == ["too_many_pixels"]
    assert scanned(tmp_path, "a.png").read == 1
    for file in (tmp_path / ".cache" / "16px-2").iterdir():
        file.unlink()
    assert scanned(tmp_path, "a.png").read == 1
    (tmp_path / ".cache" / "index.parquet").write_bytes(b"torn")
    assert scanned(tmp_path, "a.png").read == 1


def test_the_camera_is_read_and_remembered(tmp_path):
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Canon", "Canon EOS R6"
    Image.new("RGB", (20, 20)).save(tmp_path / "a.jpg", exif=exif)
    save(tmp_path / "b.jpg", 10)
    for read in (2, 0):
        found = scanned(tmp_path, "a.jpg", "b.jpg")
        assert found.read == read
        assert found.table["camera"][0] == "Canon EOS R6"
        assert pd.isna(found.table["camera"][1])


def test_a_moved_file_is_read_but_its_measures_stand(tmp_path):
    save(tmp_path / "a.png", 10)
    first = scanned(tmp_path, "a.png").table.drop(columns="path")
    (tmp_path / "a.png").rename(tmp_path / "b.png")
    moved = scanned(tmp_path, "b.png")
    assert moved.read == 1
    pd.testing.assert_frame_equal(first, moved.table.drop(columns="path"))


def test_a_member_is_read_where_it_lies(tmp_path):
    data = save(tmp_path / "a.png", 77)
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/a.png", data)
    info = zipfile.ZipFile(tmp_path / "all.zip").infolist()[0]
    rows = manifest("all.zip/x/a.png").assign(archive="all.zip", deflated=True, offset=30 + len("x/a.png"))
    rows["stored_bytes"] = info.compress_size
    rows = rows.astype({"archive": "str", "offset": "Int64", "stored_bytes": "Int64"})
    time.sleep(0.06)
    store, index = Store(tmp_path / ".cache", 16), tmp_path / ".cache" / "index.parquet"
    found = scan(tmp_path, rows, CAPS, store, index)
    assert found.table["sha256"][0] == hashlib.sha256(data).hexdigest()
    assert scan(tmp_path, rows, CAPS, store, index).read == 0


def test_the_side_follows_the_typical_image(tmp_path):
    for i in range(5):
        save(tmp_path / f"{i}.png", i, (70, 90))
    save(tmp_path / "large.png", 1, (900, 900))
    rows = [Place(path.name) for path in sorted(tmp_path.iterdir())]
    assert prepared_side(tmp_path, [*rows, Place("gone.png")], 224) == 96
    assert prepared_side(tmp_path, rows, 64) == 64
    assert prepared_side(tmp_path, [], 224) == 224


def test_what_most_images_left_behind_is_cleared_away(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.contracts.prepared._SPARE", 0)
    names = [f"{i}.png" for i in range(9)]
    for i, name in enumerate(names):
        save(tmp_path / name, i * 20)
    table = scanned(tmp_path, *names).table
    folder = tmp_path / ".cache" / "16px-2"
    large = (folder / "pixels").stat().st_size
    kept = scanned(tmp_path, *names[7:])
    assert kept.read == 0
    assert (folder / "pixels").stat().st_size * 9 == large * 2
    assert [int(pixels_of(tmp_path, sha256)[0, 0, 0]) for sha256 in table["sha256"][7:]] == [140, 160]


@pytest.mark.parametrize("format_", ["JPEG", "PNG"])
def test_every_thread_gives_the_same(tmp_path, format_):
    rng = np.random.default_rng(0)
    names = [f"{i:02}" for i in range(40)]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / name, format_)
    table = scanned(tmp_path, *names).table
    for name, sha256 in zip(names, table["sha256"], strict=True):
        assert sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    one = scan(
        tmp_path, manifest(*names[::-1]), CAPS, Store(tmp_path / ".other", 16), tmp_path / ".other" / "index.parquet"
    )
    pd.testing.assert_frame_equal(table, one.table[::-1].reset_index(drop=True))


def test_places_that_share_an_index_keep_what_they_know(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for root in (here, there):
        root.mkdir()
        for name, level in (("a.png", 10), ("b.png", 200)):
            save(root / name, level)
    first = scan_into(tmp_path, here)
    assert scan_into(tmp_path, there).read == 2
    again = scan_into(tmp_path, here)
    assert (first.read, again.read, scan_into(tmp_path, there).read) == (2, 0, 0)
    pd.testing.assert_frame_equal(again.table, first.table)
    shutil.rmtree(there)
    scan_into(tmp_path, here)
    assert len(pd.read_parquet(tmp_path / ".cache" / "index.parquet")) == 2  # what went takes its rows with it


def test_a_read_only_link_is_known_wherever_it_lies_until_its_bytes_change(tmp_path):
    kept, own = tmp_path / "kept.png", tmp_path / "own"
    save(kept, 10)
    kept.chmod(0o444)
    own.mkdir()
    save(own / "a.png", 10)
    links = [tmp_path / name for name in ("first", "second", "third")]
    read = []
    for root in links:
        root.mkdir()
        os.link(kept, root / "a.png")
        read.append(scan_into(tmp_path, root, "a.png").read)
        shutil.rmtree(root)
        read.append(scan_into(tmp_path, own, "a.png").read)
    assert read == [1, 1, 0, 0, 0, 0]
    kept.chmod(0o644)
    save(kept, 90)
    kept.chmod(0o444)
    links[0].mkdir()
    os.link(kept, links[0] / "a.png")
    found = scan_into(tmp_path, links[0], "a.png")
    assert (found.read, found.table["sha256"].iloc[0]) == (1, hashlib.sha256(kept.read_bytes()).hexdigest())


def test_an_index_of_an_earlier_graft_is_made_anew(tmp_path):
    save(tmp_path / "a.png", 10)
    index = tmp_path / ".cache" / "index.parquet"
    scanned(tmp_path, "a.png")
    pd.read_parquet(index).drop(columns="root").to_parquet(index)
    assert [scanned(tmp_path, "a.png").read for _ in range(2)] == [1, 0]


def scan_into(shared: Path, root: Path, *paths: str) -> Scan:
    time.sleep(0.06)
    store = Store(shared / ".cache", CAPS.side_px)
    return scan(root, manifest(*(paths or ("a.png", "b.png"))), CAPS, store, shared / ".cache" / "index.parquet")
