import socket
from dataclasses import replace

import pytest

from tasks.backbone.download import CannotDownload, NotServed, fetch
from tasks.contracts.errors import BadEnvironment, BadUsage, BrokenArtifact

CONTENT = b"weights " * 300_000  # 2.4 MB, more than one piece


def files_in(folder):
    return [path.name for path in folder.rglob("*")] if folder.exists() else []


def test_good_file_is_kept_and_not_asked_for_again(server, folder, offer):
    entry = offer(CONTENT)
    assert fetch(entry, offline=False).read_bytes() == CONTENT
    assert files_in(folder) == [entry.file.name]
    assert fetch(entry, offline=True) == entry.file
    assert len(server.asked) == 1


def test_other_bytes_than_promised_are_refused_and_removed(server, folder, offer):
    entry = offer(CONTENT)
    server.files[server.path_of(entry)] = CONTENT[::-1]
    with pytest.raises(BrokenArtifact, match="sha256") as caught:
        fetch(entry, offline=False)
    assert caught.value.exit_code == 5
    assert files_in(folder) == []


def test_far_larger_file_is_not_downloaded_to_its_end(server, folder, offer):
    entry = replace(offer(CONTENT), megabytes=1.0)
    with pytest.raises(BrokenArtifact, match="more bytes"):
        fetch(entry, offline=False)
    assert files_in(folder) == []


@pytest.mark.parametrize(("status", "only_this_file"), [(404, True), (403, False), (503, False)])
def test_refusals_are_told_apart(server, folder, offer, status, only_this_file):
    entry = offer(CONTENT)
    server.status = status
    with pytest.raises(CannotDownload, match=f"{status}.*graft backbones --fetch shufflenet_v2_x0_5") as caught:
        fetch(entry, offline=False)
    assert isinstance(caught.value, NotServed) is only_this_file
    assert isinstance(caught.value, BadEnvironment)
    assert str(status) in caught.value.reason
    assert "/" not in caught.value.reason
    assert files_in(folder) == []


def test_cut_connection_is_a_failure_of_the_network_not_of_the_file(server, folder, offer):
    entry = offer(CONTENT)
    server.cut_after = 1_500_000
    with pytest.raises(CannotDownload, match="cut after"):
        fetch(entry, offline=False)
    assert files_in(folder) == []


def test_closed_server(folder, offer):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    entry = replace(offer(CONTENT), url=f"http://127.0.0.1:{port}/models/x.pth")
    with pytest.raises(CannotDownload) as caught:
        fetch(entry, offline=False)
    assert caught.value.reason == "Connection refused"
    assert str(caught.value).isprintable()


def test_folder_that_cannot_be_written_is_told(server, folder, offer):
    entry = offer(CONTENT)
    folder.parent.mkdir(parents=True)
    folder.write_text("a file in the way")
    with pytest.raises(CannotDownload, match="could not be kept"):
        fetch(entry, offline=False)


def test_offline_asks_nobody(server, folder, offer):
    with pytest.raises(CannotDownload, match="switched off"):
        fetch(offer(CONTENT), offline=True)
    assert server.asked == []


def test_mirror_serves_in_place_of_the_address(server, folder, offer, monkeypatch):
    entry = replace(offer(CONTENT), url="https://download.pytorch.org/models/other.pth")
    monkeypatch.setenv("GRAFT_WEIGHTS_MIRROR", f"{server.address}/models/")
    assert fetch(entry, offline=False).read_bytes() == CONTENT
    assert server.asked == [f"/models/{entry.file.name}"]


@pytest.mark.parametrize("mirror", ["file:///etc", "ftp://mirror", "/models"])
def test_mirror_must_be_an_http_address(folder, offer, monkeypatch, mirror):
    monkeypatch.setenv("GRAFT_WEIGHTS_MIRROR", mirror)
    with pytest.raises(BadUsage, match="GRAFT_WEIGHTS_MIRROR"):
        fetch(offer(CONTENT), offline=False)
