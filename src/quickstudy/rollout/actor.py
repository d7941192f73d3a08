"""The driver for tasks that live outside: one agent beside a service, a simulator, a robot, a person at a keyboard.

It draws the keys and keeps the books that `interact.live` does (slots, chunks of `cadence` steps, slots that did not happen
after an early end), so the same agent on the same task does the same in both. What an agent remembers stays on the device; each
decision is one call of a compiled program, with what came from outside as its only new input.
"""

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from quickstudy.protocol.agent import Agent, slot_key
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.protocol.records import Decision, Outcome, Transition, record
from quickstudy.rollout.nonfinite import with_nonfinite_guard

_KEYS_AT_ONCE = 1024
"""Slots whose keys are drawn together, while the world outside is at work: a hash takes longer than a small network."""


class Actor:
    """An agent that acts and adapts beside a task that lives outside.

    Args:
      agent: who acts.
      params: of the agent, without a leading axis of seeds.
      seed: of all its randomness; each new task has a key of its own.
      endless: go on beyond the lifetime that the agent was made for. What it then does, nobody has trained or measured.

    Rewards and observations that are not finite reach no memory (`quarantine`): the step is set apart, the decision after it
    says so in `extras["quarantined"]`, and the attribute `quarantined` counts such steps over all tasks.
    Example:
      >>> import quickstudy as qs
      >>> bandits = qs.tasks.make("bernoulli-bandit", arms=2, pulls=10)
      >>> agent = bandits.baselines["greedy"]()
      >>> actor = Actor(agent, agent.init(jax.random.key(0)))
      >>> arm = actor.act(0)
      >>> actor.observe(reward=1.0, observation=0)
      >>> actor.act(0) == arm
      True
    """

    def __init__(self, agent: Agent, params: PyTree, *, seed: int = 0, endless: bool = False):
        """Compiles, so that no decision waits for it."""
        self.agent, self.endless, self.nonfinite_steps = agent, endless, 0
        self._root, self._tasks = jax.random.key(seed), 0
        self._programs = _Programs(with_nonfinite_guard(agent), params)
        self._programs.compile()
        self.begin()

    def begin(self, *, key: PRNGKeyArray | None = None) -> None:
        """A new task, of which nothing has been lived; the next call is `act`.

        Args:
          key: of the lifetime's randomness, as the agent's share in `interact.live`; drawn from the seed where not given.
        """
        self._keys = _SlotKeys(jax.random.fold_in(self._root, self._tasks) if key is None else key)
        self._tasks += 1
        self._books: list[Array] | None = None
        self._slot, self._waiting = 0, False
        self._followed: tuple | None = None

    def act(self, observation: Any) -> int | np.ndarray:
        """The action to take now, an element of the action space.

        Args:
          observation: an element of the observation space; the first of an episode, or what `observe` was told last.
        Raises:
          UsageError: the last action's outcome was not observed, or the lifetime is over.
          SpecError: an observation of another shape.
        """
        if self._waiting:
            raise UsageError("act() was called twice in a row. Say what followed the first action: observe(reward=..., ...).")
        if self._slot >= self.agent.spec.lifetime_steps and not self.endless:
            raise UsageError(
                f"the lifetime of {self.agent.spec.lifetime_steps} steps that this agent was made for is over. "
                "begin() a new task, or make the Actor with endless=True."
            )
        seen = self._seen = self._checked(observation)
        key_adapt, key_act = self._keys[self._slot]
        if self._books is None or self._followed is None:
            action, self._books = self._programs.first(key_adapt, key_act, seen)
        else:
            last, successor, (terminated, truncated, reward) = self._followed
            cadence = self.agent.cadence
            due = (last // cadence + 1) * cadence
            adapts = self._slot >= due
            # Chunks of slots that did not happen change no memory: the first that is full stands for all that went by.
            key_adapt = self._keys[due][0] if adapts else key_adapt
            program = self._programs.adapting if adapts else self._programs.waiting
            numbers = _packed(last, terminated, truncated, reward, key_adapt, key_act)
            action, self._books = program(self._books, seen, successor, numbers)
        self._waiting = True
        chosen = np.asarray(action)
        return chosen if chosen.ndim else int(chosen)

    def observe(self, *, reward: float, observation: Any, terminated: bool = False, truncated: bool = False) -> None:
        """What followed the last action.

        Args:
          reward: in the units that the agent was trained with; NaN where it is not known.
          observation: that followed; at the end of an episode its true last one, not the first of the next.
          terminated: the task ended the episode.
          truncated: something else did, such as a time limit. The horizon of the agent's spec ends it in any case.
        Raises:
          UsageError: no action was taken. Nothing is changed then.
          SpecError: an observation of another shape.
        """
        if not self._waiting:
            raise UsageError("observe() was called before act(): there is no action whose outcome this could be.")
        reward, successor = float(reward), self._checked(observation)
        self.nonfinite_steps += not (math.isfinite(reward) and np.isfinite(self._seen).all() and np.isfinite(successor).all())
        horizon, slot = self.agent.spec.horizon, self._slot
        ends = terminated or truncated or slot % horizon == horizon - 1
        self._followed = (slot, successor, (terminated, ends and not terminated, reward))
        self._slot = (slot // horizon + 1) * horizon if ends else slot + 1
        self._waiting = False
        self._keys.prepare(self._slot)

    @property
    def memory(self) -> PyTree:
        """What the agent remembers of the present task, up to its last `adapt`; None before the first action."""
        return None if self._books is None else self._programs.opened(self._books).memory.memory

    @property
    def decision(self) -> Decision | None:
        """The last decision, with all that the agent says beside it; None before the first action."""
        return None if self._books is None else self._programs.opened(self._books).decision

    def _checked(self, observation: Any) -> np.ndarray:
        space = self.agent.spec.observation_space
        seen = np.asarray(observation, space.dtype)
        if seen.shape != space.shape:
            raise SpecError(f"an observation must have the shape {space.shape}; came {seen.shape}.")
        return seen


@record
class _Books:
    """What stays on the device between decisions: memory, what was seen and decided last, earlier steps not taken in yet."""

    memory: PyTree
    pending: Transition | None
    observation: Array
    decision: Decision


class _Programs:
    """The compiled programs of one agent. Books cross as a flat list: a tree costs more to take apart than to compute with."""

    def __init__(self, agent: Agent, params: PyTree):
        self.agent, self.params = agent, params
        self.first = jax.jit(self._first)
        self.adapting = jax.jit(partial(self._later, adapts=True))
        self.waiting = jax.jit(partial(self._later, adapts=False))

    def compile(self) -> None:
        """Runs everything once, on nothing."""
        space = self.agent.spec.observation_space
        seen = np.asarray(space.start if hasattr(space, "start") else np.zeros(space.shape), space.dtype)
        key = _SlotKeys(jax.random.key(0))[0][0]
        numbers = _packed(0, False, False, 0.0, key, key)
        _, books = self.first(key, key, seen)
        jax.block_until_ready(self.adapting(books, seen, seen, numbers))
        if self.agent.cadence > 1:
            jax.block_until_ready(self.waiting(books, seen, seen, numbers))

    def opened(self, books: list) -> _Books:
        """Books as a tree."""
        return jax.tree.unflatten(self._tree, books)

    def _closed(self, books: _Books) -> tuple[Array, list]:
        leaves, self._tree = jax.tree.flatten(books)
        return books.decision.action, leaves

    def _first(self, key_begin: Array, key_act: Array, observation: Array) -> tuple[Array, list]:
        """The first action on a task, and the books after it."""
        agent, (key_begin, key_act) = self.agent, map(jax.random.wrap_key_data, (key_begin, key_act))
        memory = agent.begin(self.params, key_begin)
        decision = agent.act(self.params, memory, observation, key_act)
        no = jnp.asarray(False)
        outcome = Outcome(observation=observation, reward=jnp.float32(0), terminated=no, truncated=no)
        blank = Transition(observation=observation, decision=decision, outcome=outcome, episode=jnp.int32(0), valid=no)
        pending = None if agent.cadence == 1 else jax.tree.map(lambda x: jnp.stack([x] * agent.cadence), blank)
        return self._closed(_Books(memory=memory, pending=pending, observation=observation, decision=decision))

    def _later(self, leaves: list, observation: Array, successor: Array, numbers: Array, *, adapts: bool) -> tuple[Array, list]:
        """The next action, and the books after it, once it is known what followed the last."""
        agent, books = self.agent, self.opened(leaves)
        slot, terminated, truncated = numbers[:3]
        reward = jax.lax.bitcast_convert_type(numbers[3], jnp.float32)
        key_adapt, key_act = jax.random.wrap_key_data(jax.lax.bitcast_convert_type(numbers[4:], jnp.uint32).reshape(2, -1))
        outcome = Outcome(observation=successor, reward=reward, terminated=terminated > 0, truncated=truncated > 0)
        lived = Transition(
            observation=books.observation,
            decision=books.decision,
            outcome=outcome,
            episode=slot // agent.spec.horizon,
            valid=jnp.asarray(True),
        )
        if books.pending is None:
            chunk, pending = jax.tree.map(lambda x: x[None], lived), None
        else:
            chunk = jax.tree.map(lambda all, one: all.at[slot % agent.cadence].set(one), books.pending, lived)
            pending = chunk if not adapts else dataclasses.replace(chunk, valid=jnp.zeros_like(chunk.valid))
        memory = books.memory
        if not adapts:
            decision = agent.act(self.params, memory, observation, key_act)
        else:
            memory = agent.adapt(self.params, memory, chunk, key_adapt)
            decision = agent.act(self.params, memory, observation, key_act)
        return self._closed(_Books(memory=memory, pending=pending, observation=observation, decision=decision))


def _packed(
    slot: int, terminated: bool, truncated: bool, reward: float, key_adapt: np.ndarray, key_act: np.ndarray
) -> np.ndarray:
    """All numbers from outside as one array of int32, the others by their bits: each array that crosses costs microseconds."""
    numbers = np.empty(4 + key_adapt.size + key_act.size, np.int32)
    numbers[:3] = slot, terminated, truncated
    numbers[3:4].view(np.float32)[0] = reward
    numbers[4:].view(np.uint32)[:] = np.concatenate([key_adapt, key_act])
    return numbers


class _SlotKeys:
    """The two keys of every slot `[2]`, as plain numbers, drawn many slots at a time."""

    def __init__(self, key: PRNGKeyArray):
        self._key, self._blocks = key, dict[int, np.ndarray]()
        self.prepare(0)

    def __getitem__(self, slot: int) -> np.ndarray:
        self.prepare(slot)
        return self._blocks[slot // _KEYS_AT_ONCE][slot % _KEYS_AT_ONCE]

    def prepare(self, slot: int) -> None:
        """Draws the block that a slot lies in, and forgets all but the one before."""
        block = slot // _KEYS_AT_ONCE
        if block not in self._blocks:
            kept = {number: keys for number, keys in self._blocks.items() if number == block - 1}
            self._blocks = kept | {block: np.asarray(_key_block(self._key, block * _KEYS_AT_ONCE))}


@jax.jit
def _key_block(key: PRNGKeyArray, start: Array) -> Array:
    slots = start + jnp.arange(_KEYS_AT_ONCE)
    return jax.random.key_data(jax.vmap(slot_key, (None, 0))(key, slots))
