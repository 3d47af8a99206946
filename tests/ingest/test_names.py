import pytest

from tasks.ingest.names import ending, folded, is_visible, may_be_sample, problem_of, twins


@pytest.mark.parametrize(
    ("path", "expected"),
    [("a/b.JPG", ".jpg"), ("a.b/c", ""), ("a/.hidden", ""), ("a/b.", ""), ("a/b.tar.gz", ".gz"), ("b", "")],
)
def test_ending(path, expected):
    assert ending(path) == expected


def test_case_31_hidden_and_system_names_in_any_case():
    hidden = (".git", ".DS_Store", "__MACOSX", "Thumbs.db", "THUMBS.DB", "desktop.ini", "@eaDir", "lost+found")
    assert not any(map(is_visible, hidden))
    assert all(map(is_visible, ("cat", "a.hidden", "thumbs", "MACOSX")))


def test_what_may_be_a_sample():
    assert all(map(may_be_sample, ("1.jpg", "a/1", "a/1.xyz", "a/1.TIFF")))
    assert not any(map(may_be_sample, ("1", "1.xyz", "a/1.txt", "a/1.zip", "a/1.cls", "metadata.jsonl")))


@pytest.mark.parametrize(
    "name",
    [
        "a/b.jpg",
        "-rf.jpg",
        "<script>alert(1)</script>.jpg",
        'it\'s "quoted".jpg',
        "a..b.jpg",
        "...jpg",
        "Screenshot 2024-05-01 at 3.45.12\u202fPM.png",
        "a\u00a0b.jpg",
        "\U0001f642.jpg",
        "n" * 255,
    ],
)
def test_odd_names_that_are_fair(name):
    assert problem_of(name) is None


@pytest.mark.parametrize(
    "name",
    ["/a", "//a", "..", "a/..", "../a", "a\\b", "C:a", "z:/a", "a\nb", "a\x7f", "a\u2028b", "", "./", "n/" * 2100],
)
def test_names_that_are_not(name):
    assert problem_of(name)


def test_twins():
    assert twins(["a/B.jpg", "c", "A/b.JPG"]) == ("a/B.jpg", "A/b.JPG")
    assert twins(["stra\u00dfe", "STRASSE"]) == ("stra\u00dfe", "STRASSE")
    assert twins(["a", "a"]) == ("a", "a")
    assert twins(["a", "\u00e1", "b"]) is None
    assert folded("\u00c9") == folded("e\u0301")
