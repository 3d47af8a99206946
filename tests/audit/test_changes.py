"""What differs between two audits, and whether by more than chance."""

import numpy as np
import pytest

from tasks.audit.changes import compare_findings, compare_samples
from tasks.audit.differences import Difference, corrected, differences, two_sided


def statistic(
    name: str, value: float | None, n: int = 100, half: float | None = None, estimator: str = "share"
) -> dict:
    low, high = (value - half, value + half) if half is not None and value is not None else (None, None)
    return {"name": name, "value": value, "n": n, "low": low, "high": high, "estimator": estimator}


def report(sizes: dict, *statistics: dict) -> dict:
    """The document of an audit, its numbers by group held back."""
    composition = {label: {"some": None, "other": None} for label in sizes}
    bias = {"composition": composition, "findings": [{"statistic": statistic("x", 1)}], "associations": [*statistics]}
    return {"subject": {"split_sizes": sizes}, "bias": bias}


def test_samples_are_told_apart_by_their_bytes():
    old = {"a": (("cat", "train"),), "b": (("cat", "train"),), "c": (("dog", "val"),), "gone": (("dog", "val"),)}
    new = {"a": (("cat", "train"),), "b": (("dog", "train"),), "c": (("dog", "test"),), "came": (("dog", "val"),)}
    found = compare_samples(old, new)
    assert (found.added, found.removed) == (("came",), ("gone",))
    assert [(one.sha256, one.before, one.after) for one in found.relabelled] == [("b", "cat", "dog")]
    assert [(one.sha256, one.before, one.after) for one in found.moved] == [("c", "val", "test")]


def finding(name: str, message: str, severity: str = "warn") -> dict:
    return {
        "check": "overlay",
        "subject": "cat",
        "severity": severity,
        "message": message,
        "statistic": statistic(name, 1.0),
    }


def test_findings_of_one_check_and_subject_are_told_apart():
    old = [finding("corner", "in 3"), finding("corner", "in 4"), finding("edge", "in 5"), finding("edge", "twice")]
    new = [finding("corner", "in 3"), finding("corner", "in 4", "error"), finding("edge", "twice"), finding("rim", "x")]
    documents = [{"gate": {"findings": rows[:1]}, "bias": {"findings": rows[1:]}} for rows in (old, new)]
    found = compare_findings(*documents)
    assert [(one.what, one.severity, one.message) for one in found] == [
        ("new", "warn", "x"),
        ("gone", "warn", "in 5"),
        ("changed", "error", "in 4"),
    ]
    assert compare_findings(documents[0], documents[0]) == ()


def test_a_finding_that_stands_twice_and_then_once_is_gone_once():
    twice, once = ({"gate": {"findings": []}, "bias": {"findings": [finding("edge", "x")] * n}} for n in (2, 1))
    assert [one.what for one in compare_findings(twice, once)] == ["gone"]
    assert [one.what for one in compare_findings(once, twice)] == ["new"]


def test_two_shares_by_hand():
    """30 and 50 of 100: pooled 0.4, standard error 0.0693, z = 2.887."""
    found = differences(report({"a": {"all": 30}, "b": {"all": 70}}), report({"a": {"all": 50}, "b": {"all": 50}}))
    assert [one.name for one in found] == ["share of a", "share of b"]
    assert found[0].p_value == pytest.approx(2 * 0.00389, rel=0.01)  # Holm: two tests


def test_intervals_by_hand():
    """0.1 apart with half widths of 0.06 and 0.08: a standard error of 0.1 / 1.96, so p is 0.05."""
    same = {"a": {"all": 50}, "b": {"all": 50}}
    found = differences(
        report(same, statistic("v", 0.5, half=0.06)), report(same, statistic("v", 0.6, half=0.08, estimator="share"))
    )
    assert [(one.name, one.before, one.after) for one in found] == [("associations: v", 0.5, 0.6)]
    assert found[0].p_value == pytest.approx(min(1, 3 * 0.05), rel=0.01)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (statistic("v", 0.5), statistic("v", 0.9)),
        (statistic("v", None), statistic("v", 0.9, half=0.1)),
        (statistic("v", 0.5, half=0.0), statistic("v", 0.9, half=0.0)),
        (statistic("v", 0.5, half=0.1), statistic("v", 0.9, half=0.1, estimator="another")),
    ],
)
def test_what_has_no_interval_or_another_meaning_is_shown_and_not_tested(old, new):
    (found,) = differences(report({}, old), report({}, new))
    assert found.p_value is None
    assert found.test == "no interval, no test"


def test_a_class_of_few_images_is_shown_and_not_tested():
    found = differences(report({"a": {"all": 3}, "b": {"all": 97}}), report({"a": {"all": 1}, "b": {"all": 99}}))
    assert {one.test for one in found} == {"too few images for a test"}


def test_holm_by_hand():
    found = [Difference(name, 0, 1, 9, 9, "", p) for name, p in (("a", 0.01), ("b", 0.04), ("c", 0.03), ("d", None))]
    assert {one.name: one.p_value for one in corrected(found)} == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": None}
    )


def test_unchanged_numbers_count_as_tests_and_are_not_shown():
    many = {f"c{i}": {"all": 100} for i in range(8)}
    found = differences(report(many, statistic("v", 0.5, half=0.06)), report(many, statistic("v", 0.6, half=0.08)))
    assert [one.p_value for one in found] == [pytest.approx(9 * 0.05, rel=0.01)]


def test_false_alarms_of_the_family_stay_within_five_per_cent():
    """600 pairs of data sets from one population of four classes: any p below 0.05 is a false alarm."""
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(600):
        counts = rng.multinomial(400, [0.4, 0.3, 0.2, 0.1], size=2)
        old, new = (report({f"c{i}": {"all": int(n)} for i, n in enumerate(row)}) for row in counts)
        alarms += any(one.p_value is not None and one.p_value < 0.05 for one in differences(old, new))
    assert alarms <= 600 * 0.05 + 2.6 * (600 * 0.05 * 0.95) ** 0.5


def test_two_sided_is_the_normal_distributions():
    assert two_sided(1.959964, 1.0) == pytest.approx(0.05, rel=1e-5)
    assert two_sided(0.0, 1.0) == 1.0
