"""Agents that several files look at, exported once for each of them."""

import pytest

from export.agents import QUICK, exported
from export.c_function import without_gcc


@pytest.fixture(scope="module")
def in_numpy(tmp_path_factory):
    """A bandit agent in NumPy."""
    return exported(QUICK, "numpy", tmp_path_factory.mktemp("numpy"), check=1000)


@pytest.fixture(scope="module")
def in_c(tmp_path_factory):
    """The same agent in C."""
    if without_gcc:
        pytest.skip("needs gcc")
    return exported(QUICK, "c", tmp_path_factory.mktemp("c"), check=1000)
