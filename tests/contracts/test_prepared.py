import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.contracts import prepared
from tasks.contracts.errors import BadData, BrokenArtifact
from tasks.contracts.files import write_table
from tasks.contracts.images import decode
from tasks.contracts.prepared import Store, checksum_of, open_checked
from tasks.contracts.workspace import Workspace
from tests.conftest import store_pixels

SIDE_PX = 16


@pytest.fixture
def ws(tmp_path) -> Workspace:
    """Four real files, checked, and a fifth row that has no pixels."""
    ws = Workspace(tmp_path)
    ws.raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    rows = []
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(ws.raw / f"{i}.png")
        rows.append((f"{i}.png", f"{i + 1:064x}", (ws.raw / f"{i}.png").stat().st_size))
    table = store_pixels(ws, pd.DataFrame(rows, columns=["path", "sha256", "bytes"]), pixels)
    table["pixels_crc32"] = table["pixels_crc32"].astype("Int64")
    table.loc[4] = ["4.png", "f" * 64, 7, SIDE_PX, None]
    table["offset"] = table["stored_bytes"] = pd.array([None] * 5, dtype="Int64")
    write_table(ws.checked, table.assign(archive=pd.Series([None] * 5, dtype="str"), deflated=False))
    return ws


def test_each_row_finds_its_pixels(ws):
    checked, pixels = open_checked(ws)
    assert checked["pixels"].tolist()[4] == -1
    assert [checksum_of(pixels[row]) for row in checked["pixels"][:4]] == checked["pixels_crc32"][:4].tolist()


@pytest.mark.parametrize("spoil", ["flip a bit", "cut", "remove"])
def test_what_is_wrong_in_the_cache_is_decoded_anew(ws, spoil):
    before = [np.array(picture) for picture in open_checked(ws)[1]]
    path = next(ws.prepared.iterdir()) / "pixels"
    data = bytearray(path.read_bytes())
    data[SIDE_PX * SIDE_PX * 3 + 5] ^= 1
    match spoil:
        case "flip a bit":
            path.write_bytes(data)
        case "cut":
            path.write_bytes(data[: len(data) // 2 + 7])
        case _:
            for file in path.parent.iterdir():
                file.unlink()
    checked, pixels = open_checked(ws)
    assert all(np.array_equal(pixels[row], old) for row, old in zip(checked["pixels"][:4], before, strict=True))
    checked, pixels = open_checked(ws)  # and now it is right in the cache too
    assert all(np.array_equal(pixels[row], old) for row, old in zip(checked["pixels"][:4], before, strict=True))


def test_pixels_that_can_no_longer_be_had_are_named(ws):
    for file in next(ws.prepared.iterdir()).iterdir():
        file.unlink()
    Image.new("RGB", (16, 16)).save(ws.raw / "2.png")
    with pytest.raises(BadData, match=r"data/raw/2\.png is not what was checked; run `graft run`"):
        open_checked(ws)
    (ws.raw / "2.png").unlink()
    with pytest.raises(BadData, match=r"data/raw/2\.png"):
        open_checked(ws)


def test_a_table_without_a_single_image(ws):
    write_table(ws.checked, pd.read_parquet(ws.checked).iloc[4:])
    checked, pixels = open_checked(ws)
    assert (checked["pixels"].tolist(), len(pixels)) == ([-1], 0)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(BrokenArtifact, match=r"checked\.parquet is missing"):
        open_checked(Workspace(tmp_path))


def test_a_writer_that_was_killed_leaves_no_wrong_record(ws):
    store = Store(ws.prepared, SIDE_PX)
    folder = next(ws.prepared.iterdir())
    with (folder / "pixels").open("ab") as file:
        file.write(b"half a picture")  # written, but its hash was not
    picture = decode((ws.raw / "0.png").read_bytes(), SIDE_PX)
    with store.writing():
        store.add("a" * 64, picture)
    again = Store(ws.prepared, SIDE_PX)
    row = again.rows(pd.Series(["a" * 64]))[0]
    assert np.array_equal(again.pixels()[row], picture.pixels)
    assert np.array_equal(again.thumbnails(pd.Series(["a" * 64]))[np.array([0])][0], picture.thumbnail)


def test_a_full_disk_is_an_error_and_no_record(ws, monkeypatch):
    store = Store(ws.prepared, SIDE_PX)
    monkeypatch.setattr("os.pwrite", lambda _handle, data, _offset: len(data) - 1)
    picture = decode((ws.raw / "0.png").read_bytes(), SIDE_PX)
    with store.writing(), pytest.raises(OSError, match="no space left"):
        store.add("a" * 64, picture)
    assert not store.has("a" * 64)
    assert not Store(ws.prepared, SIDE_PX).has("a" * 64)


def test_a_record_is_held_against_its_checksum_once_while_nobody_writes(ws, monkeypatch):
    path, looked = next(ws.prepared.iterdir()) / "pixels", []
    monkeypatch.setattr(prepared, "checksum_of", lambda pixels: looked.append(1) or checksum_of(pixels))
    monkeypatch.setattr(prepared, "_HELD", [])
    monkeypatch.setattr(prepared, "_SAME_MOMENT_NS", -(10**12))  # as if the file had been written long ago
    expected = [np.array(picture) for picture in open_checked(ws)[1]]
    assert len(looked) == 4
    open_checked(ws)
    assert len(looked) == 4
    data = bytearray(path.read_bytes())
    data[5] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(0, 0))  # whatever time it says: that of the change goes on
    checked, pixels = open_checked(ws)
    assert all(np.array_equal(pixels[row], old) for row, old in zip(checked["pixels"][:4], expected, strict=True))
    assert len(looked) > 4


def test_what_was_written_a_moment_ago_is_looked_at_again(ws, monkeypatch):
    looked = []
    monkeypatch.setattr(prepared, "checksum_of", lambda pixels: looked.append(1) or checksum_of(pixels))
    monkeypatch.setattr(prepared, "_SAME_MOMENT_NS", 10**15)
    open_checked(ws)
    open_checked(ws)
    assert len(looked) == 8
