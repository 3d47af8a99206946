import pandas as pd

from tasks.quality.duplicates import find_duplicates


def table(*rows: tuple[str, str | None, str | None, str, int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["path", "label", "split", "sha256", "pixels"]).astype(
        {"path": "str", "label": "str", "split": "str", "sha256": "str"}
    )


def test_no_duplicates_gives_empty_columns():
    found = find_duplicates(table(("1", "a", None, "x", 0), ("2", "a", None, "y", 1)))
    assert found.reasons == {}
    assert {name: str(kind) for name, kind in found.pairs.dtypes.items()} == {
        "a": "str",
        "b": "str",
        "kind": "str",
        "cross_split": "bool",
    }


def test_within_a_class_the_first_path_stays():
    found = find_duplicates(table(("3", "a", None, "x", 0), ("1", "a", None, "x", 0), ("2", "a", None, "x", 0)))
    assert found.reasons == {0: "duplicate", 2: "duplicate"}
    assert found.pairs.to_numpy().tolist() == [["1", "2", "exact", False], ["1", "3", "exact", False]]


def test_the_copy_in_test_stays():
    found = find_duplicates(
        table(
            ("1", "a", "train", "x", 0), ("2", "a", "val", "x", 0), ("3", "a", "test", "x", 0), ("0", "a", None, "x", 0)
        )
    )
    assert found.reasons == {0: "duplicate", 1: "duplicate", 3: "duplicate"}
    assert found.pairs.to_numpy().tolist() == [
        ["3", "0", "exact", False],
        ["3", "1", "exact", True],
        ["3", "2", "exact", True],
    ]


def test_under_two_labels_every_copy_goes():
    found = find_duplicates(table(("1", "a", None, "x", 0), ("2", "b", None, "x", 0), ("3", "a", None, "x", 0)))
    assert found.reasons == dict.fromkeys(range(3), "conflicting_labels")
    assert list(found.pairs["b"]) == ["2", "3"]


def test_what_has_no_pixels_or_no_label_is_no_duplicate():
    found = find_duplicates(
        table(("1", "a", None, "x", -1), ("2", "b", None, "x", -1), ("3", "a", None, "y", 0), ("4", None, None, "y", 0))
    )
    assert (found.reasons, len(found.pairs)) == ({}, 0)
