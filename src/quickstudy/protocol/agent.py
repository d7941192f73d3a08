"""The adaptive agent: a record of pure functions over parameters and memory.

*Parameters* are written by meta-training. *Memory* is written by one lifetime on one task. Four functions hold the meaning:
`init`, `begin`, `act`, `adapt`. All are written for one lifetime, without a batch axis: `vmap` is added outside.

`unroll` is a forward pass over recorded lifetimes, and it is what meta-training differentiates. An agent may bring a fast form
of it. `tests/laws` ties the fast form to the four functions.

Randomness: slot t of a lifetime owns `key_t = slot_key(key, t)`, split in two. The first half is consumed by the `adapt` that
takes in the steps before t (by `begin` at t = 0), the second half by `act` at t. So a loop in Python, a compiled rollout
and `unroll` all draw the same numbers.
"""

import dataclasses
from collections.abc import Callable
from typing import Generic, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PRNGKeyArray

from quickstudy.protocol.allowed_actions import held_to_allowed, only_allowed_along
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec, Transition
from quickstudy.protocol.sequences import chunks, flatten_chunks, scan

Params = TypeVar("Params")
Memory = TypeVar("Memory")
Unroll = Callable[[Params, Transition, PRNGKeyArray], tuple[Memory, Decision]]

_FAST_UNROLL_RESTS_ON = ("spec", "begin", "act", "adapt", "cadence")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agent(Generic[Params, Memory]):
    """One interface for everything that learns within a lifetime.

    Args:
      spec: spaces, horizon and episodes that the agent was made for.
      init: `(key) -> params`, before any meta-training.
      begin: `(params, key) -> memory`, at the start of a new task.
      act: `(params, memory, observation, key) -> Decision`; never changes memory. Where tasks forbid actions, it is held to the
        allowed ones (`allowed_actions.py`).
      adapt: `(params, memory, experience, key) -> memory`, the inner loop; `experience` is a `Transition` with a leading
        axis of length `cadence`. Steps that are not `valid` must change nothing.
      cadence: environment steps per call of `adapt`, at least 1; it divides the lifetime.
      exchangeable: a promise that `adapt` ignores the order of the steps. The laws hold the agent to it.
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
    fast_unroll: "FastUnroll | None" = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "act", held_to_allowed(self.act, self.spec))
        if self.cadence < 1 or self.spec.lifetime_steps % self.cadence:
            raise SpecError(
                f"cadence must be a whole number that divides the lifetime of {self.spec.lifetime_steps} steps; "
                f"came {self.cadence}."
            )

    def unroll(self, params: Params, lifetimes: Transition, key: Key[Array, "*lifetimes"]) -> tuple[Memory, Decision]:
        """What `act` decides at every step of recorded lifetimes, and the memory after the last step.

        Differentiable in `params`, through `begin` and `adapt`.

        Args:
          params: of the agent.
          lifetimes: leaves `[T, *lifetimes, ...]`; one lifetime is `[T, ...]`.
          key: `[*lifetimes]`, one for each lifetime.
        Returns:
          The memory, leaves `[*lifetimes, ...]`, and the decisions, leaves `[T, *lifetimes, ...]`.
        """
        if self.fast_unroll is not None and self.fast_unroll.fits(self):
            memory, decisions = self.fast_unroll.run(params, lifetimes, key)
            if self.spec.action_mask:
                keys_act = lambda key: slot_keys(key, self.spec)[:-1, 1]  # noqa: E731
                decisions = only_allowed_along(decisions, lifetimes, keys_act, key, self.spec)
            return memory, decisions
        return over_lifetimes(derived_unroll(self))(params, lifetimes, key)

    def with_fast_unroll(self, run: Unroll) -> "Agent[Params, Memory]":
        """This agent with a fast form of `unroll`.

        Where one of the agent's functions is replaced later, the fast form is not used any more.

        Args:
          run: as `unroll`, on lifetimes `[T, *lifetimes, ...]` with any number of axes of lifetimes.
        """
        return dataclasses.replace(self, fast_unroll=FastUnroll(run=run, agent=self))


@dataclasses.dataclass(frozen=True, kw_only=True)
class FastUnroll:
    """A fast form of `unroll`, and the agent whose functions it repeats."""

    run: Unroll
    agent: Agent

    def fits(self, agent: Agent) -> bool:
        """Whether an agent still has the functions that this form repeats."""
        return all(getattr(agent, name) is getattr(self.agent, name) for name in _FAST_UNROLL_RESTS_ON)


def slot_key(key: PRNGKeyArray, slot: int | Array) -> Key[Array, "2"]:
    """The two keys `[2]` that slot t of a lifetime owns: one for `begin` or `adapt`, one for `act`."""
    return jax.random.split(jax.random.fold_in(key, slot))


def slot_keys(key: PRNGKeyArray, spec: Spec) -> Key[Array, "slots 2"]:
    """`slot_key` for every slot of a lifetime and for the moment after it: `[T + 1, 2]`."""
    return jax.vmap(slot_key, (None, 0))(key, jnp.arange(spec.lifetime_steps + 1))


def over_lifetimes(unroll_one: Unroll) -> Unroll:
    """From an `unroll` of one lifetime `[T]`, one of lifetimes `[T, *lifetimes]`, with any number of axes of lifetimes."""

    def unroll(params: Params, lifetimes: Transition, key: Key[Array, "*lifetimes"]) -> tuple[Memory, Decision]:
        run = unroll_one
        for _ in range(key.ndim):
            run = jax.vmap(run, (None, 1, 0), (0, 1))
        return run(params, lifetimes, key)

    return unroll


def derived_unroll(agent: Agent) -> Unroll:
    """`unroll` of one lifetime `[T]` from `begin`, `act` and `adapt` alone: the meaning that a fast form must agree with."""
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


def memory_bytes(agent: Agent) -> int:
    """Bytes of memory that one lifetime needs, found without running anything."""
    key = jax.eval_shape(lambda: jax.random.key(0))
    params = jax.eval_shape(agent.init, key)
    memory = jax.eval_shape(agent.begin, params, key)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(memory))
