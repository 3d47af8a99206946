import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.params import SplitShares
from tasks.contracts.records import SPLITS
from tasks.quality.splits import Assignment, assign, crossing, hashed_split, uniform

SHARES = SplitShares()
Pairs = list[tuple[int, int]]


def frame(rows: list[tuple[str | None, str | None, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["split", "group", "sha256"]).astype("str")


def pairs(*rows: tuple[int, int]) -> pd.DataFrame:
    return pd.DataFrame(np.array(rows, np.int64).reshape(-1, 2), columns=["a", "b"])


def assigned(rows: list, near: pd.DataFrame | None = None, remembered: dict | None = None) -> Assignment:
    return assign(frame(rows), pairs() if near is None else near, remembered or {}, SHARES)


def key_of(split: str, start: int = 0) -> str:
    """A content hash that belongs to `split` by itself."""
    return next(str(i) for i in range(start, start + 1000) if hashed_split(str(i), SHARES) == split)


def test_a_declared_split_wins_then_the_group_then_the_bytes():
    rows = [("val", None, "1"), (None, "g", "2"), (None, "g", "3"), (None, None, "2")]
    group = hashed_split("group:g", SHARES)
    assert list(assigned(rows).split) == ["val", group, group, hashed_split("2", SHARES)]


def test_the_number_is_the_hash():
    # printf x | sha256sum: 2d711642b726...
    assert uniform("x") == 0x2D711642B726 / 2**48


def test_the_shares_are_met():
    counts = pd.Series([hashed_split(str(i), SHARES) for i in range(20_000)]).value_counts(normalize=True)
    assert all(abs(counts[split] - getattr(SHARES, split)) < 0.01 for split in SPLITS)


def test_a_share_of_zero_gets_nothing():
    shares = SplitShares(train=0.0, val=0.5, promotion=0.0, test=0.5)
    assert {hashed_split(str(i), shares) for i in range(500)} == {"val", "test"}


def test_near_duplicates_share_the_split_of_the_smallest_hash():
    test, train = key_of("test"), key_of("train", 1000)
    rows = [(None, None, key) for key in (test, train)]
    assert set(assigned(rows, pairs((0, 1))).split) == {hashed_split(min(test, train), SHARES)}
    assert list(assigned(rows).split) == ["test", "train"]


def test_a_chain_is_one_component_with_the_groups_at_its_ends():
    rows = [
        (None, "g", "a"),
        (None, "g", "b"),
        (None, None, "c"),
        (None, "h", "d"),
        (None, "h", "e"),
        (None, None, "f"),
    ]
    found = assigned(rows, pairs((1, 2), (2, 3)))
    assert found.component[:5].nunique() == 1
    assert found.split[:5].nunique() == 1
    assert found.component[5] != found.component[0]
    assert not found.reasons


def test_a_new_image_joins_what_it_resembles():
    train, test = key_of("train"), key_of("test", 1000)
    found = assigned([(None, None, train), (None, None, test)], pairs((0, 1)), {test: "test"})
    assert list(found.split) == ["test", "test"]


def test_a_new_image_that_would_bridge_splits_is_taken_out():
    found = assigned(
        [(None, None, "a"), (None, None, "b"), (None, None, "new")], pairs((0, 2), (1, 2)), {"a": "train", "b": "test"}
    )
    assert found.reasons == {2: "bridges_splits"}
    assert found.split.tolist()[:2] == ["train", "test"]
    assert pd.isna(found.split[2])


def test_of_near_duplicates_in_declared_splits_test_stays():
    found = assigned([("train", None, "a"), ("test", None, "b"), ("train", None, "c")], pairs((0, 1), (1, 2)))
    assert found.reasons == {0: "near_duplicate", 2: "near_duplicate"}


def test_an_empty_table_is_assigned():
    assert assigned([]).split.empty


IMAGE = st.tuples(st.sampled_from([None, None, None, *SPLITS]), st.sampled_from([None, None, "g", "h"]))


@given(st.data())
@settings(deadline=None, max_examples=80)
def test_over_any_history_nothing_moves_and_nothing_leaks(data):
    """Images are added in steps; which resemble each other is drawn once and does not change."""
    total = data.draw(st.integers(1, 16))
    images = [(*data.draw(IMAGE), f"{i:03}") for i in data.draw(st.permutations(range(total)))]
    links: Pairs = data.draw(st.lists(st.tuples(st.integers(0, total - 1), st.integers(0, total - 1)), max_size=10))
    near = [(min(a, b), max(a, b)) for a, b in links if a != b]
    steps = sorted(data.draw(st.sets(st.integers(1, total), min_size=1)) | {total})
    remembered: dict[str, str] = {}
    for size in steps:
        table = frame(images[:size])
        found = assign(table, pairs(*(pair for pair in near if pair[1] < size)), remembered, SHARES)
        now = dict(zip(table["sha256"], found.split, strict=True))
        kept = {key: split for key, split in now.items() if isinstance(split, str)}
        assert all(kept[key] == split for key, split in remembered.items() if key in kept)
        assert set(now) - set(kept) == {table["sha256"][row] for row in found.reasons}
        for a, b in near:
            assert len({kept[images[i][2]] for i in (a, b) if images[i][2] in kept}) <= 1 or b >= size
        groups = pd.DataFrame({"group": table["group"], "split": found.split}).dropna()
        assert (groups.groupby("group")["split"].nunique() <= 1).all()
        remembered |= kept


@given(st.lists(st.tuples(st.sampled_from([None, "g", "h"]), st.sampled_from(SPLITS)), max_size=30))
@settings(deadline=None)
def test_afterwards_no_group_is_in_two_splits(rows):
    groups = pd.Series([row[0] for row in rows], dtype="str")
    splits = pd.Series([row[1] for row in rows], dtype="str")
    out = crossing(groups, splits)
    left = pd.DataFrame({"group": groups, "split": splits}).drop(index=out)
    assert (left.groupby("group")["split"].nunique() <= 1).all()
    assert set(left["group"].dropna()) == set(groups.dropna())  # no group is lost


def test_the_larger_side_stays_and_test_decides_a_tie():
    groups = pd.Series(["g", "g", "g", "h", "h", None], dtype="str")
    splits = pd.Series(["train", "test", "train", "train", "test", "val"], dtype="str")
    assert crossing(groups, splits) == [1, 3]
