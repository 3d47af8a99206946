import csv
import io
import re
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from tasks.contracts.params import EvaluateParams
from tasks.evaluate.evaluation import HeldOut
from tasks.evaluate.outcomes import outcomes
from tasks.exports.facts import facts_of
from tasks.exports.groups import COLUMNS, groups_csv, outcome, statistics_csv
from tests.exports.documents import document, made_hostile
from tests.hostile import HOSTILE

TEXTS = tuple(HOSTILE.values())
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", re.ASCII)
STARTS = tuple("=+-@\t\r\uff1d\uff0b\uff0d\uff20")
DROPPED = "\ufeff\u200b\u200c\u200d\u2060\ufffd"  # in front of a formula a program may overlook these


def rows_of(text, delimiter=","):
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def table(text):
    head, *rows = rows_of(text)
    return [dict(zip(head, row, strict=True)) for row in rows]


def formulas(text):
    """Cells that a spreadsheet would run, in whatever way it cuts the text up."""
    cells = [cell for delimiter in ",;\t" for row in rows_of(text, delimiter) for cell in row]
    cells += [piece for cell in cells for piece in cell.splitlines()]
    return [c for c in cells if c.lstrip(DROPPED)[:1] in STARTS and c and not NUMBER.fullmatch(c)]


def test_composition_under_the_names_of_aequitas():
    rows = [row for row in table(groups_csv(facts_of(document()))) if row["attribute_name"] == "site"]
    assert [row["attribute_value"] for row in rows] == ["north", "north", "south", "south"]
    assert [row["label"] for row in rows] == ["cat", "brick", "cat", "brick"]
    assert [(row["group_size"], row["group_label_pos"], row["group_label_neg"]) for row in rows] == [
        ("60", "40", "20"),
        ("60", "20", "40"),
        ("", "", ""),
        ("", "30", ""),
    ]
    assert [row["status"] for row in rows] == ["measured", "measured", "held_back", "measured"]
    assert {row["tpr"] for row in rows} == {""}  # no model was asked by group: that is not zero


def test_a_number_that_is_held_back_cannot_be_had_from_its_neighbours():
    *_, south, other = (row for row in table(groups_csv(facts_of(document()))) if row["attribute_name"] == "site")
    assert (south["status"], south["group_label_pos"], south["group_size"]) == ("held_back", "", "")
    assert (other["status"], other["group_label_pos"]) == ("measured", "30")
    assert (other["group_size"], other["group_label_neg"]) == ("", "")


def test_without_cells_the_declared_group_is_counted():
    plain = document()
    plain["bias"] |= {"cells": [], "composition": {"cat": {"north": 4, "south": None}, "dog": {"north": 6, "south": 5}}}
    rows = [row for row in table(groups_csv(facts_of(plain))) if row["attribute_name"] == "group"]
    assert [(row["label"], row["attribute_value"], row["group_size"], row["group_label_pos"]) for row in rows] == [
        ("cat", "north", "10", "4"),
        ("cat", "south", "", ""),
        ("dog", "north", "10", "6"),
        ("dog", "south", "", "5"),
    ]
    assert {row["split"] for row in rows} == {"all"}


def test_rates_by_hand():
    """40 images of the class, 60 others; 30 of the class and 15 of the others are called it."""
    found = outcome({"tp": 30, "fn": 10, "fp": 15, "tn": 45})
    assert found["pprev"] == 0.45
    assert (found["tpr"], found["fnr"], found["fpr"], found["tnr"]) == (0.75, 0.25, 0.25, 0.75)
    assert (found["precision"], found["fdr"]) == (30 / 45, 15 / 45)
    assert (found["npv"], found["for"]) == (45 / 55, 10 / 55)
    assert (found["group_size"], found["group_label_pos"], found["group_label_neg"]) == (100, 40, 60)
    assert (found["pp"], found["pn"], found["prev"]) == (45, 55, 0.4)


def test_a_rate_of_nothing_is_empty_not_zero():
    found = outcome({"tp": 0, "fn": 0, "fp": 0, "tn": 5})
    assert [found[name] for name in ("tpr", "fnr", "precision", "fdr")] == [None] * 4
    assert found["fpr"] == 0.0


def test_the_classes_of_a_confusion_table():
    seen = document()
    seen["evaluation"] |= {"classes": ["cat", "dog"]}
    seen["evaluation"]["candidate"]["confusion"] = [[8, 2], [1, 9]]
    rows = [row for row in table(groups_csv(facts_of(seen))) if row["attribute_name"] == "all"]
    assert [(row["label"], row["tp"], row["fp"], row["fn"], row["tn"]) for row in rows] == [
        ("cat", "8", "1", "2", "9"),
        ("dog", "9", "2", "1", "8"),
    ]
    assert [row["split"] for row in rows] == ["test", "test"]
    assert [row["tpr"] for row in rows] == ["0.8", "0.9"]


def test_outcomes_by_group_are_those_of_the_evaluation():
    """Against counts by hand: the CSV takes its own back from the rates that the evaluation tells."""
    rng = np.random.default_rng(3)
    targets = rng.integers(0, 2, 400)
    called = np.where(rng.random(400) < 0.8, targets, 1 - targets)
    site = np.where(rng.random(400) < 0.7, "north", "south")
    rows = pd.DataFrame({"meta_site": site, "sha256": [f"{i:064x}" for i in range(400)]})
    probabilities = np.where(np.eye(2, dtype=bool)[called], 0.9, 0.1)
    split = HeldOut(rows, targets, ("cat", "dog"), None)
    sections, _ = outcomes(split, probabilities, EvaluateParams(), rng)
    seen = document()
    seen["evaluation"] |= {"classes": ["cat", "dog"], "sections": [asdict(one) for one in sections]}
    seen["evaluation"]["candidate"]["confusion"] = confusion = np.zeros((2, 2), int).tolist()
    for actual, said in zip(targets, called, strict=True):
        confusion[actual][said] += 1
    found = [row for row in table(groups_csv(facts_of(seen))) if row["attribute_name"] == "site" and row["tp"]]
    assert sorted((row["attribute_value"], row["label"]) for row in found) == [
        (value, label) for value in ("north", "south") for label in ("cat", "dog")
    ]
    most = {label: max(float(row["pprev"]) for row in found if row["label"] == label) for label in ("cat", "dog")}
    for row in found:
        own, k = site == row["attribute_value"], ("cat", "dog").index(row["label"])
        yes, is_one = called[own] == k, targets[own] == k
        counts = (yes & is_one, yes & ~is_one, ~yes & is_one, ~yes & ~is_one)
        assert [int(row[name]) for name in ("tp", "fp", "fn", "tn")] == [int(one.sum()) for one in counts]
        assert float(row["pprev_disparity"]) == pytest.approx(yes.mean() / most[row["label"]])
        assert float(row["ppr"]) == pytest.approx(yes.sum() / (called == k).sum())


def test_outcomes_of_too_few_images_have_no_counts():
    """2 of the 50 cats and 20 of the 50 dogs are of the south."""
    targets = np.arange(100) % 2
    site = np.array(["north"] * 100, dtype=object)
    site[[0, 2, *range(1, 41, 2)]] = "south"
    split = HeldOut(pd.DataFrame({"meta_site": site}), targets, ("cat", "dog"), 0)
    sections, _ = outcomes(split, np.eye(2)[targets], EvaluateParams(), np.random.default_rng(0))
    seen = document()
    seen["evaluation"] |= {"classes": ["cat", "dog"], "sections": [asdict(one) for one in sections]}
    seen["evaluation"]["candidate"]["confusion"] = [[50, 0], [0, 50]]
    rows = [row for row in table(groups_csv(facts_of(seen))) if row["split"] == "test"]
    south = [row for row in rows if (row["attribute_name"], row["attribute_value"]) == ("site", "south")]
    assert [(row["label"], row["status"]) for row in south] == [("cat", "held_back"), ("dog", "held_back")]
    counts = ("group_size", "group_label_pos", "group_label_neg", "pp", "pn", "tp", "fp", "fn", "tn", "prev", "tpr")
    assert {row[name] for row in south for name in counts} == {""}


def test_an_audit_without_a_model_has_no_outcomes():
    none = document() | {"evaluation": None}
    assert "all" not in {row["attribute_name"] for row in table(groups_csv(facts_of(none)))}


def test_every_number_stands_in_the_statistics_with_what_it_takes_to_trust_it():
    rows = table(statistics_csv(facts_of(document())))
    by_name = {(row["place"], row["name"]): row for row in rows}
    coverage = by_name["bias/sections/coverage", "cat x west"]
    assert (coverage["value"], coverage["status"], coverage["n"]) == ("", "not_measurable", "0")
    shortcut = by_name["bias/findings/shortcut", "trivial model accuracy"]
    assert (shortcut["value"], shortcut["low"], shortcut["high"], shortcut["n"]) == ("0.46", "0.396", "0.525", "224")
    assert ("evaluation/candidate/per_class/cat", "recall") in by_name
    assert all(row["n"] and row["status"] and row["estimator"] for row in rows)


@pytest.mark.parametrize("shift", range(0, len(TEXTS), 5))
def test_no_cell_runs(shift):
    facts = facts_of(made_hostile(document(), TEXTS, shift))
    for text in (groups_csv(facts), statistics_csv(facts)):
        assert formulas(text) == []
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    assert [len(row) for row in rows_of(groups_csv(facts))] == [len(COLUMNS)] * len(rows_of(groups_csv(facts)))


@pytest.mark.parametrize("text", ["=1", "a,=1", "a;=1", "a\t@x", "+1+1", "x\n=1", "\u200b=1"])
def test_the_search_for_formulas_finds_them(text):
    assert formulas(text)
