import numpy as np
import pandas as pd
import pytest

from tasks.contracts.errors import BadUsage
from tasks.contracts.params import EvaluateParams
from tasks.evaluate import outcomes as module
from tasks.evaluate.evaluation import HeldOut
from tasks.evaluate.outcomes import outcomes

CLASSES = ("cat", "dog")


def look(meta: dict[str, list[object]], right: np.ndarray, **params: object):
    """Sections by name and findings; every second image is a dog, and the model is right where `right` says."""
    targets = np.arange(len(right)) % 2
    rows = pd.DataFrame({f"meta_{name}": values for name, values in meta.items()}, index=range(len(right)))
    probabilities = np.full((len(right), 2), 0.1)
    probabilities[np.arange(len(right)), np.where(right, targets, 1 - targets)] = 0.9
    split = HeldOut(rows, targets, CLASSES, 0)
    sections, found = outcomes(split, probabilities, EvaluateParams(**params), np.random.default_rng(0))
    return {one.name: {s.name: s for s in one.statistics} for one in sections}, found


def worse_in_the_south() -> tuple[list[str], np.ndarray]:
    """100 images of the north, 4 of them wrong, and 100 of the south, 40 of them wrong, as many cats as dogs."""
    wrong = np.zeros(200, bool)
    wrong[[*range(4), *range(100, 140)]] = True
    return ["north"] * 100 + ["south"] * 100, ~wrong


def test_the_worst_group_is_named_with_its_gap_and_its_interval():
    site, right = worse_in_the_south()
    said, found = look({"site": site}, right)
    section = said["outcomes by site"]
    assert section["site = south: accuracy"].value == 0.6
    assert section["site = north: accuracy"].value == 0.96
    worst = section["site = south: worst group, accuracy difference"]
    assert worst.value == pytest.approx(-0.36)
    assert worst.low < -0.36 < worst.high < -0.2
    assert worst.correction == "Holm over all groups"
    (finding,) = found
    assert (finding.check, finding.subject, finding.severity) == ("worst_group", "site", "warn")
    assert "The model is worse for site = south: -36.0 points" in finding.message


def test_errors_by_class_and_group_by_hand():
    site, right = worse_in_the_south()
    section = look({"site": site}, right)[0]["outcomes by site"]
    # the south has 50 cats and 50 dogs, 20 of each taken for the other
    expected = {"recall": 0.6, "false negative rate": 0.4, "false positive rate": 0.4}
    for name, value in expected.items():
        assert section[f"site = south: cat, {name}"].value == pytest.approx(value)
        assert section[f"site = south: cat, {name}"].n == 50
    assert section["site = south: called cat, selection rate"].value == 0.5
    assert section["site = south: called cat, impact ratio"].value == 1.0
    # confidence is 0.9 throughout: 0.9 - 0.6, and 0.96 - 0.9
    assert section["site = south: calibration error"].value == pytest.approx(0.3)
    assert section["site = north: calibration error"].value == pytest.approx(0.06)


def test_rates_of_too_few_images_are_held_back_with_what_would_tell_them():
    """2 of the 50 cats and 20 of the 50 dogs are of the south."""
    site = np.array(["north"] * 100, dtype=object)
    site[[0, 2, *range(1, 41, 2)]] = "south"
    right = np.arange(100) % 7 > 0
    section = look({"site": site.tolist()}, right)[0]["outcomes by site"]
    errors = ("recall", "false negative rate", "false positive rate")
    held = [section[f"site = {s}: {c}, {e}"] for s in ("north", "south") for c in CLASSES for e in errors]
    assert {(one.value, one.low, one.high, one.status) for one in held} == {(None, None, None, "too_small")}
    assert [one.n for one in held] == [78] * 6 + [22] * 6  # of the group: not 2, 20, 48 or 30
    told = look({"site": site.tolist()}, right, small_group=2)[0]["outcomes by site"]
    assert (told["site = south: cat, recall"].n, told["site = south: cat, false positive rate"].n) == (2, 20)


def test_groups_that_do_alike_give_no_finding():
    right = np.arange(200) % 10 > 0
    said, found = look({"site": ["north"] * 100 + ["south"] * 100}, right)
    assert found == []
    assert set(said) == {"outcomes by site"}


def test_unknown_values_are_counted_apart_and_small_groups_stand_together():
    site = [None] * 20 + ["north"] * 90 + ["south"] * 84 + ["east"] * 3 + ["west"] * 3
    section = look({"site": site}, np.ones(200, bool))[0]["outcomes by site"]
    assert section["site: unknown, or in a group too small to be told, share"].value == 0.1
    accuracies = [name for name in section if name.endswith(": accuracy")]
    assert accuracies == ["site = north: accuracy", "site = south: accuracy", "site = 2 others: accuracy"]
    assert section["site = 2 others: called cat, impact ratio"].status == "skipped"


def test_two_attributes_are_crossed_and_the_clearest_gap_comes_first():
    site, right = worse_in_the_south()
    said, found = look({"lamp": ["day", "day", "flash", "flash"] * 50, "site": site}, right)
    assert list(said) == ["outcomes by site", "outcomes by lamp and site", "outcomes by lamp"]
    assert [one.subject for one in found] == ["site", "lamp and site"]


def test_without_attributes_it_is_said_that_nothing_was_measured():
    for meta in ({}, {"id": [f"file {i}" for i in range(40)]}):
        said, found = look(meta, np.ones(40, bool))
        assert [one.status for one in said["outcomes by group"].values()] == ["not_measurable"]
        assert found == []
    assert look({}, np.ones(0, bool))[1] == []


def test_an_attribute_that_is_not_there_is_bad_usage():
    with pytest.raises(BadUsage, match="no column sex"):
        look({"site": ["n", "s"] * 20}, np.ones(40, bool), attributes=("sex",))


def test_too_many_rates_are_left_out_and_it_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MOST_STATISTICS", 25)
    site, right = worse_in_the_south()
    said, _ = look({"lamp": ["day", "day", "flash", "flash"] * 50, "site": site}, right)
    assert "site = south: cat, recall" in said["outcomes by site"]
    assert said["outcomes by lamp"]["lamp: rates of each class"].status == "skipped"
    assert "lamp = day: accuracy" in said["outcomes by lamp"]


def test_alarms_are_rare_where_groups_mean_nothing():
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng([5, seed])
        meta = {name: rng.choice(list("xyz"), 120).tolist() for name in ("a", "b")}
        alarms += bool(look(meta, rng.random(120) < 0.8)[1])
    assert alarms <= 11  # at most 5 are expected; more than 11 has a chance below 1 %


def test_the_order_of_rows_changes_no_value():
    rng = np.random.default_rng(1)
    site, right = rng.choice(list("xyz"), 80), rng.random(80) < 0.7
    targets, order = np.arange(80) % 2, 2 * rng.permutation(40)
    order = np.concatenate([order, order + 1]).reshape(2, 40).T.ravel()  # cats stay at even places
    assert (targets[order] == targets).all()
    first, again = (look({"site": s.tolist()}, r)[0] for s, r in ((site, right), (site[order], right[order])))
    for name, one in first["outcomes by site"].items():
        assert again["outcomes by site"][name].value == pytest.approx(one.value)
