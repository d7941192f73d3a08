"""One agent that acts outside of JAX: in a service, a simulator, on a robot, or for a person at a keyboard.

An `Actor` is one session (`rollout/session.py`), compiled. The same agent on the same task decides the same as in
`run_lifetime`. Each decision is one call of a compiled program. Small agents decide in NumPy (`numpy_programs.py`) where that
is faster.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from quickstudy.protocol.action_spaces import user_action
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.casting import Elements, described, host_flag, host_number
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.protocol.given_actions import GivenActions, check_allowed
from quickstudy.protocol.records import Decision
from quickstudy.rollout.actor_programs import SLOTS_AT_ONCE, Followed
from quickstudy.rollout.actor_state import ActorState
from quickstudy.rollout.nonfinite import LARGEST_REWARD, usable_reward, with_nonfinite_guard
from quickstudy.rollout.numpy_programs import programs_for
from quickstudy.rollout.session import Session, chunk_end, end_of_episode, next_slot


class Actor:
    """An agent that acts and adapts on a task outside of JAX.

    Args:
      agent: the agent; it is wrapped by `with_nonfinite_guard`.
      params: its parameters, without a leading axis of seeds.
      seed: of all its randomness; each new task has a key of its own.
      endless: go on beyond the lifetime that the agent was made for. Nothing was trained or measured there.
      backend: `jax`, a compiled program; `numpy`, the agent's form in NumPy; `auto`, NumPy where the agent has such a form and
        it is the faster one. Numbers of the policy agree to 1e-5. Actions are drawn with the same random numbers.

    Rewards and observations that are not finite reach no memory: the step counts as one that did not happen. The next
    decision says so in `extras["nonfinite_steps"]`, and the attribute `nonfinite_steps` counts such steps over all tasks.
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

    def __init__(self, agent: Agent, params: PyTree, *, seed: int = 0, endless: bool = False, backend: str = "auto"):
        """Compiles, so that no decision waits for it."""
        self.agent, self.endless, self.nonfinite_steps = agent, endless, 0
        self._root, self._tasks = jax.random.key(seed), 0
        self._elements, self._actions = Elements(agent.spec.observation_space), GivenActions(agent.spec.action_space)
        self._programs = programs_for(with_nonfinite_guard(agent), params, backend=backend)
        self._programs.compile()
        self.begin()

    def begin(self, *, key: PRNGKeyArray | None = None) -> None:
        """Starts a new task; the next call is `act`.

        Args:
          key: the agent's share of the lifetime's randomness, `jax.random.split(key)[0]` in `run_lifetime`; drawn from the
            seed where not given.
        """
        self._key = jax.random.fold_in(self._root, self._tasks) if key is None else key
        self._keys = _SlotKeys(self._key, self._programs.draws)
        self._tasks += 1
        self._carried: Any = None
        self._slot, self._waiting = 0, False
        self._followed: Followed | None = None

    def act(self, observation: Any) -> Any:
        """The action to take now, an element of the action space.

        It is a whole number for a Discrete space, a tuple or dict for a Tuple or Dict, else an array of the declared type.

        Args:
          observation: an element of the observation space: the first of an episode, or the one that `observe` was given.
        Raises:
          UsageError: the last action's outcome was not observed, or the lifetime is over.
          SpecError: something that is no element of the observation space. Nothing is changed then.
        """
        if self._waiting:
            raise UsageError("act() was called twice in a row. Say what followed the first action: observe(reward=..., ...).")
        if self._slot >= self.agent.spec.lifetime_steps and not self.endless:
            raise UsageError(
                f"the lifetime of {self.agent.spec.lifetime_steps} steps that this agent was made for is over. "
                "begin() a new task, or make the Actor with endless=True."
            )
        seen = self._seen = self._own(observation)
        if self._carried is None:
            action, self._carried = self._programs.first(jax.random.key_data(self._key), seen, self._keys[0][1])
        else:
            key_adapt, key_action = self._keys_of_decision()
            action, self._carried = self._programs.later(
                self._carried, seen, self._followed, slot=self._slot, key_adapt=key_adapt, key_action=key_action
            )
        self._waiting, self._followed = True, None
        return user_action(action, self.agent.spec.action_space)

    def observe(
        self, *, reward: float, observation: Any, terminated: bool = False, truncated: bool = False, action: Any = None
    ) -> None:
        """Reports what followed the last action.

        Args:
          reward: in the units that the agent was trained with; NaN where it is not known.
          observation: that followed; at the end of an episode its true last one, not the first of the next.
          terminated: the task ended the episode.
          truncated: something else did, such as a time limit. The horizon of the agent's spec ends it in any case.
          action: that was in fact taken, where it is not the one that `act` gave. The agent learns from it. `decision` then
            holds it, with its log-probability where the agent gives its policy. The first such call compiles.
        Raises:
          UsageError: no action was taken.
          SpecError: something that is no element of the observation space or the action space, no number or no truth value, an
            action that the observation forbids, or a reward whose sums overflow. Nothing is changed then, and `observe` can be
            called again.
        """
        if not self._waiting:
            raise UsageError("observe() was called before act(): there is no action whose outcome this could be.")
        reward, successor = checked_reward(reward), self._own(observation)
        flags = (checked_flag("terminated", terminated), checked_flag("truncated", truncated))
        if action is not None:
            assert self._carried is not None  # an action waits for its outcome
            taken = self._actions.cast(action)
            check_allowed(taken, self._seen, self.agent.spec)
            self._carried = self._programs.taken(self._carried, taken)
        self.nonfinite_steps += not (math.isfinite(reward) and np.isfinite(self._seen).all() and np.isfinite(successor).all())
        slot, horizon = self._slot, self.agent.spec.horizon
        ends = end_of_episode(slot, *flags, horizon=horizon)
        self._followed = Followed(slot, successor, reward, *map(bool, ends))
        self._slot, self._waiting = int(next_slot(slot, any(ends), horizon=horizon)), False
        self._keys.prepare(self._slot)

    @property
    def memory(self) -> PyTree:
        """A copy of the agent's memory of the present task, up to its last `adapt`; None before the first action."""
        return None if self._carried is None else _copied(self._programs.opened(self._carried).memory.memory)

    @property
    def decision(self) -> Decision | None:
        """A copy of the last decision, with everything in its `extras`; None before the first action."""
        return None if self._carried is None else _copied(self._programs.opened(self._carried).decision)

    @property
    def session(self) -> Session:
        """A copy of the session of the guarded agent, with everything observed so far; its leaves are all there is to store."""
        if self._carried is None:
            return self._programs.begin(self._key)
        carried = _copied(self._programs.opened(self._carried))
        key, awaiting = jax.random.key_data(self._key), jnp.asarray(True)
        if self._followed is None:
            return carried.session(slot=jnp.int32(self._slot), key=key, awaits_outcome=jnp.asarray(self._waiting))
        session = carried.session(slot=jnp.int32(self._followed.slot), key=key, awaits_outcome=awaiting)
        return self._programs.observe(session, self._followed.outcome())

    def resume(self, session: Session) -> None:
        """Goes on with a session as it was when `session` gave it, of an Actor with the same agent and parameters.

        Args:
          session: its leaves may be NumPy arrays, as they come back from storage.
        """
        self.begin(key=jax.random.wrap_key_data(jnp.asarray(session.key)))
        self._slot, self._waiting = int(session.slot), bool(session.awaits_outcome)
        if self._slot or self._waiting:
            self._carried, self._seen = self._programs.closed(session), np.asarray(session.observation)

    def _own(self, observation: Any) -> np.ndarray:
        """An observation as an array that stays: environments write the next one into the array of the last."""
        element = self._elements.cast(observation)
        return element.copy() if element is observation else element

    def state_dict(self) -> dict[str, np.ndarray]:
        """All that this Actor must know to go on, as named NumPy arrays: memory, the last decision, the slot, keys and counts.

        Names of memory begin with `memory.memory.`. The arrays are copies. They may be stored, as with
        `safetensors.numpy.save_file`, and numbers in them may be changed before `load_state_dict`.
        """
        return ActorState(session=self.session, tasks=self._tasks, nonfinite_steps=self.nonfinite_steps).arrays()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a state that `state_dict` gave, of an Actor with the same agent and parameters, and the same seed.

        Args:
          state: arrays by name.
        Raises:
          SpecError: an array is missing, is not known, or has another shape or type. Nothing is changed then.
        """
        given = ActorState.from_arrays(state, like=self._programs.like)
        self.resume(given.session)
        self._tasks, self.nonfinite_steps = given.tasks, given.nonfinite_steps

    def _keys_of_decision(self) -> tuple[Any, Any]:
        """Key data, or random numbers, for the `adapt` before the next decision and for the decision."""
        if self._followed is None:
            return self._keys[self._slot][0], self._keys[self._slot][1]
        due = chunk_end(self._followed.slot, cadence=self.agent.cadence)
        return self._keys[due][0], self._keys[self._slot][1]


def checked_reward(reward: Any) -> float:
    """A reward as a number; NaN and infinities pass, since the guard masks them.

    Raises:
      SpecError: it is no number, or sums of it overflow.
    """
    try:
        number = reward if type(reward) is float else host_number("a reward", reward)
    except ValueError as error:
        raise SpecError(
            f"a reward must be one number, and NaN where it is not known; came {described(reward)}. Nothing was changed."
        ) from error
    if math.isfinite(number) and not usable_reward(number):
        raise SpecError(
            f"a reward must lie within ±{LARGEST_REWARD:g}, or sums of rewards overflow; came {number:g}. Give it in the units "
            "that the agent was trained with. Nothing was changed."
        )
    return number


def checked_flag(name: str, flag: Any) -> np.bool_:
    """A truth value that a program around the agent gave.

    Raises:
      SpecError: it is neither true nor false.
    """
    try:
        return np.bool_(flag if type(flag) is bool else host_flag(name, flag))
    except ValueError as error:
        raise SpecError(
            f"{name} must be one truth value, True or False; came {described(flag)}. Nothing was changed."
        ) from error


class _SlotKeys:
    """What programs draw with at every slot, for `adapt` and for the action; drawn for many slots in one call."""

    def __init__(self, key: PRNGKeyArray, draws: Callable[[PRNGKeyArray, int], Any]):
        self._key, self._draws, self._blocks = key, draws, dict[int, Any]()
        self.prepare(0)

    def __getitem__(self, slot: int) -> Any:
        self.prepare(slot)
        return self._blocks[slot // SLOTS_AT_ONCE][slot % SLOTS_AT_ONCE]

    def prepare(self, slot: int) -> None:
        """Draws the block of a slot, and drops all blocks but the one before."""
        block = slot // SLOTS_AT_ONCE
        if block not in self._blocks:
            kept = {number: drawn for number, drawn in self._blocks.items() if number == block - 1}
            self._blocks = kept | {block: self._draws(self._key, block * SLOTS_AT_ONCE)}


def _copied(tree: PyTree) -> PyTree:
    """A tree of arrays that stay when the originals are given to the next program."""
    return jax.tree.map(jnp.copy, tree)
