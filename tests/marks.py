"""Marks for lists of parameters."""

from collections.abc import Iterable

import pytest


def slow_but(quick: Iterable, values: Iterable) -> list:
    """Parameters of which `make test` tries the quick ones; all others are marked slow."""
    quick = list(quick)
    return [value if value in quick else pytest.param(value, marks=pytest.mark.slow) for value in values]


def slow_unless(exhaustive: Iterable, values: Iterable) -> list:
    """Parameters of a slow test, of which only `make test-exhaustive` tries the exhaustive ones."""
    exhaustive = list(exhaustive)
    return [pytest.param(value, marks=pytest.mark.exhaustive if value in exhaustive else pytest.mark.slow) for value in values]
