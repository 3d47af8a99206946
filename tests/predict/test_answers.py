"""What is said where one class, several or none is plausible, and of an image that is unlike training."""

import numpy as np
import pytest

from tasks.calibrate.calibration import Calibration
from tasks.calibrate.unlike import familiar
from tasks.contracts.errors import BadUsage
from tasks.contracts.model_records import CalibrationRecord
from tasks.predict import answers as module
from tasks.predict.answers import Answer, answers
from tasks.predict.engine import Seen
from tasks.register.bundle import Bundle

CLASSES = ["oak", "elm", "ash"]
NAMES = ("one", "two", "none", "broken", "strange")
LOGITS = np.log(np.array([[0.9, 0.06, 0.04], [0.48, 0.5, 0.02], [0.34, 0.33, 0.33], [0.98, 0.01, 0.01]], np.float32))
FEATURES = np.array([[0.1, 0], [0.2, 1], [0, 0.5], [40, -40]], np.float32)


def bundle(limit: float | None = 5.0, temperature: float = 1.0) -> Bundle:
    """Scores that are 0.60 at most in nine of ten images: a class needs a probability of 0.40 for a coverage of 0.9."""
    rng = np.random.default_rng(0)
    near = familiar(rng.uniform(0, 1, (200, 2)).astype(np.float32), np.zeros((200, 1), np.float32), np.zeros(200, int))
    scores = np.array([*np.linspace(0, 0.6, 18), 0.99], np.float32)
    record = CalibrationRecord(temperature, 10, len(scores), 200, 0.05, limit)
    return Bundle(None, {"model": {"classes": CLASSES}}, Calibration(record, scores, near))


def answered(monkeypatch, by: Bundle, coverage: float = 0.9) -> dict[str, Answer]:
    problems = ("", "", "", "damaged: so it is", "")
    seen = Seen(NAMES, problems, LOGITS, FEATURES, np.zeros((4, 1), np.float32), np.full(4, 0.5))
    monkeypatch.setattr(module, "see", lambda _bundle, _files: iter([seen]))
    return {one.path: one for some in answers(by, (), coverage) for one in some}


def test_one_class_is_named_and_no_other_number_of_them(monkeypatch):
    found = answered(monkeypatch, bundle())
    assert (found["one"].label, found["one"].plausible, found["one"].why) == ("oak", ("oak",), "")
    assert (found["two"].label, found["two"].plausible) == ("", ("elm", "oak"))
    assert found["two"].why == "unsure: 2 classes are plausible at a coverage of 0.9"
    assert found["two"].probability == pytest.approx(0.5)
    assert (found["none"].label, found["none"].plausible) == ("", ())
    assert found["none"].why == "unsure: no class is plausible at a coverage of 0.9"
    assert list(found["two"].probabilities) == ["elm", "oak", "ash"]


def test_nothing_is_said_of_what_is_unlike_training_however_sure(monkeypatch):
    one = answered(monkeypatch, bundle())["strange"]
    assert one.unlike
    assert one.unlike_score > 1
    assert (one.label, one.probability, one.plausible, one.probabilities) == ("", None, (), {})
    assert one.why.startswith("unlike the training images (score ")


def test_a_file_with_a_problem_shifts_no_other(monkeypatch):
    found = answered(monkeypatch, bundle())
    assert list(found) == list(NAMES)
    assert (found["broken"].problem, found["broken"].label) == ("damaged: so it is", "")


def test_without_a_limit_nothing_is_flagged(monkeypatch):
    one = answered(monkeypatch, bundle(limit=None))["strange"]
    assert (one.label, one.unlike, one.unlike_score) == ("oak", None, None)


def test_probabilities_are_those_at_the_temperature(monkeypatch):
    warm = answered(monkeypatch, bundle(temperature=4.0))["one"]
    assert warm.probability == pytest.approx(0.9**0.25 / (0.9**0.25 + 0.06**0.25 + 0.04**0.25), abs=1e-6)


def test_too_high_a_coverage_is_refused_before_anything_is_read():
    with pytest.raises(BadUsage, match="needs 99 images"):
        answers(bundle(), iter(()), 0.99)
