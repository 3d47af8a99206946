"""Members of a fair zip lie where they are said to lie; one unfair member, or any damage, refuses all."""

import io
import zipfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.errors import BadData
from tasks.ingest.archives import list_archive
from tests.ingest.packing import FILES, distinct, write_zip


@settings(max_examples=40, deadline=None)
@given(files=FILES, method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_a_zip_member_lies_where_it_is_said_to_lie(tmp_path_factory, files, method):
    path = write_zip(tmp_path_factory.mktemp("zip") / "a.zip", distinct(files), method)
    data = path.read_bytes()
    for member in list_archive(path):
        stored = data[member.offset : member.offset + member.stored_bytes]
        assert (zlib.decompress(stored, -15) if member.deflated else stored) == files[member.name]
        assert member.deflated == (method == zipfile.ZIP_DEFLATED)
        assert member.bytes == len(files[member.name])


def test_a_zip_behind_other_bytes_keeps_its_offsets(tmp_path):
    data = write_zip(tmp_path / "a.zip", {"a.jpg": b"picture"}, zipfile.ZIP_STORED).read_bytes()
    (tmp_path / "b.zip").write_bytes(b"#!/bin/sh\n" + data)
    (member,) = list_archive(tmp_path / "b.zip")
    assert (tmp_path / "b.zip").read_bytes()[member.offset :][:7] == b"picture"


def entry(name: str, mode: int = 0, method: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr, info.create_system, info.compress_type = mode << 16, 3, method
    return info


@pytest.mark.parametrize(
    ("info", "said"),
    [
        (entry("/etc/passwd"), "an absolute path"),
        (entry("../out.jpg"), "leads out"),
        (entry("a/../../out.jpg"), "leads out"),
        (entry("a\\..\\out.jpg"), "a backslash"),
        (entry("c:/out.jpg"), "an absolute path"),
        (entry("link.jpg", 0o120777), "a link or a device"),
        (entry("pipe.jpg", 0o010644), "a link or a device"),
        (entry("CAT/1.jpg"), "the name of member"),
        (entry("a.jpg", method=zipfile.ZIP_BZIP2), "packed by method 12"),
        (entry("a.jpg", method=zipfile.ZIP_LZMA), "packed by method 14"),
        (entry("a.jpg", 0o100644), None),
        (entry("Räksmörgås.jpg"), None),
    ],
)
def test_case_26_one_unfair_member_refuses_the_whole_zip(tmp_path, info, said):
    path = write_zip(tmp_path / "a.zip", {"cat/1.jpg": b"x"})
    with zipfile.ZipFile(path, "a") as zipped:
        zipped.writestr(info, b"data")
    if said is None:
        assert list_archive(path)[1].name == info.filename
        return
    with pytest.raises(BadData, match=r"a\.zip") as caught:
        list_archive(path)
    assert said in str(caught.value)


def test_two_members_of_one_name_in_a_zip(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"cat/1.jpg": b"x"})
    with zipfile.ZipFile(path, "a") as zipped, pytest.warns(UserWarning, match="Duplicate"):
        zipped.writestr("cat/1.jpg", b"y")
    with pytest.raises(BadData, match="the name of member"):
        list_archive(path)


def patched(path, changes: dict[int, bytes]) -> None:
    data = bytearray(path.read_bytes())
    for place, value in changes.items():
        data[place : place + len(value)] = value
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("in_header", "in_directory", "said"),
    [
        ({6: b"\1"}, {8: b"\1"}, "'cat/1.jpg' is encrypted"),
        ({6: b"\1"}, {}, "'cat/1.jpg' is encrypted"),
        ({}, {8: b"\1"}, "'cat/1.jpg' is encrypted"),
        ({}, {20: b"\x63", 24: b"\x63"}, "runs into the directory"),
        ({}, {24: b"\x02"}, "has two sizes"),
        ({30 + 8: b"/"}, {46 + 8: b"/"}, "is a folder with bytes"),
    ],
)
def test_a_member_that_is_not_what_it_should_be(tmp_path, in_header, in_directory, said):
    path = write_zip(tmp_path / "a.zip", {"cat/1.jpg": b"x"}, zipfile.ZIP_STORED)
    directory = path.read_bytes().index(b"PK\1\2")
    patched(path, {**in_header, **{directory + place: value for place, value in in_directory.items()}})
    with pytest.raises(BadData, match=r"a\.zip") as caught:
        list_archive(path)
    assert said in str(caught.value)


def test_a_name_with_a_zero_byte(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"cat/1.jpg": b"x"})
    directory = path.read_bytes().index(b"PK\1\2")
    patched(path, {30 + 4: b"\0", directory + 46 + 4: b"\0"})
    with pytest.raises(BadData, match="control character"):
        list_archive(path)


def test_a_zip_name_that_is_no_utf8(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"cat/1.jpg": b"x"})
    directory = path.read_bytes().index(b"PK\1\2")
    patched(path, {30 + 4: b"\xff", directory + 46 + 4: b"\xff"})
    with pytest.raises(BadData, match="not UTF-8"):
        list_archive(path)


def test_case_28_a_member_that_would_grow_a_thousandfold(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"flat.bmp": bytes(20_000_000)})
    with pytest.raises(BadData, match=r"'flat\.bmp' would grow from"):
        list_archive(path)
    assert list_archive(write_zip(tmp_path / "b.zip", {"flat.bmp": bytes(5_000_000)}))  # small, though flat


def test_case_28_a_zip_that_declares_too_much_in_total(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "a.zip", {"1.bmp": b"x" * 600, "2.bmp": b"y" * 600})
    monkeypatch.setattr("tasks.ingest.members.MAX_TOTAL_BYTES", 1200)
    assert len(list_archive(path)) == 2
    monkeypatch.setattr("tasks.ingest.members.MAX_TOTAL_BYTES", 1199)
    with pytest.raises(BadData, match="more than 1,199 bytes"):
        list_archive(path)


def test_case_28_members_that_share_their_bytes(tmp_path):
    """As in D. Fifield, "A better zip bomb" (2019): many names, one kernel."""
    path = tmp_path / "a.zip"
    outer, inner = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(inner, "w") as zipped:
        zipped.writestr("2.jpg", b"kernel")
    with zipfile.ZipFile(outer, "w") as zipped:
        zipped.writestr("1.jpg", inner.getvalue())
        quoted = zipped.infolist()[0]
        info = zipfile.ZipInfo("2.jpg")
        info.header_offset, info.file_size, info.compress_size = quoted.header_offset + 35, 6, 6
        info.CRC = zlib.crc32(b"kernel")
        zipped.filelist.append(info)
    path.write_bytes(outer.getvalue())
    with pytest.raises(BadData, match=r"'2.jpg' shares bytes with '1.jpg'"):
        list_archive(path)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda _: b"", "not a zip file"),
        (lambda data: data[:-30], "not a zip file"),
        (lambda data: data[60:], "not where the directory says|Bad"),
        (lambda data: data.replace(b"PK\3\4", b"PK\3\5", 1), "not where the directory says"),
        (lambda data: data.replace(b"cat/1.jpg", b"dog/1.jpg", 1), "not where the directory says"),
    ],
)
def test_a_zip_that_is_not_whole_is_refused(tmp_path, spoil, said):
    path = write_zip(tmp_path / "a.zip", {"cat/1.jpg": b"x" * 50, "dog/2.jpg": b"y" * 50})
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(BadData, match=said):
        list_archive(path)
