"""Distributions of one physical system whose parameters vary: how a task is drawn, and which splits there are."""

import dataclasses
from collections.abc import Mapping
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.protocol.errors import UnknownNameError
from quickstudy.protocol.task_distribution import mark_split

Ranges = Mapping[str, tuple[float, float]]
Directions = Literal["forward", "either"]
"""Whether motors move as commanded in all splits but `ood:reversed`, or in the opposite direction in half of all tasks."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class VaryingPhysics:
    """Independent uniform parameters, drawn once per lifetime.

    Args:
      ranges: lower and upper bound of each parameter, in its own unit, for `train` and `test`.
      others: by split, the ranges that differ from these.
      motor: the parameter whose sign is the direction of the motor.
      directions: "forward" or "either".
    Raises:
      UnknownNameError: no such directions.
    """

    ranges: Ranges
    others: Mapping[str, Ranges]
    motor: str
    directions: Directions

    def __post_init__(self) -> None:
        if self.directions not in get_args(Directions):
            raise UnknownNameError("directions", self.directions, get_args(Directions))

    @property
    def splits(self) -> tuple[str, ...]:
        """`train`, `test` and the others; without `ood:reversed` where motors of either direction occur in all splits."""
        either = self.directions == "either"
        return ("train", "test", *(split for split in self.others if not (either and split == "ood:reversed")))

    def draw(self, split: str, key: PRNGKeyArray) -> dict[str, Float[Array, ""]]:
        """The parameters of one task: each `[]` by name, in its own unit, rounded (see `mark_split`).

        Args:
          split: one of `splits`.
          key: consumed.
        """
        key_values, key_direction = jax.random.split(key)
        low, high = jnp.float32(list((dict(self.ranges) | dict(self.others.get(split, {}))).values())).T
        uniform = mark_split(jax.random.uniform(key_values, (len(self.ranges),)), split, self.splits)
        drawn = dict(zip(self.ranges, low + (high - low) * uniform, strict=True))
        if self.directions == "either":
            drawn[self.motor] = jnp.where(jax.random.bernoulli(key_direction), drawn[self.motor], -drawn[self.motor])
        return drawn
