"""Which files are meant; what leads nowhere stays and says so, whatever the name."""

import pytest

from tasks.contracts.errors import BadUsage
from tasks.contracts.raw import Unreadable
from tasks.predict.inputs import find_files, reading


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("b.jpg", "a.PNG", "deep/er/c.webp", "deep/noending", "notes.txt", ".hidden.jpg", "x[1].jpg", "x1.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_is_all_images_below_it_by_name(folder):
    found = find_files(["."], ())
    assert found == ["a.PNG", "b.jpg", "deep/er/c.webp", "deep/noending", "x1.jpg", "x[1].jpg"]


def test_a_file_that_is_named_like_a_pattern_is_itself(folder):
    assert find_files(["x[1].jpg"], ()) == ["x[1].jpg"]
    assert find_files(["x[2-9].jpg", "x?.jpg"][1:], ()) == ["x1.jpg"]


def test_each_file_once_in_the_order_of_the_arguments(folder):
    assert find_files(["b.jpg", "-", "*.jpg"], ["x1.jpg\n", "\n", "b.jpg\r\n"]) == ["b.jpg", "x1.jpg", "x[1].jpg"]


@pytest.mark.parametrize("name", ["nowhere.jpg", "nul\0.jpg", "n" * 300 + ".jpg", "half\udcff.jpg", "deep"])
def test_what_cannot_be_read_is_a_reason_not_an_error(folder, name):
    (one,) = reading(find_files(["-"], [name]))
    assert one[0] == name
    with pytest.raises(Unreadable) as caught:
        one[1]()
    assert caught.value.reason in {"missing_file", "unreadable", "not_a_file"}


@pytest.mark.parametrize("wanted", [["deep/*.jpg"], ["-"], ["empty"]])
def test_nothing_is_said_to_be_nothing(folder, wanted):
    (folder / "empty").mkdir()
    with pytest.raises(BadUsage):
        find_files(wanted, ())
