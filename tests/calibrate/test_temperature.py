"""A temperature changes no answer, lowers the log-loss, and is found again where it is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.calibrate.temperature import fit_temperature, probabilities


def sampled(temperature: float, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and targets drawn with the chances that the logits over `temperature` say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (n, 4))
    chances = probabilities(logits, temperature)
    return logits, np.array([rng.choice(4, p=row) for row in chances])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_a_known_temperature_is_found(temperature):
    assert fit_temperature(*sampled(temperature, 4000, 1)) == pytest.approx(temperature, rel=0.1)


@given(st.floats(0.1, 10), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_no_answer_changes_and_the_loss_is_no_higher(temperature, seed):
    logits, targets = sampled(temperature, 200, seed)
    found = fit_temperature(logits, targets)
    before, after = probabilities(logits, 1.0), probabilities(logits, found)
    assert np.array_equal(before.argmax(axis=1), after.argmax(axis=1))
    assert after.sum(axis=1) == pytest.approx(1)
    losses = [-np.log(one[np.arange(200), targets]).mean() for one in (before, after)]
    assert losses[1] <= losses[0] + 0.02  # the doubt about each target costs a little


def test_no_mistake_among_few_does_not_make_it_sure():
    logits = np.eye(3)[[0, 1, 2, 0, 1]] * 4
    found = probabilities(logits, fit_temperature(logits, np.array([0, 1, 2, 0, 1])))
    assert found.max() == pytest.approx(6 / 7, abs=0.01)  # the chance that five of five give


def test_one_class_needs_no_temperature_and_none_needs_images():
    assert fit_temperature(np.zeros((3, 1)), np.zeros(3, int)) == 1
    with pytest.raises(ValueError, match="at least one image"):
        fit_temperature(np.zeros((0, 3)), np.zeros(0, int))
