"""A bounded store of whole lifetimes, for algorithms that learn from earlier ones too.

The source of lifetimes owns the store and adds to it (`training.sources.ReplayedSource`). An algorithm only draws from it.
"""

from typing import Self

import gymnasium
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from quickstudy.protocol.records import Spec, Transition, record
from quickstudy.protocol.spaces import COMPOSITE, ActionSpace, assembled, parts_of


@record
class Replay:
    """The newest lifetimes that were added, at most `room` of them.

    `lifetimes`: leaves `[room, T, ...]`. `added` `[]`: the number of lifetimes that were ever added; the oldest are replaced.
    """

    lifetimes: PyTree
    added: Int[Array, ""]

    @classmethod
    def with_room_for(cls, room: int, example: PyTree) -> Self:
        """An empty store.

        Args:
          room: the number of lifetimes.
          example: one lifetime `[T, ...]`, or its shapes.
        """
        empty = lambda leaf: jnp.zeros((room, *leaf.shape), leaf.dtype)  # noqa: E731
        return cls(lifetimes=jax.tree.map(empty, example), added=jnp.int32(0))

    @property
    def room(self) -> int:
        """The largest number of lifetimes that are held."""
        return int(jax.tree.leaves(self.lifetimes)[0].shape[0])

    @property
    def held(self) -> Int[Array, ""]:
        """The number of lifetimes that are held now."""
        return jnp.minimum(self.added, self.room)

    @property
    def bytes(self) -> int:
        """Bytes of memory; the same whether the store is full or empty."""
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self.lifetimes))

    def after(self, lifetimes: PyTree) -> Self:
        """The store with more lifetimes `[T, more, ...]`, time-major; at most `room` of them at once."""
        fresh = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), lifetimes)
        more = jax.tree.leaves(fresh)[0].shape[0]
        places = (self.added + jnp.arange(more)) % self.room
        held = jax.tree.map(lambda old, new: old.at[places].set(new), self.lifetimes, fresh)
        return type(self)(lifetimes=held, added=self.added + more)

    def draw(self, key: PRNGKeyArray, lifetimes: int) -> PyTree:
        """This many lifetimes `[T, lifetimes, ...]`, drawn uniformly and with replacement from those that are held."""
        places = jax.random.randint(key, (lifetimes,), 0, jnp.maximum(self.held, 1))
        return jax.tree.map(lambda leaf: jnp.moveaxis(leaf[places], 0, 1), self.lifetimes)


@record
class ReplayedLifetimes:
    """The lifetimes that an algorithm with `wants=Replayed(...)` learns from.

    `fresh`: this device's share `[T, lifetimes]` of the lifetimes of this update. `replay`: a store of `Step` records; it holds
    the fresh lifetimes of all devices and earlier ones. Every device has the whole store.
    """

    fresh: Transition
    replay: Replay


@record
class Step:
    """The part of a step that is kept; with a leading time axis, of a lifetime.

    It holds what happened between agent and task. It leaves out the agent's beliefs and policies, which are out of date later.
    """

    observation: Array
    action: Array
    reward: Float[Array, "*time"]
    successor: Array
    terminated: Bool[Array, "*time"]
    valid: Bool[Array, "*time"]


def steps_of(lifetimes: Transition) -> Step:
    """The part of lifetimes, or of pieces of them, that is replayed."""
    return Step(
        observation=lifetimes.observation,
        action=lifetimes.decision.action,
        reward=lifetimes.outcome.reward,
        successor=lifetimes.outcome.observation,
        terminated=lifetimes.outcome.terminated,
        valid=lifetimes.valid,
    )


def some_steps(lifetimes: PyTree, key: PRNGKeyArray, *, steps: int) -> PyTree:
    """This many steps `[steps, lifetimes, ...]` of each lifetime `[T, lifetimes, ...]`, drawn uniformly with replacement."""
    length, count = jax.tree.leaves(lifetimes)[0].shape[:2]
    at, lifetime = jax.random.randint(key, (steps, count), 0, length), jnp.arange(count)[None]
    return jax.tree.map(lambda leaf: leaf[at, lifetime], lifetimes)


def empty_lifetime(spec: Spec) -> Step:
    """A lifetime `[T]` of which no step happened: an example of the shapes and types that are kept."""
    number, seen = jnp.zeros(spec.lifetime_steps), _zeros(spec.observation_space, spec.lifetime_steps)
    no, action = number > 0, _zeros(spec.action_space, spec.lifetime_steps)
    return Step(observation=seen, action=action, reward=number, successor=seen, terminated=no, valid=no)


def _zeros(space: ActionSpace, steps: int) -> PyTree:
    if isinstance(space, COMPOSITE):
        return assembled([_zeros(part, steps) for part in parts_of(space)], space)
    kind = jnp.int32 if isinstance(space, gymnasium.spaces.Discrete) else space.dtype
    return jnp.zeros((steps, *(space.shape or ())), kind)
