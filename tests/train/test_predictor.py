"""What a network gives of images is the same however it comes: computed at once, in parts, or read from the cache."""

import numpy as np
import pytest
import torch

from tasks.train.predictor import cached_outputs, outputs, predict
from tests.train import tiny


@pytest.mark.parametrize("each", [0, 1, 23])
def test_cold_and_warm_give_the_bits_of_no_cache(each, tmp_path):
    pixels, samples = tiny.pictures(each, 1) if each else (np.empty((0, 48, 48, 3), np.uint8), None)
    keys = samples.sha256 if samples else ()
    plain = outputs(tiny.net(), tiny.REF, pixels)
    cold = cached_outputs(tiny.net(), tiny.REF, pixels, keys, tmp_path)
    some = len(pixels) // 2
    of_half = cached_outputs(tiny.net(), tiny.REF, pixels[:some], keys[:some], tmp_path / "half")
    warm = cached_outputs(tiny.net(), tiny.REF, pixels, keys, tmp_path)
    mixed = cached_outputs(tiny.net(), tiny.REF, pixels, keys, tmp_path / "half")
    for found in (cold, warm, mixed):
        assert np.array_equal(found.features, plain.features)
        assert np.array_equal(found.logits, plain.logits)
    assert np.array_equal(of_half.features, plain.features[:some])
    assert predict(tiny.net(), tiny.REF, pixels).shape == (len(pixels), len(tiny.CLASSES))


def test_other_weights_read_nothing_of_the_old_ones(tmp_path):
    pixels, samples = tiny.pictures(3, 1)
    first = cached_outputs(tiny.net(), tiny.REF, pixels, samples.sha256, tmp_path)
    other = tiny.net()
    with torch.no_grad():
        next(other.backbone.parameters()).mul_(1.5)
    second = cached_outputs(other, tiny.REF, pixels, samples.sha256, tmp_path)
    assert np.array_equal(second.logits, outputs(other, tiny.REF, pixels).logits)
    assert not np.allclose(first.logits, second.logits)
