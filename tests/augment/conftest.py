"""Drawn classes whose labels are known, and the embedded backbone on them."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import turning
from tasks.augment.policy import Policy
from tasks.augment.records import LabelSafety
from tasks.augment.safety import Pictures, examine

Examine = Callable[..., LabelSafety]


def given(pictures: turning.Pictures) -> Pictures:
    """Drawn pictures as the stage gives them, each a component of its own."""
    hashes = tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in pictures.pixels)  # the key of the cache
    return Pictures(pictures.pixels, np.arange(len(hashes)), pictures.labels, hashes, hashes)


@pytest.fixture(scope="session")
def examined(tmp_path_factory: pytest.TempPathFactory) -> Examine:
    """Examine pictures under transforms; features of the pictures are kept between tests."""
    cache: Path = tmp_path_factory.mktemp("features")

    def run(pictures: turning.Pictures, *transforms: dict, seed: int = 0) -> LabelSafety:
        return examine(given(pictures), Policy("own", transforms, turning.SIDE_PX), cache, seed)

    return run
