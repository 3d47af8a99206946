import numpy as np
import pandas as pd
import pytest

from tasks.contracts.errors import BadData
from tasks.contracts.records import to_json
from tasks.evaluate.evaluation import HeldOut, evaluate, flat, select_test, worst_mistakes

CLASSES = ("ant", "bee", "cat")


def checked(rows: list[tuple[str, str, str, str]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["path", "label", "split", "verdict"])
    return table.assign(sha256=[f"{i:064d}" for i in reversed(range(len(table)))])


def images(per_class: dict[str, int], classes: tuple[str, ...] = CLASSES) -> HeldOut:
    rows = [(f"{label}/{i}.png", label, "test", "keep") for label, n in per_class.items() for i in range(n)]
    rows += [
        ("t/1.png", "bee", "train", "keep"),
        ("t/2.png", "bee", "train", "warn"),
        ("t/3.png", "ant", "train", "keep"),
    ]
    return select_test(checked(rows), classes)


def answers(called: list[int] | np.ndarray, confidence: float = 0.8) -> np.ndarray:
    rows = np.full((len(called), len(CLASSES)), (1 - confidence) / (len(CLASSES) - 1))
    rows[np.arange(len(called)), called] = confidence
    return rows


def checks(split: HeldOut, candidate: np.ndarray, scratch: np.ndarray) -> dict[str, str]:
    return {f.check: f.severity for f in evaluate(split, candidate, scratch, 300, 0).findings}


def test_only_kept_test_rows_are_scored_in_the_order_of_their_content():
    table = checked(
        [
            ("z.png", "ant", "test", "keep"),
            ("y.png", "bee", "test", "quarantine"),
            ("x.png", "bee", "train", "keep"),
            ("w.png", "cat", "test", "warn"),
        ]
    )
    split = select_test(table, CLASSES)
    assert split.rows["path"].tolist() == ["w.png", "z.png"]
    assert split.targets.tolist() == [2, 0]
    assert split.majority == 1


def test_row_order_of_the_table_changes_nothing():
    table = checked([(f"{i}.png", CLASSES[i % 3], "test", "keep") for i in range(9)])
    assert select_test(table, CLASSES).rows.equals(select_test(table.iloc[::-1], CLASSES).rows)


def test_an_unknown_class_is_named_with_its_file():
    table = checked([("dog/1.png", "dog", "test", "keep")])
    with pytest.raises(BadData, match=r"dog/1\.png: its label 'dog'"):
        select_test(table, CLASSES)


def test_a_clear_gain_gives_no_finding_and_flat_numbers_agree():
    split = images({"ant": 40, "bee": 40, "cat": 40})
    candidate, scratch = answers(split.targets), answers((split.targets + (np.arange(120) % 2)) % 3)
    report = evaluate(split, candidate, scratch, 300, 0)
    assert report.findings == ()
    metrics = flat(report)
    assert (metrics.accuracy, metrics.scratch_accuracy, metrics.difference) == (1.0, 0.5, 0.5)
    assert (metrics.test_images, metrics.majority_accuracy) == (120, pytest.approx(1 / 3))
    assert metrics.difference_low == report.difference.low > 0.3
    assert report.difference.p_value < 1e-9
    assert to_json(report) == to_json(evaluate(split, candidate, scratch, 300, 0))


def test_no_gain_is_said_plainly():
    split = images({"ant": 10, "bee": 10, "cat": 10})
    good = answers(split.targets)
    assert checks(split, good, good) == {"no_gain_over_scratch": "warn"}


def test_negative_transfer_is_an_error():
    split = images({"ant": 20, "bee": 20, "cat": 20})
    worse = answers((split.targets + (np.arange(60) % 3 > 0)) % 3)
    assert checks(split, worse, answers(split.targets)) == {"negative_transfer": "error", "auroc_at_chance": "error"}


def test_a_model_that_says_one_class_only_is_an_error_and_a_control_that_does_is_a_warning():
    split = images({"ant": 20, "bee": 20, "cat": 20})
    one_class, good = answers(np.zeros(60, dtype=int)), answers(split.targets)
    assert checks(split, one_class, good)["one_class_predicted"] == "error"
    assert checks(split, good, one_class) == {"one_class_predicted": "warn"}


def test_classes_without_test_images_are_named():
    split = images({"ant": 20, "bee": 20})
    report = evaluate(split, answers(split.targets), answers((split.targets + 1) % 3), 300, 0)
    (finding,) = report.findings
    assert (finding.check, finding.severity, finding.statistic.value) == ("no_test_images", "warn", 1)
    assert "cat" in finding.message


def test_an_empty_test_split_is_an_error_and_every_number_is_none():
    split = images({})
    report = evaluate(split, answers([]), answers([]), 300, 0)
    assert [(f.check, f.severity) for f in report.findings] == [("no_test_images", "error")]
    assert flat(report).accuracy is None
    assert (flat(report).difference, flat(report).majority_accuracy, flat(report).test_images) == (None, None, 0)
    assert report.mistakes == ()


def test_worst_mistakes_are_the_most_confident_first_and_at_most_twenty():
    split = images({"ant": 30})
    sure = answers(np.ones(30, dtype=int), 0.5)
    sure[7], sure[3] = [0.04, 0.95, 0.01], [0.9, 0.05, 0.05]
    found = worst_mistakes(split, sure)
    assert len(found) == 20
    assert (found[0].path, found[0].label, found[0].predicted, found[0].confidence) == (
        split.rows["path"][7],
        "ant",
        "bee",
        0.95,
    )
    assert split.rows["path"][3] not in [one.path for one in found]
    assert [one.path for one in found[1:]] == sorted(one.path for one in found[1:])
