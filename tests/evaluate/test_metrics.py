import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, log_loss

from tasks.contracts.model_records import Scores
from tasks.contracts.records import to_json
from tasks.evaluate.metrics import BINS, bin_of, calibration_bins, scores, wilson

ABC = ("a", "b", "c")
METRICS = ("accuracy", "macro_f1", "log_loss", "calibration_error")


def score(rows: list[list[float]], targets: list[int], classes: tuple[str, ...] = ABC) -> Scores:
    probabilities = np.array(rows, dtype=np.float64).reshape(-1, len(classes))
    return scores(probabilities, np.array(targets, dtype=np.int64), classes, np.random.default_rng(0), 300)


def random_answers(images: int, kinds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(kinds), images)
    return probabilities, (probabilities.cumsum(axis=1) > rng.random((images, 1))).argmax(axis=1)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (29, 29, 0.8830, 1.0)],
)
def test_wilson_equals_the_table_of_newcombe_1998(hits, n, low, high):
    found = wilson("rate", hits, n)
    assert (found.value, found.n) == (hits / n, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_hand_computed_scores():
    found = score([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]], [0, 0, 1, 2])
    assert found.confusion == ((1, 1, 0), (0, 1, 0), (0, 0, 1))
    assert found.accuracy.value == 0.75
    assert [c.n for c in found.per_class] == [2, 1, 1]
    assert [c.precision for c in found.per_class] == [1.0, 0.5, 1.0]
    assert [c.recall.value for c in found.per_class] == [0.5, 1.0, 1.0]
    assert [c.f1 for c in found.per_class] == pytest.approx([2 / 3, 2 / 3, 1.0])
    assert found.macro_f1.value == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found.log_loss.value == pytest.approx(-(math.log(0.8) + math.log(0.3) + math.log(0.5) + math.log(0.8)) / 4)
    # bins of width 1/15: two right at 0.8, one wrong at 0.6, one right at 0.5 -> (2 * 0.2 + 0.6 + 0.5) / 4
    assert found.calibration_error.value == pytest.approx((0.4 + 0.6 + 0.5) / 4)


def test_values_equal_scikit_learn():
    probabilities, targets = random_answers(400, 6, seed=1)
    found = scores(probabilities, targets, tuple("abcdef"), np.random.default_rng(0), 200)
    assert found.macro_f1.value == pytest.approx(f1_score(targets, probabilities.argmax(axis=1), average="macro"))
    assert found.log_loss.value == pytest.approx(log_loss(targets, probabilities))


def test_a_class_without_images_is_not_measured_and_takes_no_part_in_macro_f1():
    found = score([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]], [0, 1])
    empty = found.per_class[2]
    assert (empty.n, empty.precision, empty.recall.value, empty.recall.status, empty.f1) == (
        0,
        None,
        None,
        "not_measurable",
        None,
    )
    assert found.macro_f1.value == 1.0


def test_a_class_without_images_that_was_predicted_has_precision_zero():
    assert score([[0.1, 0.1, 0.8], [0.1, 0.9, 0.0]], [0, 1]).per_class[2].precision == 0.0


def test_no_images_at_all_measures_nothing():
    found = score([], [])
    for name in METRICS:
        statistic = getattr(found, name)
        assert (statistic.value, statistic.low, statistic.n, statistic.status) == (None, None, 0, "not_measurable")
    assert found.confusion == ((0, 0, 0),) * 3
    assert "NaN" not in to_json(found)


def test_a_perfect_score_leaves_room_for_the_mistake_that_was_not_seen():
    found = score([[0.9, 0.1, 0.0]] * 10 + [[0.1, 0.9, 0.0]] * 10, [0] * 10 + [1] * 10).macro_f1
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.8316, abs=1e-4)  # 0.025 ** (1 / 20)


def test_a_certain_mistake_costs_much_but_stays_finite():
    assert 100 < score([[0.0, 1.0, 0.0]], [0]).log_loss.value < 1000


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_intervals():
    probabilities, targets = random_answers(120, 3, seed=2)
    made = [to_json(scores(probabilities, targets, ABC, np.random.default_rng(seed), 300)) for seed in (5, 5, 6)]
    assert made[0] == made[1] != made[2]


def test_more_images_narrow_every_interval():
    narrow, wide = (
        scores(*random_answers(images, 3, seed=3), ABC, np.random.default_rng(0), 300) for images in (2000, 50)
    )
    for name in METRICS:
        few, many = getattr(wide, name), getattr(narrow, name)
        assert many.high - many.low < few.high - few.low


def test_memory_is_bounded_by_pieces_and_pieces_change_nothing(monkeypatch):
    probabilities, targets = random_answers(50, 3, seed=4)
    whole = to_json(scores(probabilities, targets, ABC, np.random.default_rng(0), 300))
    monkeypatch.setattr("tasks.evaluate.metrics._CELLS_AT_ONCE", 50 * 100)
    assert to_json(scores(probabilities, targets, ABC, np.random.default_rng(0), 300)) == whole


def test_calibration_interval_of_a_calibrated_model_reaches_zero_and_of_a_bragging_one_does_not():
    probabilities, targets = random_answers(400, 4, seed=5)
    honest = scores(probabilities, targets, tuple("abcd"), np.random.default_rng(0), 300).calibration_error
    sharpened = probabilities**6 / (probabilities**6).sum(axis=1, keepdims=True)
    bragging = scores(sharpened, targets, tuple("abcd"), np.random.default_rng(0), 300).calibration_error
    assert honest.low < 0.01
    assert bragging.low > 0.1


def test_bins_hold_their_lower_edge_and_the_last_one_holds_one():
    assert bin_of(np.array([0.0, 1 / 15, 0.5, 14 / 15, 1.0])).tolist() == [0, 1, 7, 14, 14]


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
@settings(max_examples=60, deadline=None)
def test_bins_account_for_every_prediction(predictions):
    confidence, right = np.array([c for c, _ in predictions]), np.array([r for _, r in predictions])
    bins = calibration_bins(confidence, right)
    assert (len(bins), sum(b.n for b in bins)) == (BINS, len(predictions))
    assert sum(b.n * b.accuracy for b in bins if b.n) == pytest.approx(right.sum())
    assert all(b.low - 1e-12 <= b.confidence <= b.high + 1e-12 for b in bins if b.n)
    assert all(b.confidence is b.accuracy is None for b in bins if not b.n)


@given(st.integers(1, 40), st.integers(2, 6), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_every_value_lies_in_its_interval_and_counts_add_up(images, kinds, seed):
    probabilities, targets = random_answers(images, kinds, seed)
    found = scores(probabilities, targets, tuple("abcdef"[:kinds]), np.random.default_rng(seed), 100)
    assert sum(map(sum, found.confusion)) == sum(c.n for c in found.per_class) == images
    for name in ("accuracy", "calibration_error"):
        statistic = getattr(found, name)
        assert 0 <= statistic.low <= statistic.value <= statistic.high <= 1
    assert 0 <= found.macro_f1.low <= found.macro_f1.high <= 1
