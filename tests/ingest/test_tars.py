"""A fair tar is listed as Python's own reader lists it; one unfair member, or any damage, refuses all."""

import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.errors import BadData
from tasks.ingest.archives import list_archive
from tasks.ingest.members import Member
from tests.ingest.packing import END, FILES, distinct, header, tar_with, write_tar, write_zip

FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


@settings(max_examples=60, deadline=None)
@given(files=FILES, format=st.sampled_from(FORMATS))
def test_a_tar_is_listed_as_python_lists_it(tmp_path_factory, files, format):
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    try:
        write_tar(path, distinct(files), format)
    except ValueError:  # ustar has no place for so long a name
        return
    with tarfile.open(path) as tar:
        expected = [(m.name, m.offset_data, m.size) for m in tar]
    assert [(m.name, m.offset, m.stored_bytes) for m in list_archive(path)] == expected


def test_folders_and_dots_before_names(tmp_path):
    write_tar(tmp_path / "a.tar", {"./": b"", "./cat/": b"", "./cat/1.jpg": b"x", ".//cat//2.jpg": b"y"})
    assert [(m.name, m.is_folder) for m in list_archive(tmp_path / "a.tar")] == [
        ("cat", True),
        ("cat/1.jpg", False),
        ("cat/2.jpg", False),
    ]


def test_sizes_that_octal_cannot_hold(tmp_path):
    size = 8**11 + 5
    block = bytearray(header(b"large.jpg", 0))
    block[124:136] = b"\x80" + size.to_bytes(11, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(block)
        file.seek(512 + size + (-size) % 512)
        file.write(END)
    assert list_archive(tmp_path / "a.tar") == (Member("large.jpg", 512, size, size),)


def kind(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (kind("link", tarfile.SYMTYPE, "/etc"), "'link' is a symbolic link"),
        (kind("a/link", tarfile.LNKTYPE, "cat/1.jpg"), "'a/link' is a hard link"),
        (kind("a/long", tarfile.SYMTYPE, "x" * 200), "'a/long' is a symbolic link"),
        (kind("pipe.jpg", tarfile.FIFOTYPE), "is a pipe"),
        (kind("disk.jpg", tarfile.BLKTYPE), "is a device"),
        (kind("tty.jpg", tarfile.CHRTYPE), "is a device"),
        (kind("odd.jpg", b"Z"), "of the unknown kind"),
        (kind("holes.jpg", tarfile.GNUTYPE_SPARSE), "is a sparse file"),
        (tarfile.TarInfo("/etc/passwd"), "has an absolute path"),
        (tarfile.TarInfo("../out.jpg"), "leads out"),
        (tarfile.TarInfo("a/../../out.jpg"), "leads out"),
        (tarfile.TarInfo("a\\..\\out.jpg"), "a backslash"),
        (tarfile.TarInfo("C:out.jpg"), "an absolute path"),
        (tarfile.TarInfo("a/new\nline.jpg"), "a control character"),
        (tarfile.TarInfo("a/\x1b[2J.jpg"), "a control character"),
        (tarfile.TarInfo("cat/1.jpg"), "the name of member 'cat/1.jpg'"),
        (tarfile.TarInfo("./cat//1.jpg"), "the name of member 'cat/1.jpg'"),
        (tarfile.TarInfo("Cat/1.JPG"), "the name of member 'cat/1.jpg'"),
        (tarfile.TarInfo("x/" + "n" * 5000), "more than 4,096 bytes"),
        (kind("folder", tarfile.DIRTYPE), None),
    ],
)
def test_case_26_27_one_unfair_member_refuses_the_whole_tar(tmp_path, member, said):
    path = tar_with(tmp_path / "a.tar", member)
    if said is None:
        assert len(list_archive(path)) == 2
        return
    with pytest.raises(BadData, match=r"a\.tar") as caught:
        list_archive(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_equal_after_unicode_normalisation(tmp_path):
    write_tar(tmp_path / "a.tar", {"caf\u00e9.jpg": b"", "cafe\u0301.jpg": b""})
    with pytest.raises(BadData, match="differs only in case or form"):
        list_archive(tmp_path / "a.tar")


def test_a_pax_header_may_rename_but_not_out(tmp_path):
    member = tarfile.TarInfo("fair.jpg")
    member.pax_headers = {"path": "../out.jpg"}
    with pytest.raises(BadData, match=r"'\.\./out.jpg' leads out"):
        list_archive(tar_with(tmp_path / "a.tar", member))


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, "sparse"),
        ({"linkpath": "/etc/passwd"}, "target of a link"),
        ({"size": "-1"}, "size that is no number"),
    ],
)
def test_pax_headers_that_change_what_a_member_is(tmp_path, headers, said):
    member = tarfile.TarInfo("a.jpg")
    member.pax_headers = headers
    with pytest.raises(BadData, match=said):
        list_archive(tar_with(tmp_path / "a.tar", member))


def test_a_name_that_is_no_text(tmp_path):
    (tmp_path / "a.tar").write_bytes(header(b"a/\xff.jpg", 0) + END)
    with pytest.raises(BadData, match=r"xff.jpg' has a name that is not UTF-8"):
        list_archive(tmp_path / "a.tar")


def whole(tmp_path) -> bytes:
    return write_tar(tmp_path / "whole.tar", {"cat/1.jpg": b"x" * 700, "dog/2.jpg": b"y" * 700}).read_bytes()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda _: b"", "ends after 0 bytes"),
        (lambda data: data[:300], "ends after 300 bytes"),
        (lambda data: data[:1000], "within member 'cat/1.jpg'"),
        (lambda data: data[: 512 + 1024], "without the mark of its end"),
        (lambda data: data[: 3 * 512 + 512 + 5], "within member 'dog/2.jpg'"),
        (lambda data: data[: 3 * 512] + b"!" + data[3 * 512 + 1 :], "no member starts at byte 1,536"),
        (lambda data: data + data, "after its end"),
        (lambda _: b"hello" * 300, "no tar file"),
        (lambda data: b"\x1f\x8b" + data, "gzip data"),
        (lambda _: header(b"a", 0, b"L") + END, "without its member"),
        (lambda _: header(b"a", 2**22, b"x") + bytes(2**22) + END, "header of 4,194,304 bytes"),
        (lambda _: header(b"a", 512, b"x") + b"9" * 512 + END, "pax header"),
        (lambda _: header(b"a", 512, b"x") + b"0 a=b\n".ljust(512) + END, "pax header"),
    ],
)
def test_a_tar_that_is_not_whole_is_refused(tmp_path, spoil, said):
    path = tmp_path / "a.tar"
    path.write_bytes(spoil(whole(tmp_path)))
    with pytest.raises(BadData, match=r"a\.tar") as caught:
        list_archive(path)
    assert said in str(caught.value)


def test_a_negative_size_ends(tmp_path):
    block = bytearray(header(b"a.jpg", 0))
    block[124:136] = b"\xff" * 12  # GNU's way to write -1
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    (tmp_path / "a.tar").write_bytes(bytes(block) + END)
    with pytest.raises(BadData, match="gives no size"):
        list_archive(tmp_path / "a.tar")


def test_case_28_more_members_than_anyone_has(tmp_path, monkeypatch):
    path = write_tar(tmp_path / "a.tar", {f"{i}.jpg": b"" for i in range(4)})
    monkeypatch.setattr("tasks.ingest.archives.MAX_MEMBERS", 3)
    monkeypatch.setattr("tasks.ingest.members.MAX_MEMBERS", 3)
    with pytest.raises(BadData, match="more than 3 members"):
        list_archive(path)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_damage_is_bad_data_or_seen_in_the_list(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damage")
    which = data.draw(st.sampled_from(["a.tar", "a.zip"]))
    write = write_tar if which == "a.tar" else write_zip
    path = write(folder / which, {"cat/1.jpg": b"x" * 40, "dog/2.jpg": b"y" * 40})
    raw = bytearray(path.read_bytes()[: 4 * 512 + 100] if which == "a.tar" else path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    try:
        members = list_archive(path)
    except BadData:
        return
    assert all(m.offset > 0 and m.offset + m.stored_bytes <= len(raw) for m in members)
