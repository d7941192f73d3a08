"""A bounded store of whole lifetimes, for algorithms that learn from older ones too; it lives in the train state."""

from typing import Self

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from quickstudy.protocol.records import Spec, Transition, record
from quickstudy.protocol.spaces import Space


@record
class Replay:
    """The last lifetimes that were added, at most as many as there is room for.

    `lifetimes`: leaves `[room, T, ...]`. `added` `[]`: how many were ever added; the oldest gives way.
    """

    lifetimes: PyTree
    added: Int[Array, ""]

    @classmethod
    def with_room_for(cls, room: int, example: PyTree) -> Self:
        """An empty store.

        Args:
          room: lifetimes.
          example: one lifetime `[T, ...]`, or its shapes.
        """
        empty = lambda leaf: jnp.zeros((room, *leaf.shape), leaf.dtype)  # noqa: E731
        return cls(lifetimes=jax.tree.map(empty, example), added=jnp.int32(0))

    @property
    def room(self) -> int:
        """Most lifetimes that are held."""
        return int(jax.tree.leaves(self.lifetimes)[0].shape[0])

    @property
    def held(self) -> Int[Array, ""]:
        """How many are held now."""
        return jnp.minimum(self.added, self.room)

    @property
    def bytes(self) -> int:
        """Of memory, whether full or empty."""
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self.lifetimes))

    def after(self, lifetimes: PyTree) -> Self:
        """With more lifetimes `[T, more, ...]`, time-major as they were lived; no more at once than there is room for."""
        fresh = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), lifetimes)
        more = jax.tree.leaves(fresh)[0].shape[0]
        places = (self.added + jnp.arange(more)) % self.room
        held = jax.tree.map(lambda old, new: old.at[places].set(new), self.lifetimes, fresh)
        return type(self)(lifetimes=held, added=self.added + more)

    def draw(self, key: PRNGKeyArray, lifetimes: int) -> PyTree:
        """So many lifetimes `[T, lifetimes, ...]`, drawn evenly and with replacement from those that are held."""
        places = jax.random.randint(key, (lifetimes,), 0, jnp.maximum(self.held, 1))
        return jax.tree.map(lambda leaf: jnp.moveaxis(leaf[places], 0, 1), self.lifetimes)


@record
class Step:
    """What is kept of a step, or with a leading time axis of a lifetime: what happened, without what an agent thought of it."""

    observation: Array
    action: Array
    reward: Float[Array, "*time"]
    successor: Array
    terminated: Bool[Array, "*time"]
    valid: Bool[Array, "*time"]


def steps_of(lived: Transition) -> Step:
    """What is replayed of lifetimes, or of a part of one."""
    return Step(
        observation=lived.observation,
        action=lived.decision.action,
        reward=lived.outcome.reward,
        successor=lived.outcome.observation,
        terminated=lived.outcome.terminated,
        valid=lived.valid,
    )


def some_steps(lifetimes: PyTree, key: PRNGKeyArray, *, steps: int) -> PyTree:
    """So many steps `[steps, lifetimes, ...]` of each lifetime `[T, lifetimes, ...]`, drawn evenly and with replacement."""
    length, count = jax.tree.leaves(lifetimes)[0].shape[:2]
    at, whose = jax.random.randint(key, (steps, count), 0, length), jnp.arange(count)[None]
    return jax.tree.map(lambda leaf: leaf[at, whose], lifetimes)


def nothing_lived(spec: Spec) -> Step:
    """A lifetime `[T]` of which no step happened: an example of what is kept."""
    of = lambda space: jnp.zeros((spec.lifetime_steps, *(space.shape or ())), _kind(space))  # noqa: E731
    number, seen = jnp.zeros(spec.lifetime_steps), of(spec.observation_space)
    no = number > 0
    return Step(observation=seen, action=of(spec.action_space), reward=number, successor=seen, terminated=no, valid=no)


def _kind(space: Space) -> type:
    return jnp.int32 if isinstance(space, gymnasium.spaces.Discrete) else space.dtype.type
