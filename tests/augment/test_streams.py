import hashlib
import multiprocessing
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from tasks.augment import streams
from tasks.augment.policy import Policy, make_policy, seed_for
from tasks.augment.streams import EPOCHS, follow, stream_findings
from tasks.contracts.params import AugmentParams

SIDE_PX = 32
IMAGES = [np.random.default_rng(i).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8) for i in range(16)]
HASHES = [hashlib.sha256(image.tobytes()).hexdigest() for image in IMAGES]
JOBS = [(row, epoch) for row in range(len(IMAGES)) for epoch in range(3)]


def policy(name: str, **flips: bool) -> Policy:
    return make_policy(AugmentParams.model_validate({"policy": name, **flips}), SIDE_PX)


def view_of(made: Policy, job: tuple[int, int]) -> bytes:
    """The bytes of one image in one epoch."""
    row, epoch = job
    return made(IMAGES[row], seed_for(0, epoch, HASHES[row])).tobytes()


def processes(workers: int) -> Executor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("fork"))


@pytest.mark.parametrize("executor", [ThreadPoolExecutor, processes], ids=["threads", "processes"])
@pytest.mark.parametrize("workers", [1, 2, 8])
def test_views_are_the_same_bytes_whatever_the_workers(executor: Callable[[int], Executor], workers: int) -> None:
    made = policy("strong", horizontal_flip=True)
    alone = [view_of(made, job) for job in JOBS]
    with executor(workers) as pool:
        together = list(pool.map(partial(view_of, made), reversed(JOBS)))[::-1]
    assert together == alone
    assert len(set(alone)) > 40


@pytest.mark.parametrize("name", ["light", "medium", "strong"])
def test_no_view_of_a_random_policy_comes_twice(name: str) -> None:
    found = follow(policy(name), IMAGES, HASHES, seed=0)
    assert (found.images, found.epochs, found.views, found.repeated) == (16, EPOCHS, 16 * EPOCHS, 0)
    assert found.unchanged < found.views / 3


def test_equal_pixels_under_another_hash_have_a_stream_of_their_own() -> None:
    assert follow(policy("strong"), [IMAGES[0]] * 4, HASHES[:4], seed=0).repeated == 0
    same = follow(policy("strong"), [IMAGES[0]] * 4, HASHES[:1] * 4, seed=0)
    assert same.repeated + same.unchanged >= 3 * EPOCHS  # one stream four times


def test_a_stream_that_forgets_the_epoch_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "seed_for", lambda seed, _epoch, sha256: seed_for(seed, 0, sha256))
    found = follow(policy("strong"), IMAGES, HASHES, seed=0)
    assert found.repeated + found.unchanged >= len(IMAGES) * (EPOCHS - 1)
    assert [one.check for one in stream_findings(found, policy("strong").transforms)] == ["repeated_views"]


def test_images_left_as_they_are_count_as_unchanged_not_as_repeated() -> None:
    nothing = follow(policy("none"), IMAGES, HASHES, seed=0)
    assert (nothing.unchanged, nothing.repeated) == (nothing.views, 0)
    flips = follow(policy("none", horizontal_flip=True), IMAGES, HASHES, seed=0)
    assert flips.unchanged + flips.repeated >= flips.views - len(IMAGES)  # an image has one mirror image
    assert stream_findings(flips, policy("none", horizontal_flip=True).transforms) == []


def test_the_digest_tells_seeds_and_policies_apart() -> None:
    digests = {
        follow(policy(name), IMAGES[:2], HASHES[:2], seed).digest for name in ("light", "strong") for seed in (0, 1)
    }
    assert len(digests) == 4
    assert follow(policy("light"), IMAGES[:2], HASHES[:2], 0) == follow(policy("light"), IMAGES[:2], HASHES[:2], 0)
