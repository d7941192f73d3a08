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

from quickstudy.agent import Agent, slot_key
from quickstudy.errors import SpecError, UsageError
from quickstudy.records import Decision, Outcome, Transition, record


@record
class _Books:
    """What stays on the device between decisions: memory, what was seen and decided last, earlier steps not taken in yet."""

    memory: PyTree
    pending: Transition | None
    observation: Array
    decision: Decision
    key: PRNGKeyArray


class Actor:
    """An agent that acts and adapts beside a task that lives outside.

    Args:
      agent: who acts.
      params: of the agent, without a leading axis of seeds.
      seed: of all its randomness; each new task has a key of its own.
      endless: go on beyond the lifetime that the agent was made for. What it then does, nobody has trained or measured.
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
        self.agent, self.endless = agent, endless
        self._root, self._tasks = jax.random.key(seed), 0
        self._programs = _Programs(agent, params)
        self._programs.compile()
        self.begin()

    def begin(self, *, key: PRNGKeyArray | None = None) -> None:
        """A new task, of which nothing has been lived; the next call is `act`.

        Args:
          key: of the lifetime's randomness, as the agent's share in `interact.live`; drawn from the seed where not given.
        """
        self._key = jax.random.fold_in(self._root, self._tasks) if key is None else key
        self._tasks += 1
        self._books: list[Array] | None = None
        self._slot, self._waiting, self._outcome = 0, False, None

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
        seen = self._checked(observation)
        if self._outcome is None:
            action, self._books = self._programs.first(self._key, seen)
        else:
            action, self._books = self._programs.later(self._books, seen, self._slot, *self._outcome)
        self._waiting = True
        chosen = np.asarray(action)
        return chosen if chosen.ndim else int(chosen)

    def observe(self, *, reward: float, observation: Any, terminated: bool = False, truncated: bool = False) -> None:
        """What followed the last action.

        Args:
          reward: finite, in the units that the agent was trained with.
          observation: that followed; at the end of an episode its true last one, not the first of the next.
          terminated: the task ended the episode.
          truncated: something else did, such as a time limit. The horizon of the agent's spec ends it in any case.
        Raises:
          UsageError: no action was taken, or the reward is not finite. Nothing is changed then, and it can be said again.
          SpecError: an observation of another shape.
        """
        if not self._waiting:
            raise UsageError("observe() was called before act(): there is no action whose outcome this could be.")
        reward = float(reward)
        if not math.isfinite(reward):
            raise UsageError(f"a reward must be a finite number; came {reward}. The agent has not taken it in.")
        successor = self._checked(observation)
        horizon, slot = self.agent.spec.horizon, self._slot
        ends = terminated or truncated or slot % horizon == horizon - 1
        self._outcome = (slot, np.float32(reward), successor, int(terminated), int(ends and not terminated))
        self._slot = (slot // horizon + 1) * horizon if ends else slot + 1
        self._waiting = False

    @property
    def memory(self) -> PyTree:
        """What the agent remembers of the present task, up to its last `adapt`; None before the first action."""
        return None if self._books is None else self._programs.opened(self._books).memory

    @property
    def decision(self) -> Decision | None:
        """The last decision, with all that the agent says beside it; None before the first action."""
        return None if self._books is None else self._programs.opened(self._books).decision

    def _checked(self, observation: Any) -> np.ndarray:
        seen = np.asarray(observation, self.agent.spec.observation_space.dtype)
        if seen.shape != self.agent.spec.observation_space.shape:
            raise SpecError(f"an observation must have the shape {self.agent.spec.observation_space.shape}; came {seen.shape}.")
        return seen


class _Programs:
    """The compiled programs of one agent. Books cross as a flat list: a tree costs more to take apart than to compute with."""

    def __init__(self, agent: Agent, params: PyTree):
        self.agent, self.params = agent, params
        self.first = jax.jit(self._first)
        self._adapting = jax.jit(partial(self._later, adapts=True))
        self._waiting = jax.jit(partial(self._later, adapts=False))

    def compile(self) -> None:
        """Runs everything once, on nothing."""
        space = self.agent.spec.observation_space
        seen = np.zeros(space.shape, space.dtype) + np.asarray(getattr(space, "start", 0), space.dtype)
        _, books = self.first(jax.random.key(0), seen)
        for slot in {1, self.agent.cadence}:
            jax.block_until_ready(self.later(books, seen, slot, slot - 1, np.float32(0), seen, 0, 0))

    def later(
        self, books: list, seen: np.ndarray, slot: int, last: int, reward: np.float32, successor: np.ndarray, *ended: int
    ) -> tuple[Array, list]:
        """The next action and the books after it, at `slot`, once it is known what followed the action at slot `last`."""
        cadence = self.agent.cadence
        # Chunks of slots that did not happen change no memory: the first that is full stands for all that went by.
        chunk, adapts = last // cadence, last // cadence < slot // cadence
        numbers = np.array([slot, last, (chunk + 1) * cadence, *ended], np.int32)
        return (self._adapting if adapts else self._waiting)(books, seen, reward, successor, numbers)

    def opened(self, books: list) -> _Books:
        """Books as a tree."""
        return jax.tree.unflatten(self._tree, books)

    def _closed(self, books: _Books) -> tuple[Array, list]:
        leaves, self._tree = jax.tree.flatten(books)
        return books.decision.action, leaves

    def _first(self, key: PRNGKeyArray, observation: Array) -> tuple[Array, list]:
        agent, (key_begin, key_act) = self.agent, slot_key(key, 0)
        memory = agent.begin(self.params, key_begin)
        decision = agent.act(self.params, memory, observation, key_act)
        no = jnp.asarray(False)
        outcome = Outcome(observation=observation, reward=jnp.float32(0), terminated=no, truncated=no)
        blank = Transition(observation=observation, decision=decision, outcome=outcome, episode=jnp.int32(0), valid=no)
        pending = None if agent.cadence == 1 else jax.tree.map(lambda x: jnp.stack([x] * agent.cadence), blank)
        return self._closed(_Books(memory=memory, pending=pending, observation=observation, decision=decision, key=key))

    def _later(
        self, leaves: list, observation: Array, reward: Array, successor: Array, numbers: Array, *, adapts: bool
    ) -> tuple[Array, list]:
        agent, books = self.agent, self.opened(leaves)
        slot, last, slot_adapt, terminated, truncated = numbers
        outcome = Outcome(observation=successor, reward=reward, terminated=terminated > 0, truncated=truncated > 0)
        episode = last // agent.spec.horizon
        lived = Transition(
            observation=books.observation, decision=books.decision, outcome=outcome, episode=episode, valid=jnp.asarray(True)
        )
        if books.pending is None:
            pending = jax.tree.map(lambda x: x[None], lived)
        else:
            pending = jax.tree.map(lambda all, one: all.at[last % agent.cadence].set(one), books.pending, lived)
        memory, key_act = books.memory, slot_key(books.key, slot)[1]
        if adapts:
            keys = jnp.stack([slot_key(books.key, slot_adapt)[0], key_act])
            memory, decision = agent.step(self.params, memory, pending, observation, keys)
            pending = dataclasses.replace(pending, valid=jnp.zeros_like(pending.valid))
        else:
            decision = agent.act(self.params, memory, observation, key_act)
        return self._closed(
            _Books(
                memory=memory,
                pending=None if books.pending is None else pending,
                observation=observation,
                decision=decision,
                key=books.key,
            )
        )
