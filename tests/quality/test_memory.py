import pytest

from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.params import SplitShares
from tasks.quality.memory import read_splits, write_splits

SHARES = SplitShares()


def test_what_was_written_is_remembered_in_equal_bytes(tmp_path):
    path = tmp_path / "data" / "splits.parquet"
    assert read_splits(path, SHARES) == {}
    write_splits(path, SHARES, {"b": "test", "a": "train"})
    first = path.read_bytes()
    assert read_splits(path, SHARES) == {"a": "train", "b": "test"}
    write_splits(path, SHARES, {"a": "train", "b": "test"})
    assert path.read_bytes() == first
    write_splits(path, SHARES, {})
    assert read_splits(path, SHARES) == {}


def test_other_shares_start_anew_and_say_so(tmp_path, capsys):
    path = tmp_path / "splits.parquet"
    write_splits(path, SHARES, {"a": "train"})
    assert read_splits(path, SplitShares(train=0.7, val=0.05)) == {}
    assert "assigned anew" in capsys.readouterr().err


def test_a_broken_table_is_named(tmp_path):
    (tmp_path / "splits.parquet").write_bytes(b"PAR1")
    with pytest.raises(BrokenArtifact, match=r"splits\.parquet"):
        read_splits(tmp_path / "splits.parquet", SHARES)
