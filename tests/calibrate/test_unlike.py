"""What is far from every training image is far; what was among them is near; what is read back measures the same."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.calibrate.calibration import Calibration, load_calibration, save_calibration
from tasks.calibrate.conformal import quantile
from tasks.calibrate.looks import looks_of
from tasks.calibrate.unlike import COMPONENTS, familiar
from tasks.contracts.errors import BadUsage, BrokenArtifact
from tasks.contracts.model_records import CalibrationRecord
from tests.conftest import CLASSES, draw


def pictures(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([draw(CLASSES[i % len(CLASSES)], rng) for i in range(n)])


def noise(n: int, side_px: int = 48) -> np.ndarray:
    return np.random.default_rng(9).integers(0, 256, (n, side_px, side_px, 3), dtype=np.uint8)


@pytest.fixture
def calibration() -> Calibration:
    """What 150 pictures make familiar, seen by no network: only how they look counts."""
    train, held_back = (looks_of(pictures(n, seed)) for n, seed in ((150, 0), (100, 1)))
    near = familiar(np.zeros((150, 5), np.float32), train, np.arange(150) % len(CLASSES))
    limit = quantile(near.distances(np.zeros((100, 5), np.float32), held_back), 0.95)
    scores = np.linspace(0, 1, 100, dtype=np.float32)
    return Calibration(CalibrationRecord(0.7, 60, 100, 150, 0.05, limit), scores, near)


def strange(calibration: Calibration, images: np.ndarray) -> np.ndarray:
    return calibration.strangeness(np.zeros((len(images), 5), np.float32), looks_of(images))


def test_noise_is_flagged_and_the_same_kind_seldom(calibration):
    assert (strange(calibration, noise(50)) > 1).all()
    assert (strange(calibration, pictures(200, 2)) > 1).mean() < 0.12
    assert strange(calibration, pictures(150, 0)).max() < 1  # training images themselves


def test_another_picture_in_the_batch_changes_nothing(calibration):
    some = pictures(20, 3)
    together, alone = strange(calibration, some), np.concatenate([strange(calibration, one[None]) for one in some])
    assert together == pytest.approx(alone, rel=1e-4)


@pytest.mark.parametrize("side_px", [16, 33, 48, 224])
def test_looks_are_numbers_at_every_size(side_px):
    black, white = (np.full((1, side_px, side_px, 3), tone, np.uint8) for tone in (0, 255))
    found = looks_of(np.concatenate([black, white, noise(3, side_px)]))
    assert np.isfinite(found).all()
    assert found.shape == (5, looks_of(noise(1, side_px)).shape[1])


def test_the_nearest_class_counts_and_its_spread_is_the_measure():
    """Two long classes side by side: what lies on one is near, what lies between is far, though the middle is there."""
    rng = np.random.default_rng(0)
    targets = np.arange(600) % 2
    features = np.column_stack([rng.normal(0, 10, 600), rng.normal(0, 0.1, 600) + 2 * targets, rng.normal(size=600)])
    near = familiar(features.astype(np.float32), np.zeros((600, 3), np.float32), targets)
    on, between = np.array([[15, 2, 0]], np.float32), np.array([[0, 1, 0]], np.float32)
    nothing = np.zeros((1, 3), np.float32)
    assert near.distances(on, nothing)[0] == pytest.approx(1.5, rel=0.1)
    assert near.distances(between, nothing)[0] == pytest.approx(10, rel=0.1)
    inside = near.distances(features.astype(np.float32), np.zeros((600, 3), np.float32))
    assert (inside**2).mean() == pytest.approx(3, rel=0.1)  # of three numbers that vary


def test_what_the_components_leave_out_counts():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 3 * COMPONENTS)).astype(np.float32)
    near = familiar(features[:200], np.zeros((200, 4), np.float32), np.zeros(200, int))
    usual = near.distances(features[200:], np.zeros((100, 4), np.float32))
    outside = features[200:] @ (
        np.eye(3 * COMPONENTS, dtype=np.float32) - near.components[:, :-4].T @ near.components[:, :-4]
    )
    strange = near.distances(features[200:] + 4 * outside, np.zeros((100, 4), np.float32))
    assert strange.min() > usual.max()


def test_a_class_of_one_image_and_features_that_never_vary_are_no_trouble():
    features = np.ones((6, 5), np.float32)
    near = familiar(features, np.random.default_rng(0).random((6, 3), np.float32), np.array([0, 0, 0, 1, 1, 2]))
    assert np.isfinite(near.distances(features, np.zeros((6, 3), np.float32))).all()
    still = familiar(features, features, np.zeros(6, int))
    assert still.distances(features, features).max() < 1e-3
    with pytest.raises(ValueError, match="without training images"):
        familiar(features[:0], features[:0], np.zeros(0, int))


def test_what_is_written_is_read_back_to_the_bit(tmp_path, calibration):
    save_calibration(tmp_path / "calibration", calibration)
    again = load_calibration(tmp_path / "calibration")
    assert again.record == calibration.record
    assert np.array_equal(strange(again, pictures(30, 4)), strange(calibration, pictures(30, 4)))
    draws, found = np.linspace(0, 0.99, 40), np.linspace(0, 1, 80).reshape(40, 2)
    assert np.array_equal(again.sets(found, 0.9, draws), calibration.sets(found, 0.9, draws))
    assert sum(path.stat().st_size for path in (tmp_path / "calibration").iterdir()) < 100_000


def test_too_high_a_coverage_says_what_would_do(calibration):
    with pytest.raises(BadUsage, match=r"needs 999 images in val and promotion, this model has 100; .*0\.99 at most"):
        calibration.require_images(0.999)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: replace(one, scores=one.scores[1:]),
        lambda one: replace(one, familiar=replace(one.familiar, centres=one.familiar.centres[:, 1:])),
        lambda one: replace(one, familiar=replace(one.familiar, scale=one.familiar.scale * np.nan)),
        lambda one: replace(one, record=replace(one.record, temperature=0.0)),
    ],
)
def test_files_that_do_not_fit_each_other_are_refused(tmp_path, calibration, spoil):
    save_calibration(tmp_path / "calibration", spoil(calibration))
    with pytest.raises(BrokenArtifact, match="does not fit"):
        load_calibration(tmp_path / "calibration")
