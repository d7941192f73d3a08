"""Boundaries of group-sequential tests against published tables."""

import numpy as np
import pytest

from quickstudy.numerics.group_sequential import boundary_constant, crossing_probability

# Jennison and Turnbull 2000, tables 2.1 (Pocock) and 2.3 (O'Brien and Fleming), level 0.05.
POCOCK = {1: 1.960, 2: 2.178, 5: 2.413, 10: 2.555}
OBRIEN_FLEMING = {1: 1.960, 2: 1.977, 5: 2.040, 10: 2.087}


@pytest.mark.parametrize("looks", POCOCK)
def test_constants_are_those_of_the_tables(looks):
    assert boundary_constant(looks, 0.05, 0.0) == pytest.approx(POCOCK[looks], abs=6e-4)
    assert boundary_constant(looks, 0.05, 0.5) == pytest.approx(OBRIEN_FLEMING[looks], abs=6e-4)


def test_looks_that_are_repeated_raise_the_level_as_is_known():
    # Armitage, McPherson and Rowe 1969, table 2: the nominal level of 5 % after 2, 5 and 10 looks.
    for looks, known in ((2, 0.083), (5, 0.142), (10, 0.193)):
        assert crossing_probability(np.full(looks, 1.96)) == pytest.approx(known, abs=6e-4)
