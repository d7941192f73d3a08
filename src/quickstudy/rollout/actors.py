"""Many sessions of one agent in one call: users of a service, or robots of a fleet, each on a task of its own.

`Actors` is the `vmap` of what an `Actor` does. Matrix products then read each weight once for all sessions. So a decision
costs a small part of what it costs alone.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from quickstudy.protocol.agent import Agent
from quickstudy.protocol.casting import Elements, described
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.protocol.records import Decision, Outcome
from quickstudy.protocol.sequences import where
from quickstudy.rollout import session as sessions
from quickstudy.rollout.nonfinite import LARGEST_REWARD, usable_reward, with_nonfinite_guard
from quickstudy.rollout.session import Session


class Actors:
    """Sessions side by side. They act together and observe their outcomes together; each begins tasks by itself.

    Args:
      agent: the agent; it is wrapped by `with_nonfinite_guard`.
      params: its parameters, without a leading axis of seeds.
      count: how many sessions, at least 1.
      seed: of all randomness; every task of every session has a key of its own.
      endless: go on beyond the lifetime that the agent was made for. Nothing was trained or measured there.
    Raises:
      UsageError: fewer than one session.
    Example:
      >>> import quickstudy as qs
      >>> from quickstudy.rollout.actors import Actors
      >>> bandits = qs.tasks.make("bernoulli-bandit", arms=2, pulls=10)
      >>> agent = bandits.baselines["greedy"]()
      >>> actors = Actors(agent, agent.init(jax.random.key(0)), count=3)
      >>> arms = actors.act(np.zeros(3, int))
      >>> actors.observe(reward=np.ones(3), observation=np.zeros(3, int))
      >>> bool((actors.act(np.zeros(3, int)) == arms).all())
      True
    """

    def __init__(self, agent: Agent, params: PyTree, *, count: int, seed: int = 0, endless: bool = False):
        """Compiles when it first acts."""
        if count < 1:
            raise UsageError(f"count must be 1 session or more; came {count}.")
        self.agent, self.count, self.endless = agent, count, endless
        self._elements = Elements(agent.spec.observation_space)
        guarded, self._root = with_nonfinite_guard(agent), jax.random.key(seed)
        self._tasks = np.zeros(count, np.int64)
        self._begin = jax.jit(jax.vmap(partial(sessions.begin, guarded, params)))
        self._restart = jax.jit(jax.vmap(where))
        self._decide = jax.jit(jax.vmap(partial(sessions.decide, guarded, params)), donate_argnums=0)
        self._observe_and_decide = jax.jit(jax.vmap(partial(_observe_and_decide, guarded, params)), donate_argnums=0)
        self._observe = jax.jit(jax.vmap(partial(_observe, guarded, params)), donate_argnums=0)
        self._sessions = self._begin(self.keys())
        self._outcome: Outcome | None = None
        self._waiting = False

    def keys(self) -> Key[Array, " count"]:
        """The agent's share of the randomness of each session's present task."""
        numbers = np.arange(self.count) + self.count * self._tasks
        return jax.vmap(jax.random.fold_in, (None, 0))(self._root, jnp.asarray(numbers, jnp.uint32))

    def begin(self, which: Any = None) -> None:
        """Starts new tasks.

        Args:
          which: `[count]` truth values, the sessions that start one; all if not given.
        Raises:
          SpecError: another number of them, or something else than truth values.
          UsageError: decisions were made whose outcomes were not observed.
        """
        if self._waiting:
            raise UsageError("begin() was called before the last outcomes were reported: observe(reward=..., ...).")
        chosen = self._flags("which", True if which is None else which)
        if self._outcome is not None:
            self._sessions, self._outcome = self._observe(self._sessions, self._outcome), None
        self._tasks += chosen
        self._sessions = self._restart(jnp.asarray(chosen), self._begin(self.keys()), self._sessions)

    def act(self, observation: Any) -> Any:
        """The action of every session: an array `[count, ...]`, or a tuple or dict of such arrays for a Tuple or Dict.

        Args:
          observation: of every session, `[count, ...]`.
        Raises:
          UsageError: the outcomes of the last actions were not observed, or a lifetime is over.
          SpecError: another shape, or something that is no element of the observation space. Nothing is changed then.
        """
        if self._waiting:
            raise UsageError("act() was called twice in a row. Say what followed the first actions: observe(reward=..., ...).")
        seen = self._elements.cast_each(observation, self.count)
        if self._outcome is None:
            self._sessions = self._decide(self._sessions, seen)
        else:
            self._sessions = self._observe_and_decide(self._sessions, self._outcome, seen)
            self._outcome = None
        if not self.endless:
            over = np.flatnonzero(np.asarray(self._sessions.slot) >= self.agent.spec.lifetime_steps)
            if over.size:
                raise UsageError(
                    f"the lifetime of {self.agent.spec.lifetime_steps} steps is over in session {over[0]}. "
                    "begin(which) new tasks there, or make Actors with endless=True."
                )
        self._waiting = True
        return jax.tree.map(np.asarray, self._sessions.decision.action)

    def observe(self, *, reward: Any, observation: Any, terminated: Any = False, truncated: Any = False) -> None:
        """Reports what followed the last actions.

        Args:
          reward: `[count]`; NaN where it is not known.
          observation: `[count, ...]`, that followed; at the end of an episode its true last one.
          terminated: `[count]`, whether the task ended the episode.
          truncated: `[count]`, whether something else did.
        Raises:
          UsageError: no actions were taken.
          SpecError: another shape, something that is no element of the observation space, no number or no truth value, or a
            reward whose sums overflow. Nothing is changed then, and `observe` can be called again.
        """
        if not self._waiting:
            raise UsageError("observe() was called before act(): there are no actions whose outcomes these could be.")
        followed: dict[str, Any] = {
            "reward": self._rewards(reward),
            "observation": self._elements.cast_each(observation, self.count),
            "terminated": self._flags("terminated", terminated),
            "truncated": self._flags("truncated", truncated),
        }
        self._outcome = Outcome(**followed)
        self._waiting = False

    @property
    def decision(self) -> Decision:
        """The last decisions, leaves `[count, ...]`, with everything in their `extras`."""
        return jax.tree.map(jnp.copy, self._sessions.decision)

    @property
    def slots(self) -> np.ndarray:
        """The slot of every session's last decision, `[count]`."""
        return np.asarray(self._sessions.slot)

    def _rewards(self, given: Any) -> np.ndarray:
        numbers = self._one_each("reward", given, "numbers, and NaN where they are not known")
        wrong = np.flatnonzero(np.isfinite(numbers) & ~usable_reward(numbers))
        if wrong.size:
            raise SpecError(
                f"the reward of session {wrong[0]} must lie within ±{LARGEST_REWARD:g}, or sums of rewards overflow; "
                f"came {numbers[wrong[0]]:g}. Nothing was changed."
            )
        with np.errstate(over="ignore"):
            return numbers.astype(np.float32)

    def _flags(self, name: str, given: Any) -> np.ndarray:
        flags = self._one_each(name, given, "truth values, True or False")
        wrong = np.flatnonzero((flags != 0) & (flags != 1))
        if wrong.size:
            came = f"{flags[wrong[0]]:g} in session {wrong[0]}"
            raise SpecError(f"{name} must be truth values, True or False; came {came}. Nothing was changed.")
        return flags.astype(np.bool_)

    def _one_each(self, name: str, given: Any, what: str) -> np.ndarray:
        """One number for every session, or the same for all."""
        try:
            array = np.asarray(given)
        except ValueError:  # rows of different lengths
            array = np.asarray(None)
        if array.dtype.kind not in "biuf":
            raise SpecError(f"{name} must be {what}; came {described(given)}. Nothing was changed.")
        if array.ndim == 0:
            array = np.broadcast_to(array, (self.count,))
        if array.shape != (self.count,):
            raise SpecError(f"{name} must have the shape {(self.count,)}; came {array.shape}. Nothing was changed.")
        return array.astype(np.float64)


def _observe_and_decide(agent: Agent, params: PyTree, session: Session, outcome: Outcome, observation: Any) -> Session:
    return sessions.decide(agent, params, _observe(agent, params, session, outcome), observation)


def _observe(agent: Agent, params: PyTree, session: Session, outcome: Outcome) -> Session:
    return sessions.observe(agent, params, session, outcome, adapts=True if agent.cadence == 1 else None)
