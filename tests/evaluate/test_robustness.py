"""What is lost on corrupted images, with models whose answers are known."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.backbone.rows import PixelSource
from tasks.contracts.records import to_json
from tasks.evaluate import robustness as module
from tasks.evaluate.corruptions import KINDS, SEVERITIES
from tasks.evaluate.robustness import Subject, robustness
from tests.conftest import CLASSES, draw

N = 36
TARGETS = np.arange(N) % 3
PIXELS = np.stack([draw(CLASSES[k], np.random.default_rng(i)) for i, k in enumerate(TARGETS)])
SHA256S = tuple(hashlib.sha256(bytes([i])).hexdigest() for i in range(N))
KNOWN = {picture.tobytes(): target for picture, target in zip(PIXELS, TARGETS, strict=True)}


def blind(pixels: PixelSource, _keys: Sequence[str] = ()) -> np.ndarray:
    """Names the first class, whatever it sees: right for a third of the images, corrupted or not."""
    return np.tile([1.0, 0.0, 0.0], (len(pixels), 1))


def brittle(pixels: PixelSource, _keys: Sequence[str] = ()) -> np.ndarray:
    """Knows every clean image by heart, and is wrong where a single byte has changed."""
    called = [KNOWN.get(picture.tobytes(), -1) for picture in pixels[:]]
    return np.stack([np.eye(4)[k] for k in called])  # -1: a fourth class, which no image has


def looked_at(candidate, scratch, each=12):
    clean = tuple(model(PIXELS).argmax(axis=1) == TARGETS for model in (candidate, scratch))
    subject = Subject((candidate, scratch), clean, PIXELS, TARGETS, SHA256S)
    return robustness(subject, each, (0, 5), 300)


def test_what_sees_nothing_loses_nothing_and_what_knows_by_heart_loses_all():
    found, section, findings = looked_at(brittle, blind)
    assert found.candidate_loss.value > 0.95
    assert found.scratch_loss.value == 0.0
    assert found.scratch_loss.low < 0.0 < found.scratch_loss.high
    assert found.loss_difference.low > 0.5
    checks = {finding.check for finding in findings}
    assert checks == {"less_sturdy_than_scratch", "corruption_collapse"}
    assert {f.subject for f in findings if f.check == "corruption_collapse"} <= set(KINDS)
    assert section.statistics[:3] == (found.candidate_loss, found.scratch_loss, found.loss_difference)


def test_a_sturdier_candidate_is_no_finding():
    found, _, findings = looked_at(blind, brittle)
    assert found.loss_difference.high < 0
    assert findings == []


def test_every_corruption_has_its_own_images_at_all_severities_beside_their_clean_accuracy():
    found, _, _ = looked_at(blind, blind, each=6)
    assert [one.name for one in found.corruptions] == list(KINDS)
    assert {len(one.candidate) for one in found.corruptions} == {len(SEVERITIES)}
    assert {rate.n for one in found.corruptions for rate in (*one.candidate, *one.scratch)} == {6}
    for one in found.corruptions:
        assert {rate.value for rate in one.candidate} == {one.candidate_clean.value}
    # 12 samples of 6 go through the 36 twice
    assert found.candidate_loss.n == N
    assert sum(one.candidate_clean.value * 6 for one in found.corruptions) == pytest.approx(2 * N / 3)


@given(st.integers(1, 10), st.integers(0, 200), st.integers(0, 2**32 - 1))
def test_no_image_is_in_two_samples_where_there_are_enough(each, more, salt):
    n = len(KINDS) * each + more
    sha256s = [hashlib.sha256(f"{salt} {i}".encode()).hexdigest() for i in range(n)]
    samples = module._samples(sha256s, each, (0, 5))
    assert samples.shape == (len(KINDS), each)
    assert len(np.unique(samples)) == samples.size


def test_more_images_than_there_are_means_all_and_equal_seeds_give_equal_bytes():
    found, section, _ = looked_at(brittle, blind, each=5000)
    assert found.images_each == N
    assert "36 of 36 test images" in found.sample
    again, same, _ = looked_at(brittle, blind, each=5000)
    assert (to_json(found), section) == (to_json(again), same)


def test_how_many_images_go_at_a_time_changes_nothing(monkeypatch):
    whole = looked_at(brittle, blind, each=5)
    monkeypatch.setattr(module, "_AT_ONCE", 2)
    assert looked_at(brittle, blind, each=5) == whole


def test_a_model_that_is_never_right_has_no_loss():
    def wrong(pixels, _keys=()):
        return np.eye(4)[np.full(len(pixels), 3)]

    found, _, findings = looked_at(wrong, blind)
    assert {one.status for one in (found.candidate_loss, found.loss_difference)} == {"not_measurable"}
    assert findings == []


def test_without_a_control_its_numbers_are_skipped():
    clean = (blind(PIXELS).argmax(axis=1) == TARGETS,)
    found, _, findings = robustness(Subject((blind,), clean, PIXELS, TARGETS, SHA256S), 12, (0, 5), 300)
    assert found.candidate_loss.status == "measured"
    theirs = [found.scratch_loss, found.loss_difference]
    theirs += [one for each in found.corruptions for one in (each.scratch_clean, each.scratch_loss)]
    assert {(one.value, one.status) for one in theirs} == {(None, "skipped")}
    assert all(each.scratch == () for each in found.corruptions)
    assert findings == []


def test_most_corrupted_images_stay_as_images_are_added():
    def told(count):
        seen = set()

        def remember(pixels, keys):
            seen.update(keys)
            return blind(pixels)

        subject = Subject((remember,), (np.ones(count, bool),), PIXELS[:count], TARGETS[:count], SHA256S[:count])
        robustness(subject, 2, (0, 5), 100)
        return seen

    before, after = told(N - 2), told(N)
    assert len(before) == len(after) == 2 * len(KINDS) * len(SEVERITIES)
    assert len(before & after) > len(before) / 2
