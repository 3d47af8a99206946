"""A small set of planted faults, read and judged as graft does; `python -m benchmarks.measures` is the full one."""

import pytest

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
