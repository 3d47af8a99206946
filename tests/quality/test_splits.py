import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.contracts.params import SplitShares
from tasks.contracts.records import SPLITS
from tasks.quality.splits import assign, crossing, hashed_split, uniform

SHARES = SplitShares()


def frame(rows: list[tuple[str | None, str | None, str]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["split", "group", "sha256"]).astype("str")


def test_a_declared_split_wins_then_the_group_then_the_bytes():
    table = frame([("val", "g", "1"), (None, "g", "2"), (None, "g", "3"), (None, None, "2")])
    assert list(assign(table, SHARES)) == [
        "val",
        hashed_split("group:g", SHARES),
        hashed_split("group:g", SHARES),
        hashed_split("2", SHARES),
    ]


def test_a_row_without_anything_has_no_split():
    table = pd.DataFrame({"split": [None], "group": [None], "sha256": [None]}, dtype="str")
    assert assign(table, SHARES).isna().all()


def test_the_number_is_the_hash():
    # printf x | sha256sum: 2d711642b726...
    assert uniform("x") == 0x2D711642B726 / 2**48


def test_the_shares_are_met():
    counts = pd.Series([hashed_split(str(i), SHARES) for i in range(20_000)]).value_counts(normalize=True)
    assert all(abs(counts[split] - getattr(SHARES, split)) < 0.01 for split in SPLITS)


def test_a_share_of_zero_gets_nothing():
    shares = SplitShares(train=0.0, val=0.5, promotion=0.0, test=0.5)
    assert {hashed_split(str(i), shares) for i in range(500)} == {"val", "test"}


ROW = st.tuples(
    st.sampled_from([None, None, *SPLITS]), st.sampled_from([None, "g", "h"]), st.integers(0, 10**6).map(str)
)


@given(st.lists(st.lists(ROW, max_size=6), min_size=1, max_size=5), st.randoms())
@settings(deadline=None)
def test_new_images_never_move_an_old_one(history, random):
    known: list[tuple[str | None, str | None, str]] = []
    before: dict[tuple, str] = {}
    for added in history:
        known += added
        random.shuffle(known)
        now = dict(zip(known, assign(frame(known), SHARES), strict=True))
        assert {row: now[row] for row in before} == before
        before = now


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
