"""Marks for lists of parameters."""

from collections.abc import Iterable

import pytest


def slow_but(quick: Iterable, values: Iterable) -> list:
    """Parameters of which `make test` tries the quick ones; all others are marked slow."""
    quick = list(quick)
    return [value if value in quick else pytest.param(value, marks=pytest.mark.slow) for value in values]
