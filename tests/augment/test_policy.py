import copy
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.augment.policy import Policy, describe, digest_of, load_policy, make_policy, seed_for
from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.files import write_record
from tasks.contracts.params import AugmentParams

SIDE_PX = 32
CHANGING = ("light", "medium", "strong")


def picture(seed: int = 0) -> np.ndarray:
    """A smooth colour picture with a bright spot left of the middle."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    base = np.stack([x * 5, y * 5, 160 - x * 2], axis=-1) + np.random.default_rng(seed).integers(0, 6)
    base[14:18, 6:10] = 250
    return base.clip(0, 255).astype(np.uint8)


def policy(name: str, **mirrors: bool) -> Policy:
    """The policy of a name for the test's picture size."""
    return make_policy(AugmentParams.model_validate({"policy": name, **mirrors}), SIDE_PX)


POLICIES = {name: policy(name) for name in CHANGING}


@given(st.sampled_from(CHANGING), st.integers(0, 2**64 - 1))
@settings(max_examples=60, deadline=None)
def test_a_view_keeps_shape_and_type_and_depends_on_pixels_and_seed_alone(name: str, seed: int) -> None:
    before = picture()
    view = POLICIES[name](before, seed)
    assert (view.shape, view.dtype) == ((SIDE_PX, SIDE_PX, 3), np.uint8)
    POLICIES[name](picture(1), seed + 1)
    assert np.array_equal(POLICIES[name](before, seed), view)
    assert np.array_equal(before, picture())


@pytest.mark.parametrize("name", CHANGING)
def test_order_threads_and_copies_do_not_matter(name: str) -> None:
    seeds = list(range(40))
    one_by_one = [policy(name)(picture(), seed) for seed in seeds]
    shared = policy(name)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: shared(picture(), seed), reversed(seeds)))
    assert digest_of(one_by_one) == digest_of(together[::-1])
    assert digest_of([copy.copy(shared)(picture(), seed) for seed in seeds]) == digest_of(one_by_one)


@pytest.mark.parametrize("name", CHANGING)
def test_different_seeds_give_different_views(name: str) -> None:
    views = {policy(name)(picture(), seed).tobytes() for seed in range(50)}
    assert len(views) > 40


def test_transforms_are_drawn_independently_of_each_other() -> None:
    both = policy("none", horizontal_flip=True, vertical_flip=True)
    marks = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    marks[0, 0] = 255
    corners = [tuple(np.argwhere(both(marks, seed)[..., 0])[0]) for seed in range(200)]
    counts = [corners.count(corner) for corner in ((0, 0), (0, 31), (31, 0), (31, 31))]
    assert sum(counts) == 200
    assert min(counts) > 25  # a quarter each; with one stream for all transforms two of them never come


def test_none_changes_nothing_and_shares_no_memory() -> None:
    before = picture()
    after = policy("none")(before, 3)
    assert np.array_equal(after, before)
    assert not np.shares_memory(after, before)


@pytest.mark.parametrize("name", CHANGING)
def test_nothing_is_mirrored_or_turned_unless_params_say_so(name: str) -> None:
    half = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    half[:, : SIDE_PX // 2] = 200
    for seed in range(60):
        view = policy(name)(half, seed).astype(float)
        left, right = view[8:24, 4:10].mean(), view[8:24, 22:28].mean()
        assert left > right


def test_an_allowed_mirror_comes_in_half_of_the_views() -> None:
    mirrored = policy("light", horizontal_flip=True)
    half = np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    half[:, : SIDE_PX // 2] = 200
    turned = sum(mirrored(half, seed)[8:24, 4:10].mean() < 100 for seed in range(100))
    assert 35 <= turned <= 65


def test_shifted_borders_are_reflected_and_never_black() -> None:
    white = np.full((SIDE_PX, SIDE_PX, 3), 200, np.uint8)
    assert min(policy("light")(white, seed).min() for seed in range(50)) > 100


def test_every_policy_changes_something_and_strong_the_most() -> None:
    def change(name: str) -> float:
        """Mean absolute difference from the original, in grey levels."""
        differences = [
            np.abs(policy(name)(picture(), seed).astype(float) - picture().astype(float)) for seed in range(60)
        ]
        return float(np.mean(differences))

    assert min(change("light"), change("medium")) > 1
    assert max(change("light"), change("medium")) < change("strong")


@pytest.mark.parametrize("name", ["none", *CHANGING])
def test_a_loaded_policy_is_the_same_policy(name: str, tmp_path: Path) -> None:
    made = policy(name, horizontal_flip=True)
    write_record(tmp_path / "augmentation.json", describe(made, "d"))
    loaded = load_policy(tmp_path / "augmentation.json")
    assert loaded == made
    assert all(np.array_equal(loaded(picture(), seed), made(picture(), seed)) for seed in range(20))


def test_a_broken_description_is_a_broken_artifact(tmp_path: Path) -> None:
    path = tmp_path / "augmentation.json"
    path.write_text('{"schema_version": 1, "policy": "light", "transforms": []}')
    with pytest.raises(BrokenArtifact, match="side_px"):
        load_policy(path)
    described = asdict(describe(policy("light"), "d"))
    described["transforms"][0]["transform"] = "os.system"
    path.write_text(json.dumps(described))
    with pytest.raises(BrokenArtifact, match=r"os\.system"):
        load_policy(path)(picture(), 0)


def test_the_stream_of_a_sample_is_fixed_for_all_time() -> None:
    # the first eight bytes of sha256(b"7:3:abc")
    assert seed_for(7, 3, "abc") == int("e0adddb4cd17a880", 16)


def test_streams_differ_by_seed_epoch_and_sample() -> None:
    streams = {seed_for(s, e, h) for s in range(5) for e in range(12) for h in ("1", "11", "2")}
    assert len(streams) == 5 * 12 * 3
