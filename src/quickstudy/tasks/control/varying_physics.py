"""What distributions of one physical system with varying parameters share: how a task is drawn, and its splits."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.protocol.task_distribution import mark_split

Ranges = Mapping[str, tuple[float, float]]


def splits_of(others: Mapping[str, Ranges], *, either: bool) -> tuple[str, ...]:
    """`train`, `test` and those out of distribution; where motors go either way, `ood:reversed` is none of them."""
    return ("train", "test", *(split for split in others if not (either and split == "ood:reversed")))


def draw_parameters(
    split: str, key: PRNGKeyArray, *, ranges: Ranges, others: Mapping[str, Ranges], motor: str, either: bool
) -> dict[str, Float[Array, ""]]:
    """Independent uniform parameters of one task.

    Args:
      split: a name from `splits_of`.
      key: consumed.
      ranges: lower and upper bound of each parameter, in its own unit.
      others: by split, the ranges that differ from these.
      motor: the parameter whose sign is the motor's direction.
      either: give half of the tasks the other direction.
    Returns:
      Each parameter `[]` by name, in its own unit; rounded (see `mark_split`).
    """
    key_values, key_direction = jax.random.split(key)
    low, high = jnp.float32(list((dict(ranges) | dict(others.get(split, {}))).values())).T
    uniform = mark_split(jax.random.uniform(key_values, (len(ranges),)), split, splits_of(others, either=either))
    drawn = dict(zip(ranges, low + (high - low) * uniform, strict=True))
    if either:
        drawn[motor] = jnp.where(jax.random.bernoulli(key_direction), drawn[motor], -drawn[motor])
    return drawn
