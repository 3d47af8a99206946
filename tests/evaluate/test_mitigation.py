"""Models that look at one trait only, so that what scrambling does to them is known."""

import cv2
import numpy as np
import pandas as pd
import pytest

from tasks.bias.mitigation import Shortcut, against_shortcuts
from tasks.evaluate.mitigation import Trial, compared
from tasks.evaluate.scramble import partners, scrambled

SIDE = 32
ROWS = 200


@pytest.fixture(scope="module")
def targets():
    return np.arange(ROWS) % 2


@pytest.fixture(scope="module")
def pictures(targets):
    """The subject is a bright left or right half; class 1 also has a white corner and a red tone."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(60, 110, (ROWS, SIDE, SIDE, 3)).astype(np.uint8)
    for image, target in zip(pixels, targets, strict=True):
        half = slice(SIDE // 2) if target else slice(SIDE // 2, None)
        image[8:24, half] += 60
        if target:
            image[28:, 28:] = 255
            image[..., 0] = cv2.add(image[..., 0], 40)
    return pixels


def sure(right):
    """Probabilities of two classes from a bool for the second."""
    return np.stack([~right, right], 1).astype(float)


def by_corner(pixels):
    return sure(pixels[:, 28:, 28:].mean((1, 2, 3)) > 200)


def by_tone(pixels):
    return sure(pixels[..., 0].mean((1, 2)) > pixels[..., 1].mean((1, 2)) + 20)


def by_subject(pixels):
    middle = pixels[:, 8:24, :, 1].astype(float)
    return sure(middle[..., :12].mean((1, 2)) > middle[..., 20:28].mean((1, 2)))


def trial(pictures, targets, before, after, rows=None):
    rows = pd.DataFrame({"meta_site": ["x"] * ROWS}) if rows is None else rows
    return Trial(before, after, rows, rows, pictures, targets, 300, np.random.default_rng(0))


def plain(mitigations):
    return [vars(one) for one in mitigations]


@pytest.mark.parametrize(("kind", "tile", "cheat"), [("overlay", (7, 7), by_corner), ("tone", None, by_tone)])
def test_scrambling_fails_the_model_that_leans_on_the_shortcut(pictures, targets, kind, tile, cheat):
    done = plain(against_shortcuts([Shortcut(kind, "1", tile)]))
    section, (finding,) = compared(trial(pictures, targets, cheat, by_subject), done)
    values = {one.name: one for one in section.statistics}
    assert values["accuracy, before"].value == values["accuracy, after"].value == 1
    assert values[f"accuracy with {kind} shuffled, before"].value < 0.2
    assert values[f"accuracy with {kind} shuffled, after"].value > 0.9
    assert values[f"accuracy with {kind} shuffled, difference"].low > 0.5
    assert (finding.severity, "helped" in finding.message) == ("info", True)


def test_a_mitigation_that_changes_nothing_is_a_warning(pictures, targets):
    done = plain(against_shortcuts([Shortcut("tone", "1")]))
    _, (finding,) = compared(trial(pictures, targets, by_tone, by_tone), done)
    assert (finding.severity, "no difference beyond chance" in finding.message) == ("warn", True)


def test_the_worst_cell_is_each_models_own(pictures, targets):
    rows = pd.DataFrame({"meta_site": np.where(np.arange(ROWS) < 40, "small", "large")})
    failing = np.arange(ROWS) < 20  # half of both cells at the small site

    def wrong(_pixels):
        return sure((targets == 1) ^ failing)

    done = [{"kind": "association", "subject": "site", "means": "reweighing", "transforms": ()}]
    section, (finding,) = compared(trial(pictures, targets, wrong, by_subject, rows), done)
    values = {one.name: one.value for one in section.statistics}
    assert values["accuracy of the worst class and site, before"] == 0.5
    assert values["accuracy of the worst class and site, after"] == 1
    assert values["accuracy of the worst class and site, difference"] == 0.5
    assert "helped" in finding.message


def test_a_cell_without_spread_is_not_sure(pictures, targets):
    """All ten images of a cell wrong before and right after: that says much, but not everything."""
    rows = pd.DataFrame({"meta_site": np.where(np.arange(ROWS) < 20, "small", "large")})
    failing = (np.arange(ROWS) < 20) & (targets == 1)

    def wrong(_pixels):
        return sure((targets == 1) & ~failing)

    done = [{"kind": "association", "subject": "site", "means": "reweighing", "transforms": ()}]
    section, _ = compared(trial(pictures, targets, wrong, by_subject, rows), done)
    difference = section.statistics[-1]
    assert (difference.value, difference.n) == (1, 10)
    assert difference.low == pytest.approx(1 - (1 - 0.025 ** (1 / 10)))


def test_numbers_are_cut_where_training_images_were(pictures, targets):
    train = pd.DataFrame({"meta_age": np.arange(100)})
    rows = pd.DataFrame({"meta_age": np.where(np.arange(ROWS) < 100, 5, 95)})
    given = Trial(by_subject, by_subject, train, rows, pictures, targets, 100, np.random.default_rng(0))
    done = [{"kind": "association", "subject": "age", "means": "reweighing", "transforms": ()}]
    section, _ = compared(given, done)
    assert "4 cells" in section.statistics[-1].estimator  # two classes, the youngest and the oldest fifth


def test_without_test_images_nothing_is_measured():
    none = np.empty((0, SIDE, SIDE, 3), np.uint8)
    empty = pd.DataFrame({"meta_site": []}, dtype=object)
    done = plain(against_shortcuts([Shortcut("tone", "1"), Shortcut("compression", "1")]))
    section, findings = compared(trial(none, np.empty(0, np.int64), by_tone, by_tone, empty), done)
    assert {one.value for one in section.statistics} == {None}
    assert all("not measured" in one.message for one in findings)


def test_partners_are_of_another_class(targets):
    assert (targets[partners(targets, np.random.default_rng(0))] != targets).all()
    alone = np.zeros(5, np.int64)
    assert (alone[partners(alone, np.random.default_rng(0))] == 0).all()


@pytest.mark.parametrize("kind", ["compression", "size", "sharpness", "tone", "border"])
def test_scrambled_images_keep_their_form(pictures, targets, kind):
    (mitigation,) = plain(against_shortcuts([Shortcut(kind, "1")]))
    changed = scrambled(mitigation, pictures[:10], targets[:10], np.random.default_rng(1))
    assert changed.shape == pictures[:10].shape
    assert changed.dtype == np.uint8
    assert (changed != pictures[:10]).any((1, 2, 3)).all()
    again = scrambled(mitigation, pictures[:10], targets[:10], np.random.default_rng(1))
    assert np.array_equal(changed, again)
