import pandas as pd
import pytest

from tasks.quality.duplicates import exact_duplicates, near_duplicates


def table(*rows: tuple[str, str | None, str | None, str, int | None]) -> pd.DataFrame:
    return (
        pd.DataFrame(rows, columns=["path", "label", "split", "sha256", "pixels_crc32"])
        .astype({"path": "str", "label": "str", "split": "str", "sha256": "str", "pixels_crc32": "Int64"})
        .assign(decision=pd.Series(dtype="str"))
    )


def alike(*rows: tuple[int, int, str, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["a", "b", "kind", "similarity"]).astype({"a": "int64", "b": "int64"})


def test_no_duplicates_gives_empty_columns():
    found = exact_duplicates(table(("1", "a", None, "x", 0), ("2", "a", None, "y", 1)))
    assert found.reasons == {}
    assert {name: str(kind) for name, kind in found.pairs.dtypes.items()} == {
        "a": "str",
        "b": "str",
        "kind": "str",
        "cross_split": "bool",
        "similarity": "float64",
    }


def test_within_a_class_the_first_path_stays():
    found = exact_duplicates(table(("3", "a", None, "x", 0), ("1", "a", None, "x", 0), ("2", "a", None, "x", 0)))
    assert found.reasons == {0: "duplicate", 2: "duplicate"}
    assert found.pairs.to_numpy().tolist() == [["1", "2", "exact", False, 1.0], ["1", "3", "exact", False, 1.0]]


def test_the_copy_in_test_stays():
    found = exact_duplicates(
        table(
            ("1", "a", "train", "x", 0), ("2", "a", "val", "x", 0), ("3", "a", "test", "x", 0), ("0", "a", None, "x", 0)
        )
    )
    assert found.reasons == {0: "duplicate", 1: "duplicate", 3: "duplicate"}
    assert found.pairs.to_numpy().tolist() == [
        ["3", "0", "exact", False, 1.0],
        ["3", "1", "exact", True, 1.0],
        ["3", "2", "exact", True, 1.0],
    ]


def test_under_two_labels_every_copy_goes():
    found = exact_duplicates(table(("1", "a", None, "x", 0), ("2", "b", None, "x", 0), ("3", "a", None, "x", 0)))
    assert found.reasons == dict.fromkeys(range(3), "conflicting_labels")
    assert list(found.pairs["b"]) == ["2", "3"]


def test_what_has_no_pixels_or_no_label_is_no_duplicate():
    found = exact_duplicates(
        table(
            ("1", "a", None, "x", None),
            ("2", "b", None, "x", None),
            ("3", "a", None, "y", 0),
            ("4", None, None, "y", 0),
        )
    )
    assert (found.reasons, len(found.pairs)) == ({}, 0)


FOUR = table(
    ("1", "a", "train", "x", 0), ("2", "a", "test", "y", 0), ("3", "b", None, "z", 0), ("4", "b", None, "w", 0)
).set_axis([10, 20, 30, 40])


def test_near_duplicates_of_one_label_are_linked():
    found = near_duplicates(FOUR, alike((0, 1, "near", 0.99), (2, 3, "mirrored", 0.9)))
    assert found.reasons == {}
    assert found.links.to_numpy().tolist() == [[10, 20], [30, 40]]
    assert found.pairs.to_numpy().tolist() == [["1", "2", "near", True, 0.99], ["3", "4", "mirrored", False, 0.9]]


def test_the_same_picture_under_two_labels_goes():
    found = near_duplicates(FOUR, alike((0, 1, "near", 0.99), (1, 2, "cropped", 0.98)))
    assert found.reasons == dict.fromkeys((20, 30), "conflicting_labels")
    assert len(found.links) == 0


@pytest.mark.parametrize(("kind", "similarity"), [("mirrored", 1.0), ("rotated", 1.0), ("near", 0.9), ("cropped", 0.9)])
def test_a_turned_or_differing_copy_of_another_label_is_kept_suspect_and_in_the_same_split(kind, similarity):
    found = near_duplicates(FOUR, alike((1, 2, kind, similarity)))
    assert found.reasons == dict.fromkeys((20, 30), "suspect_label")
    assert found.links.to_numpy().tolist() == [[20, 30]]


def test_what_a_person_ruled_stands():
    ruled = FOUR.assign(decision=["keep", None, "keep", None])
    found = near_duplicates(ruled, alike((0, 2, "near", 1.0), (0, 3, "near", 1.0)))
    assert found.reasons == {40: "conflicting_labels"}
    assert found.links.to_numpy().tolist() == [[10, 30]]


def test_nothing_alike_gives_empty_tables():
    found = near_duplicates(table(("1", "a", None, "x", 0)), alike())
    assert (found.reasons, len(found.pairs), len(found.links)) == ({}, 0, 0)
    assert found.pairs["cross_split"].dtype == bool
