"""The first data: folders, archives and addresses, whole or not at all."""

import bz2
import gzip
import lzma
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tasks.contracts.errors import BadData, BadEnvironment, BadUsage, GraftError
from tasks.ingest.origins import bring, decompress, find_origin
from tests.ingest.packing import write_tar, write_zip

FILES = {"cat/1.jpg": b"one", "cat/2.jpg": b"two", "dog/3.jpg": b"three"}


class Silent(SimpleHTTPRequestHandler):
    """Serves files and says nothing on stderr."""

    def log_message(self, *_):
        pass


@pytest.fixture
def web(tmp_path) -> Iterator[tuple[str, Path]]:
    """A server on this machine: its address, and the folder that it serves."""
    folder = tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def memory() -> Iterator:
    """Fsspec's file system in memory, empty before and after."""
    from fsspec.implementations.memory import MemoryFileSystem

    MemoryFileSystem.store.clear()
    yield MemoryFileSystem()
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]


def brought(source: object, tmp_path: Path) -> dict[str, bytes]:
    raw = tmp_path / "ws/data/raw"
    bring(find_origin(str(source)), raw)
    assert [path.name for path in raw.parent.iterdir()] == ["raw"]
    return {path.relative_to(raw).as_posix(): path.read_bytes() for path in raw.rglob("*") if path.is_file()}


def failure(source: object, tmp_path: Path) -> GraftError:
    with pytest.raises(GraftError) as caught:
        brought(source, tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ws/data").exists() or not list((tmp_path / "ws/data").iterdir())
    return caught.value


def test_a_folder_comes_with_links_as_links_and_empty_folders(tmp_path):
    for name, data in FILES.items():
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / name).write_bytes(data)
    (tmp_path / "src/link.jpg").symlink_to("/etc/hostname")
    (tmp_path / "src/bird").mkdir()
    bring(find_origin(str(tmp_path / "src")), tmp_path / "raw")
    assert (tmp_path / "raw/link.jpg").is_symlink()
    assert (tmp_path / "raw/bird").is_dir()
    assert {name: (tmp_path / "raw" / name).read_bytes() for name in FILES} == FILES


@pytest.mark.parametrize("name", ["photos.zip", "photos.tar", "my photos.TAR"])
def test_an_archive_stays_one(tmp_path, name):
    write = write_zip if name.endswith("zip") else write_tar
    path = write(tmp_path / name, FILES)
    assert brought(path, tmp_path) == {name: path.read_bytes()}


@pytest.mark.parametrize(
    ("name", "mode"),
    [("photos.tar.gz", "w:gz"), ("photos.tgz", "w:gz"), ("photos.tar.bz2", "w:bz2"), ("photos.tar.xz", "w:xz")],
)
def test_a_compressed_tar_becomes_a_plain_one(tmp_path, name, mode):
    plain = write_tar(tmp_path / "plain.tar", FILES).read_bytes()
    assert brought(write_tar(tmp_path / name, FILES, mode=mode), tmp_path) == {"photos.tar": plain}


def test_a_hostile_archive_is_refused_before_anything_is_written(tmp_path):
    path = write_zip(tmp_path / "bad.zip", {"../evil.jpg": b""})
    with pytest.raises(BadData, match=r"bad\.zip: member '\.\./evil\.jpg'"):
        find_origin(str(path))


def test_a_hostile_tar_inside_a_compression_names_the_file_that_was_given(tmp_path):
    path = write_tar(tmp_path / "bad.tgz", {"../evil.jpg": b""}, mode="w:gz")
    assert str(failure(path, tmp_path)).startswith(f"{path}: member '../evil.jpg'")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_case_28_a_compression_bomb_is_stopped_and_a_cut_one_noticed(tmp_path, monkeypatch, pack):
    monkeypatch.setattr("tasks.ingest.origins._ALWAYS_ALLOWED", 1000)
    (tmp_path / "bomb.tgz").write_bytes(pack(bytes(3_000_000)))
    with pytest.raises(BadData, match="grows to more than"):
        decompress(tmp_path / "bomb.tgz", tmp_path / "out")
    assert (tmp_path / "out").stat().st_size < 3_000_000
    whole = pack(b"picture" * 100)
    (tmp_path / "cut.tgz").write_bytes(whole[:-12])
    with pytest.raises(BadData, match="is broken"):
        decompress(tmp_path / "cut.tgz", tmp_path / "out")
    (tmp_path / "other.tgz").write_bytes(b"\x28\xb5\x2f\xfd....")
    with pytest.raises(BadData, match="not compressed by gzip, bzip2 or xz"):
        decompress(tmp_path / "other.tgz", tmp_path / "out")


@pytest.mark.parametrize("name", ["nothing", "photo.jpg", ".hidden.zip", "empty", "photos.rar", "no.zip"])
def test_what_is_no_origin(tmp_path, name):
    for file in ("photo.jpg", ".hidden.zip", "photos.rar", "no.zip"):
        (tmp_path / file).write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    error = failure(tmp_path / name, tmp_path)
    assert isinstance(error, BadData)
    assert name in str(error)


def test_a_remote_folder(tmp_path, memory):
    memory.pipe({f"/bucket/photos/{name}": data for name, data in FILES.items()})
    assert brought("memory://bucket/photos", tmp_path) == FILES


def test_a_remote_archive_is_checked_like_a_local_one(tmp_path, memory):
    data = write_zip(tmp_path / "photos.zip", FILES).read_bytes()
    memory.pipe("/bucket/photos.zip", data)
    assert brought("memory://bucket/photos.zip", tmp_path) == {"photos.zip": data}
    memory.pipe("/bucket/bad.zip", write_zip(tmp_path / "b.zip", {"/evil": b""}).read_bytes())
    assert str(failure("memory://bucket/bad.zip", tmp_path / "other")).startswith("memory://bucket/bad.zip: member")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a/../../evil.jpg"], "leads out"),
        (["a/new\nline.jpg"], "control character"),
        (["a\\b.jpg"], "backslash"),
        (["a//b.jpg"], "no name of a file"),
        (["a/1.jpg", "A/1.JPG"], "differ in case"),
        (["a", "a/1.jpg"], "is a file and a folder"),
    ],
)
def test_case_26_names_from_a_remote_place_are_checked(tmp_path, memory, names, said):
    for name in names:
        memory.store[f"/bucket/{name}"] = memory.open("/x", "wb")
    assert said in str(failure("memory://bucket", tmp_path))
    assert not list(tmp_path.rglob("evil.jpg"))


def test_a_file_that_comes_short_leaves_nothing(tmp_path, memory, monkeypatch):
    memory.pipe({f"/bucket/{name}": data for name, data in FILES.items()})
    origin = find_origin("memory://bucket")
    memory.pipe("/bucket/cat/1.jpg", b"o")
    with pytest.raises(BadData, match=r"'cat/1\.jpg' came with 1 of 3 bytes"):
        bring(origin, tmp_path / "data/raw")
    assert not list((tmp_path / "data").iterdir())


def test_an_archive_from_a_web_server(tmp_path, web):
    url, folder = web
    data = write_tar(folder / "my photos.tgz", FILES, mode="w:gz")
    assert data.is_file()
    plain = write_tar(tmp_path / "plain.tar", FILES).read_bytes()
    assert brought(f"{url}/my%20photos.tgz?download=1", tmp_path) == {"my photos.tar": plain}


def test_a_listing_from_a_web_server(tmp_path, web):
    url, folder = web
    for name, data in {**FILES, "dog/a ü.jpg": b"four"}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    assert brought(f"{url}/", tmp_path) == {**FILES, "dog/a ü.jpg": b"four"}


def test_what_a_server_does_not_have_and_a_server_that_is_not_there(tmp_path, web):
    url, _ = web
    gone = failure(f"{url.replace('//', '//me:secret@')}/gone.zip?token=secret", tmp_path)
    assert isinstance(gone, BadData)
    assert "gone.zip is not there" in str(gone)
    assert "secret" not in str(gone)
    nobody = failure("http://127.0.0.1:1/photos.zip", tmp_path)
    assert isinstance(nobody, BadEnvironment)
    assert "cannot be reached" in str(nobody)


def test_a_protocol_without_its_package_names_it(tmp_path):
    error = failure("s3://bucket/photos", tmp_path)
    assert isinstance(error, BadEnvironment)
    assert "needs the package s3fs" in str(error)
    assert isinstance(failure("nonsense://bucket", tmp_path), BadUsage)


def test_a_path_that_looks_like_an_address_is_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my::photos/cat").mkdir(parents=True)
    (tmp_path / "my::photos/cat/1.jpg").write_bytes(b"x")
    assert brought("my::photos", tmp_path) == {"cat/1.jpg": b"x"}
    assert brought(f"file://{tmp_path}/my::photos", tmp_path / "second") == {"cat/1.jpg": b"x"}
