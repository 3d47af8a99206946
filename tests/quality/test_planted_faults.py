"""A few planted faults, copies and broken files, read and judged as graft does.

`python -m benchmarks.measures` and `python -m benchmarks.quality` do it at size.
"""

import pytest

from benchmarks import broken, checkers, copies
from benchmarks.faults import Plan, plant
from benchmarks.measures import evaluate


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    return {one.reason: one for one in evaluate(folder, plant(folder, 7, Plan(scenes=120, hard=2, each=6)))}


def test_most_planted_faults_are_found(scores):
    assert {reason for reason, one in scores.items() if one.recall < 0.65} <= {"outlier", "greyscale"}


def test_most_flags_are_right(scores):
    assert {reason for reason, one in scores.items() if one.precision < 0.65} <= {"outlier"}


def test_every_planted_broken_file_is_told_from_the_good_ones(tmp_path):
    truth = broken.plant(tmp_path, seed=3, each=2, good=10)
    found = broken.table(truth, checkers.graft(tmp_path)["flags"])
    assert len(found) == len(broken.KINDS) + 1
    assert (found["right"] == found["files"]).all()


def test_planted_copies_are_found_and_nothing_else(tmp_path):
    truth = copies.plant(tmp_path, seed=5, images=150)
    found = {tuple(sorted(pair)) for pair in checkers.graft(tmp_path)["pairs"]}
    planted = set(zip(truth.pairs["a"], truth.pairs["b"], strict=True))
    assert len(planted) > 30
    assert len(planted & found) >= 0.95 * len(planted)
    assert len(found - planted) <= 1
