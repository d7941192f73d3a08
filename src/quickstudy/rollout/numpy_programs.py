"""The programs of an `Actor` in NumPy: the same calls as `ActorPrograms`, without a crossing from Python to a device.

A call of a compiled program costs more than the arithmetic of a small network. Here a decision takes about forty operations of
NumPy. The numbers of the policy agree with the compiled program's up to rounding. Actions are drawn with the same random
numbers (`numpy_draws.py`). So an action differs only where rounding decides between two of them.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from quickstudy.programs.numpy_form import numpy_function
from quickstudy.programs.program import multiplications
from quickstudy.programs.tracing import named_leaves
from quickstudy.protocol.agent import Agent, slot_key
from quickstudy.protocol.errors import NoProgramError, UsageError
from quickstudy.protocol.records import Decision, blank_observation
from quickstudy.rollout import session as sessions
from quickstudy.rollout.actor_programs import SLOTS_AT_ONCE, ActorPrograms, Carried, Followed
from quickstudy.rollout.numpy_draws import check_draws, drawing, noise_of_slots
from quickstudy.rollout.session import Session
from quickstudy.rollout.step_programs import canonical_array, step_programs

_MOST_OPERATIONS, _MOST_PRODUCTS = 160, 1_000_000
"""Operations, and multiplications in products, of a decision that is faster in NumPy than as a compiled program."""
BACKENDS = ("auto", "jax", "numpy")


def programs_for(agent: Agent, params: PyTree, *, backend: str) -> "ActorPrograms | NumpyPrograms":
    """The programs of an `Actor`.

    Args:
      agent: the guarded agent.
      params: its parameters.
      backend: `jax`, `numpy`, or `auto`: NumPy where the agent has such a form and it is the faster one.
    Raises:
      UsageError: another backend.
      NoProgramError: `numpy`, and the agent has no such form.
    """
    if backend not in BACKENDS:
        raise UsageError(f"backend must be one of {', '.join(BACKENDS)}; came {backend!r}.")
    if backend != "jax":
        try:
            programs = NumpyPrograms(agent, params)
        except NoProgramError:
            if backend == "numpy":
                raise
        else:
            if backend == "numpy" or programs.is_small:
                return programs
    return ActorPrograms(agent, params)


class NumpyCarried(NamedTuple):
    """What is carried from decision to decision: arrays as programs take them."""

    memory: tuple[np.ndarray, ...]
    observation: Any
    numbers: tuple[np.ndarray, ...]
    action: Any


class NumpyPrograms:
    """The programs of one agent with one set of parameters.

    Args:
      agent: the agent as it is to act, guarded or not.
      params: its parameters, without a leading axis of seeds.
    Raises:
      NoProgramError: the agent has no form outside of JAX, or its actions are drawn in another way than those that
        `numpy_draws.py` has.

    The attribute `like` holds the shapes and types of a session.
    """

    def __init__(self, agent: Agent, params: PyTree):
        self._agent, self._params = agent, params
        self.like = jax.eval_shape(partial(sessions.begin, agent, params), jax.random.key(0))
        self._programs = step_programs(agent, params)
        self._policy = check_draws(self.like.decision, self._programs)
        self._take_in, self._decide = numpy_function(self._programs.take_in), numpy_function(self._programs.decide)
        self._numbers = list(self._programs.decision)
        self._draw = drawing(self._policy, self._numbers)
        self._action_kind = self._programs.take_in.inputs["action"].dtype
        space, seen = agent.spec.observation_space, blank_observation(agent.spec)
        self._horizon = agent.spec.horizon
        self._kind, self._shape = np.dtype(seen.dtype), tuple(length for length in seen.shape if length != 1)
        self._as_it_is = space.dtype == self._kind and self._shape == (space.shape or ()) and bool(self._shape)
        self._initial = self._begin()
        self._draws_at_start = bool(self._programs.drawn_at_start)
        self._jax: ActorPrograms | None = None

    @property
    def is_small(self) -> bool:
        """Whether a decision is faster here than as a compiled program."""
        operations = (*self._programs.take_in.operations, *self._programs.decide.operations)
        return len(operations) <= _MOST_OPERATIONS and multiplications(operations) <= _MOST_PRODUCTS

    def compile(self) -> None:
        """Decides twice, so that no later decision is the first."""
        blank = np.zeros(self.like.observation.shape, self._agent.spec.observation_space.dtype)
        draws = self.draws(jax.random.key(0), 0)
        _, carried = self.first(np.zeros(self.like.key.shape, np.uint32), blank, draws[0][1])
        self.later(carried, blank, Followed(0, blank, 0.0, False, False), slot=1, key_adapt=None, key_action=draws[1][1])

    def draws(self, key: PRNGKeyArray, start: int) -> list[tuple[None, np.ndarray]]:
        """For many slots of a lifetime: nothing for `adapt`, and the random numbers of the action.

        Args:
          key: of the lifetime.
          start: the first slot.
        """
        return [(None, row) for row in noise_of_slots(self._policy, key, start, count=SLOTS_AT_ONCE)]

    def first(self, key: Any, observation: np.ndarray, draw: np.ndarray) -> tuple[Any, NumpyCarried]:
        """The first action on a task, and what is carried.

        Args:
          key: data `[words]` of the session's key.
          observation: the first one.
          draw: the random numbers of slot 0.
        """
        memory = self._begin(key) if self._draws_at_start else self._initial
        with np.errstate(all="ignore"):  # huge numbers overflow and are cut, here as in JAX, which does not warn
            return self._decided(memory, self._read(observation), draw)

    def later(
        self,
        carried: NumpyCarried,
        observation: np.ndarray,
        followed: Followed | None,
        *,
        slot: int,
        key_adapt: Any,
        key_action: np.ndarray,
    ) -> tuple[Any, NumpyCarried]:
        """The next action, and what is carried after it; as `ActorPrograms.later`, with random numbers in place of keys."""
        del slot, key_adapt
        seen = self._read(observation)
        with np.errstate(all="ignore"):
            return self._decided(self._taken_in(carried, followed), seen, key_action)

    def taken(self, carried: NumpyCarried, action: PyTree) -> NumpyCarried:
        """What is carried, with another action as the one that the last decision took."""
        given = canonical_array(action, self._action_kind)
        return carried._replace(action=given if given.ndim else given.item())

    def opened(self, carried: NumpyCarried) -> Carried:
        """What is carried, as the record that the agent's functions understand."""
        like = self.like
        memory = jax.tree.unflatten(jax.tree.structure(like.memory), _shaped(carried.memory, jax.tree.leaves(like.memory)))
        (action,) = _shaped((carried.action,), [like.decision.action])
        (observation,) = _shaped((carried.observation,), [like.observation])
        named = dict(zip(self._numbers, carried.numbers, strict=True))
        shapes = {name.removeprefix("."): leaf for name, leaf in named_leaves(like.decision.extras, root="").items()}
        # What is said of the drawn action is computed below.
        leaves = _shaped([named.get(name, np.zeros(leaf.shape)) for name, leaf in shapes.items()], list(shapes.values()))
        extras = jax.tree.unflatten(jax.tree.structure(like.decision.extras), leaves)
        if "log_probability" in extras:
            extras |= {"log_probability": extras["policy"].log_probability(action)}
        pending = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like.pending)
        return Carried(memory=memory, pending=pending, observation=observation, decision=Decision(action=action, extras=extras))

    def closed(self, session: Session) -> NumpyCarried:
        """The inverse: what is carried, of a session."""
        memory = self._canonical(session.memory)
        named = {name.removeprefix("."): leaf for name, leaf in named_leaves(session.decision.extras, root="").items()}
        shapes = self._programs.decision
        numbers = tuple(canonical_array(named[name], shapes[name].dtype) for name in self._numbers)
        action = canonical_array(session.decision.action, self._action_kind)
        return NumpyCarried(
            memory, self._read(np.asarray(session.observation)), numbers, action if action.ndim else action.item()
        )

    def begin(self, key: PRNGKeyArray) -> Session:
        """A session at slot 0."""
        return self._compiled().begin(key)

    def observe(self, session: Session, outcome: Any) -> Session:
        """The session after an outcome."""
        return self._compiled().observe(session, outcome)

    def _taken_in(self, carried: NumpyCarried, followed: Followed | None) -> tuple[np.ndarray, ...]:
        if followed is None:
            return carried.memory
        slot, successor, reward, terminated, truncated = followed
        return self._take_in(
            *carried.memory,
            carried.observation,
            carried.action,
            reward,
            self._read(successor),
            terminated,
            truncated,
            slot // self._horizon,
        )

    def _decided(self, memory: tuple[np.ndarray, ...], seen: Any, draw: np.ndarray) -> tuple[Any, NumpyCarried]:
        numbers = self._decide(*memory, seen)
        action = self._draw(numbers, draw)
        taken = action if type(action) is int else canonical_array(action, self._action_kind)[()]
        return action, NumpyCarried(memory, seen, numbers, taken)

    def _read(self, observation: np.ndarray) -> Any:
        """An observation as programs take it."""
        if self._as_it_is:
            return observation
        if not self._shape:
            return observation.item()
        return canonical_array(observation, self._kind)

    def _begin(self, key: Any = None) -> tuple[np.ndarray, ...]:
        wrapped = jax.random.key(0) if key is None else jax.random.wrap_key_data(jnp.asarray(key))
        return self._canonical(self._agent.begin(self._params, slot_key(wrapped, 0)[0]))

    def _canonical(self, memory: PyTree) -> tuple[np.ndarray, ...]:
        leaves = named_leaves(memory, root="memory")
        return tuple(canonical_array(leaf, self._programs.memory[name].dtype) for name, leaf in leaves.items())

    def _compiled(self) -> ActorPrograms:
        """The compiled programs, which make the sessions that are stored. They are created at the first use."""
        if self._jax is None:
            self._jax = ActorPrograms(self._agent, self._params)
        return self._jax


def _shaped(arrays: Sequence[Any], like: Sequence[Any]) -> list[Array]:
    """Arrays of programs in the shapes and types that the agent has them in."""
    return [jnp.asarray(array, leaf.dtype).reshape(leaf.shape) for array, leaf in zip(arrays, like, strict=True)]
