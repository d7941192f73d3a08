"""The adaptive agent: a record of pure functions over parameters and memory.

*Parameters* are what an agent was born with: meta-training writes them. *Memory* is what it has lived through on the task
at hand: one lifetime writes it. Meaning stands in three functions (`begin`, `act`, `adapt`), speed in two more (`unroll`,
`step`); `tests/laws` ties each fast one to the meaning. All are written for one lifetime, unbatched: `vmap` is added
outside.

Randomness: slot t of a lifetime owns `key_t = slot_key(key, t)`, split in two: the first half is consumed by the `adapt`
that takes in what was lived before t (by `begin` at t = 0), the second by `act` at t. So a loop that calls `step` once per
chunk, a recorded lifetime and `unroll` all draw the same numbers.
"""

import dataclasses
from collections.abc import Callable
from typing import Generic, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec, Transition
from quickstudy.protocol.sequences import chunks, flatten_chunks, scan

Params = TypeVar("Params")
Memory = TypeVar("Memory")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agent(Generic[Params, Memory]):
    """One interface for everything that learns within a lifetime.

    Args:
      spec: spaces, horizon and episodes that the agent was made for.
      init: `(key) -> params`, what the agent is born with.
      begin: `(params, key) -> memory`, a new task of which nothing has been lived.
      act: `(params, memory, observation, key) -> Decision`; never changes memory.
      adapt: `(params, memory, experience, key) -> memory`, the inner loop; `experience` is a `Transition` with a leading
        axis of length `cadence`. Steps that are not `valid` must change nothing.
      cadence: environment steps per call of `adapt`, at least 1; it divides the lifetime.
      exchangeable: `adapt` ignores the order of what was lived.
      unroll: `(params, lifetime, key) -> (memory, decisions)`: what `act` decides at every recorded step `[T]`, and the
        memory after the last. Differentiable in `params`, through `begin` and `adapt`. Derived where not given.
      step: `(params, memory, experience, observation, key) -> (memory, decision)`: `adapt`, then `act`, in one pass.
        Derived where not given.
    Raises:
      SpecError: a cadence that does not divide the lifetime.
    """

    spec: Spec
    init: Callable[[PRNGKeyArray], Params]
    begin: Callable[[Params, PRNGKeyArray], Memory]
    act: Callable[[Params, Memory, Array, PRNGKeyArray], Decision]
    adapt: Callable[[Params, Memory, Transition, PRNGKeyArray], Memory]
    cadence: int = 1
    exchangeable: bool = False
    unroll: Callable[[Params, Transition, PRNGKeyArray], tuple[Memory, Decision]] = None  # type: ignore[assignment]
    step: Callable[[Params, Memory, Transition, Array, PRNGKeyArray], tuple[Memory, Decision]] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.cadence < 1 or self.spec.lifetime_steps % self.cadence:
            raise SpecError(
                f"cadence must be a whole number that divides the lifetime of {self.spec.lifetime_steps} steps; "
                f"came {self.cadence}."
            )
        if self.unroll is None:
            object.__setattr__(self, "unroll", derived_unroll(self))
        if self.step is None:
            object.__setattr__(self, "step", derived_step(self))


def slot_key(key: PRNGKeyArray, slot: int | Array) -> PRNGKeyArray:
    """The two keys `[2]` that slot t of a lifetime owns: one for `begin` or `adapt`, one for `act`."""
    return jax.random.split(jax.random.fold_in(key, slot))


def slot_keys(key: PRNGKeyArray, spec: Spec) -> PRNGKeyArray:
    """`slot_key` for every slot of a lifetime and for the moment after it: `[T + 1, 2]`."""
    return jax.vmap(slot_key, (None, 0))(key, jnp.arange(spec.lifetime_steps + 1))


def derived_unroll(agent: Agent) -> Callable:
    """`unroll` from `begin`, `act` and `adapt` alone: the meaning that a fast `unroll` must agree with."""
    act_at_each = jax.vmap(agent.act, (None, None, 0, 0))

    def unroll(params: Params, lifetime: Transition, key: PRNGKeyArray) -> tuple[Memory, Decision]:
        keys = slot_keys(key, agent.spec)
        memory = agent.begin(params, keys[0, 0])

        def chunk(memory: Memory, xs: tuple) -> tuple[Memory, Decision]:
            experience, keys_act, key_adapt = xs
            decisions = act_at_each(params, memory, experience.observation, keys_act)
            return agent.adapt(params, memory, experience, key_adapt), decisions

        keys_act = chunks(keys[:-1, 1], length=agent.cadence)
        keys_adapt = keys[agent.cadence :: agent.cadence, 0]
        experience = chunks(lifetime, length=agent.cadence)
        memory, decisions = scan(chunk, memory, (experience, keys_act, keys_adapt))
        return memory, flatten_chunks(decisions)

    return unroll


def derived_step(agent: Agent) -> Callable:
    """`step` from `adapt` and `act` alone: the meaning that a fast `step` must agree with."""

    def step(
        params: Params, memory: Memory, experience: Transition, observation: Array, key: PRNGKeyArray
    ) -> tuple[Memory, Decision]:
        key_adapt, key_act = key
        memory = agent.adapt(params, memory, experience, key_adapt)
        return memory, agent.act(params, memory, observation, key_act)

    return step


def memory_bytes(agent: Agent) -> int:
    """Bytes of memory that one lifetime needs, found without running anything."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    params = jax.eval_shape(agent.init, key)
    memory = jax.eval_shape(agent.begin, params, key)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(memory))
