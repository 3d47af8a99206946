import numpy as np
import pytest

from tasks.bias.significance import FAMILIES, LEVEL, enough, family_wise
from tasks.contracts.params import BiasParams


@pytest.mark.parametrize("stronger", [0, 2])
def test_by_default_a_finding_survives_two_permutations_that_are_as_strong(stronger: int) -> None:
    null = np.zeros(enough(BiasParams().permutations))
    null[:stronger] = 2.0
    p_value = family_wise(1.0, null)
    assert p_value == pytest.approx(len(FAMILIES) * (1 + stronger) / (1 + len(null)))
    assert p_value <= LEVEL


def test_there_are_always_enough_for_a_finding_that_no_permutation_beats() -> None:
    assert family_wise(1.0, np.zeros(enough(20))) <= LEVEL
