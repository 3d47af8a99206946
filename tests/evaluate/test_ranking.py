import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from tasks.evaluate.evaluation import evaluate
from tasks.evaluate.metrics import counts_of
from tasks.evaluate.ranking import _Order, ranking
from tests.evaluate.test_evaluation import answers, images


def rank(probabilities, targets, resamples=200, seed=0):
    return ranking(probabilities, np.asarray(targets), np.random.default_rng(seed), resamples)


def drawn(seed: int, n: int = 60, kinds: int = 4, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities with ties, somewhat right, and targets of all classes."""
    rng = np.random.default_rng(seed)
    targets = np.concatenate([np.arange(kinds), rng.integers(kinds, size=n - kinds)])
    raw = rng.random((n, kinds)) + 0.4 * (targets[:, None] == np.arange(kinds))
    return (raw / raw.sum(axis=1, keepdims=True)).round(digits), targets


@given(seed=st.integers(0, 10_000), digits=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_scores_are_those_of_scikit_learn_ties_included(seed, digits):
    probabilities, targets = drawn(seed, digits=digits)
    found = rank(probabilities, targets, resamples=2)
    for k, one in enumerate(found.per_class):
        assert one.value == pytest.approx(roc_auc_score(targets == k, probabilities[:, k]))
    assert found.auroc.value == pytest.approx(np.mean([one.value for one in found.per_class]))
    assert found.balanced_accuracy.value == pytest.approx(
        balanced_accuracy_score(targets, probabilities.argmax(axis=1))
    )


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_weights_count_an_image_as_often_as_it_was_drawn(seed):
    probabilities, targets = drawn(seed, n=30)
    places = np.random.default_rng(seed).integers(30, size=(1, 30))
    order = _Order(probabilities[:, 0], targets == 0)
    (found,) = order.auroc(counts_of(places, 30))
    own = (targets == 0)[places[0]]
    if own.all() or not own.any():
        assert np.isnan(found)
    else:
        assert found == pytest.approx(roc_auc_score(own, probabilities[places[0], 0]))


def test_two_classes_have_one_auroc():
    probabilities, targets = drawn(3, kinds=2)
    probabilities[:, 1] = 1 - probabilities[:, 0]
    found = rank(probabilities, targets)
    assert found.auroc.value == pytest.approx(roc_auc_score(targets, probabilities[:, 1]))
    assert [one.value for one in found.per_class] == pytest.approx([found.auroc.value] * 2)
    assert found.auroc.low < found.auroc.value < found.auroc.high


def test_a_class_without_images_has_no_number_and_takes_no_part():
    probabilities, targets = drawn(1, kinds=4)
    there = targets != 2
    found = rank(probabilities[there], targets[there])
    missing = found.per_class[2]
    assert (missing.status, missing.value, missing.n) == ("not_measurable", None, 0)
    others = [one.value for k, one in enumerate(found.per_class) if k != 2]
    assert found.auroc.value == pytest.approx(np.mean(others))
    for score in (found.auroc, found.balanced_accuracy):
        assert "the 3 of 4 classes that have test images" in score.estimator


@pytest.mark.parametrize("n", [0, 5])
def test_without_a_second_class_nothing_can_be_ranked(n):
    probabilities = np.tile([0.7, 0.3], (n, 1))
    found = rank(probabilities, np.zeros(n, dtype=np.int64))
    assert {one.status for one in (found.auroc, *found.per_class)} == {"not_measurable"}
    assert found.balanced_accuracy.value == (1.0 if n else None)


def test_a_perfect_ranking_of_few_images_is_not_sure():
    targets = np.repeat([0, 1, 2], 4)
    found = rank(np.eye(3)[targets], targets)
    assert (found.auroc.value, found.auroc.high, found.balanced_accuracy.value) == (1.0, 1.0, 1.0)
    assert found.auroc.low < 0.8
    assert found.per_class[0].low < 0.5  # 4 images


def test_intervals_get_narrower_with_more_images_and_are_equal_for_equal_seeds():
    few, many = (rank(*drawn(5, n=n)) for n in (40, 640))
    for score in ("auroc", "balanced_accuracy"):
        widths = [getattr(one, score).high - getattr(one, score).low for one in (few, many)]
        assert widths[1] < 0.5 * widths[0]
    assert rank(*drawn(5, n=40)) == few


def test_ranking_at_chance_and_a_class_that_is_never_named_are_found():
    split = images({"ant": 40, "bee": 40, "cat": 40})
    blind = answers(np.random.default_rng(0).permutation(split.targets))
    assert {f.check: f.severity for f in evaluate(split, blind, blind, 200, 0).findings}["auroc_at_chance"] == "error"
    never = answers(np.where(split.targets == 2, 0, split.targets))
    (finding,) = [f for f in evaluate(split, never, never, 200, 0).findings if f.check == "class_never_predicted"]
    assert (finding.severity, finding.subject, finding.statistic.value) == ("warn", "cat", 1)
    assert "40 test images" in finding.message
