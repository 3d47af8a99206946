"""How pictures look and what is drawn for them is remembered by content, to the last bit."""

import numpy as np
import pandas as pd
import pytest

from tasks.calibrate.conformal import draws_of
from tasks.calibrate.fit import given_of
from tasks.calibrate.looks import looks_of
from tests.train.tiny import REF, net, pictures


@pytest.fixture
def seen(tmp_path):
    pixels, samples = pictures(4, seed=3)
    table = pd.DataFrame({"pixels": samples.rows, "sha256": samples.sha256})
    return pixels, table, tmp_path


def test_what_is_remembered_is_what_is_computed(seen):
    pixels, table, cache = seen
    given = [given_of(net(), REF, pixels, table, cache) for _ in range(2)]
    for one in given:
        assert one.looks.dtype == np.float32
        assert np.array_equal(one.looks, looks_of(pixels))
        assert np.array_equal(one.draws, draws_of(pixels))


def test_only_new_pictures_are_looked_at(seen):
    pixels, table, cache = seen
    given_of(net(), REF, pixels, table.iloc[:5], cache)
    black = np.concatenate([np.zeros_like(pixels[:5]), pixels[5:]])
    found = given_of(net(), REF, black, table, cache)
    assert np.array_equal(found.looks, looks_of(pixels))
    assert np.array_equal(found.draws, draws_of(pixels))
