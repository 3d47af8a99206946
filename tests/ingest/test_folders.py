import os

from tasks.ingest.folders import folder_labels, list_files


def put(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def test_hidden_and_system_names_are_no_samples(tmp_path):
    put(
        tmp_path, "a/1.jpg", "a/.hidden.jpg", ".ipynb_checkpoints/1.jpg", "__MACOSX/a/1.jpg", "a/Thumbs.db", ".DS_Store"
    )
    listing = list_files(tmp_path)
    assert [file.path for file in listing.files] == ["a/1.jpg"]
    assert listing.others == 0


def test_a_name_decides_what_may_be_a_sample(tmp_path):
    put(tmp_path, "a/1.JPG", "a/unknown.xyz", "a/noending", "a/notes.txt", "a/labels.csv", "root.png", "README")
    listing = list_files(tmp_path)
    assert [file.path for file in listing.files] == ["a/1.JPG", "a/noending", "a/unknown.xyz", "root.png"]
    assert listing.others == 3


def test_the_table_is_neither_sample_nor_ignored(tmp_path):
    put(tmp_path, "a/1.jpg", "metadata.csv", "a/labels")
    assert list_files(tmp_path, tmp_path / "metadata.csv").others == 0
    listing = list_files(tmp_path, tmp_path / "a/labels")
    assert ([file.path for file in listing.files], listing.others) == (["a/1.jpg"], 1)


def test_what_cannot_be_read_is_a_row_with_a_reason(tmp_path):
    root = tmp_path / "raw"
    put(tmp_path, "outside.jpg", "elsewhere/1.jpg", "raw/a/1.jpg")
    (root / "a/out.jpg").symlink_to(tmp_path / "outside.jpg")
    (root / "a/in.jpg").symlink_to(root / "a/1.jpg")
    (root / "a/broken.jpg").symlink_to(root / "nowhere")
    (root / "a/loop.jpg").symlink_to(root / "a/loop.jpg")
    (root / "b").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(root / "a/pipe.jpg")
    reasons = {file.path: file.reasons for file in list_files(root).files}
    assert reasons.pop("a/loop.jpg") in {("unreadable",), ("not_a_file",)}
    assert reasons == {
        "a/1.jpg": (),
        "a/broken.jpg": ("not_a_file",),
        "a/in.jpg": (),
        "a/out.jpg": ("leaves_folder",),
        "a/pipe.jpg": ("not_a_file",),
        "b": ("leaves_folder",),
    }


def test_a_name_that_is_no_text_is_counted(tmp_path):
    put(tmp_path, "a/1.jpg")
    (tmp_path / os.fsdecode(b"a/\xff.jpg")).write_bytes(b"x")
    found = list_files(tmp_path).files
    assert [(file.path, file.reasons) for file in found] == [("a/1.jpg", ()), ("a/\\xff.jpg", ("unreadable",))]


def test_the_top_folder_is_the_label():
    assert folder_labels(["cat/1.jpg", "cat/deep/2.jpg", "3.jpg"]) == [("cat", None), ("cat", None), (None, None)]


def test_folders_named_like_splits_are_splits_if_all_are():
    assert folder_labels(["train/cat/1.jpg", "Valid/dog/x/2.jpg", "test/3.jpg"]) == [
        ("cat", "train"),
        ("dog", "val"),
        (None, "test"),
    ]
    assert folder_labels(["train/1.jpg", "bus/2.jpg"]) == [("train", None), ("bus", None)]
