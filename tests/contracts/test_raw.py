import os
import zlib
from pathlib import Path

import pytest

from tasks.contracts.raw import Place, Unreadable, read_raw


def reason(root: Path, place: Place, max_bytes: int = 1000) -> str:
    with pytest.raises(Unreadable) as caught:
        read_raw(root, place, max_bytes)
    return caught.value.reason


def deflated(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


def test_a_whole_file_a_stored_member_and_a_deflated_one(tmp_path):
    packed = deflated(b"hello")
    (tmp_path / "a").write_bytes(b"0123456789" + packed)
    assert read_raw(tmp_path, Place("a"), 1000) == b"0123456789" + packed
    assert read_raw(tmp_path, Place("a", 2, 3), 1000) == b"234"
    assert read_raw(tmp_path, Place("a", 10, len(packed), deflated=True), 1000) == b"hello"


def test_a_member_that_grew_when_it_was_deflated_is_read_under_its_own_size(tmp_path):
    data = os.urandom(50_000)
    (tmp_path / "a").write_bytes(packed := deflated(data))
    assert len(packed) > len(data)
    assert read_raw(tmp_path, Place("a", 0, len(packed), deflated=True), len(data)) == data


def test_a_bomb_is_not_inflated(tmp_path):
    (tmp_path / "a").write_bytes(packed := deflated(bytes(10_000_000)))
    assert len(packed) < 11_000
    assert reason(tmp_path, Place("a", 0, len(packed), deflated=True), 1_000_000) == "too_many_bytes"


def test_a_deflated_member_that_is_broken(tmp_path):
    (tmp_path / "a").write_bytes(deflated(b"hello")[:-1] + b"\xff\xff\xff\xff")
    assert reason(tmp_path, Place("a", 0, 4, deflated=True)) == "damaged"
    (tmp_path / "b").write_bytes(b"\xff" * 20)
    assert reason(tmp_path, Place("b", 0, 20, deflated=True)) == "damaged"


def test_what_cannot_be_read(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "large").write_bytes(bytes(1001))
    assert reason(tmp_path, Place("gone")) == "missing_file"
    assert reason(tmp_path, Place("folder")) == "not_a_file"
    assert reason(tmp_path, Place("pipe")) == "not_a_file"
    assert reason(tmp_path, Place("loop")) == "unreadable"
    assert reason(tmp_path, Place("large")) == "too_many_bytes"
    assert reason(tmp_path, Place("large", 0, 1001)) == "too_many_bytes"
    assert reason(Path("/proc/self"), Place("mem", 0, 4)) == "unreadable"  # a regular file whose first byte gives EIO


def test_a_member_beyond_the_end_of_its_archive(tmp_path):
    (tmp_path / "a").write_bytes(b"0123")
    assert reason(tmp_path, Place("a", 2, 10)) == "changed_while_read"


def test_no_permission_is_unreadable(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "a").chmod(0)
    if os.access(tmp_path / "a", os.R_OK):
        pytest.skip("root may read everything")
    assert reason(tmp_path, Place("a")) == "unreadable"


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
    assert reason(tmp_path, Place("a")) == "changed_while_read"
    assert len(calls) >= 4  # it was tried twice
