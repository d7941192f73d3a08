"""The programs of an `Actor` in NumPy: the same calls as `ActorPrograms`, without a crossing from Python to a device.

A call of a compiled program costs more than the arithmetic of a small network. Here a decision is some forty operations of
NumPy. The numbers of the policy agree with the compiled program's to rounding. Actions are drawn with the same random numbers,
which JAX draws for many slots in one call. So an action differs only where rounding decides between two of them.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree, UInt32
from scipy.special import ndtr, ndtri

from quickstudy.numerics.distributions import Categorical, TruncatedNormal
from quickstudy.programs.numpy_form import numpy_function
from quickstudy.programs.tracing import named_leaves, trace
from quickstudy.protocol.agent import Agent, slot_key
from quickstudy.protocol.errors import NoProgramError
from quickstudy.protocol.records import Decision, blank_observation
from quickstudy.rollout.actor_programs import SLOTS_AT_ONCE, ActorPrograms, Carried, Followed
from quickstudy.rollout.session import Session
from quickstudy.rollout.step_programs import StepPrograms, canonical_array, step_programs

_DRAWN_EXTRAS = frozenset(("log_probability",))
"""What a decision says of the drawn action; it is computed when somebody asks."""


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
      NoProgramError: the agent has no form outside of JAX, or its actions are drawn in another way than those two that are
        written here.
    """

    def __init__(self, agent: Agent, params: PyTree):
        self._agent, self._params = agent, params
        self._programs = step_programs(agent, params)
        self._policy = self._programs.policy
        _check_draws(agent, params, self._programs)
        self._take_in, self._decide = numpy_function(self._programs.take_in), numpy_function(self._programs.decide)
        self._numbers = list(self._programs.decision)
        self._draw = _drawing(self._policy, self._numbers)
        space, seen = agent.spec.observation_space, blank_observation(agent.spec)
        self._horizon = agent.spec.horizon
        self._kind, self._shape = np.dtype(seen.dtype), tuple(length for length in seen.shape if length != 1)
        self._as_it_is = space.dtype == self._kind and self._shape == (space.shape or ()) and bool(self._shape)
        self._initial = self._begin()
        self._draws_at_start = bool(self._programs.drawn_at_start)
        self._jax: ActorPrograms | None = None

    def compile(self) -> None:
        """Decides once, so that no later decision is the first."""
        carried = self._decided(
            self._initial, self._read(np.zeros(self._shape, self._kind)), self.draws(jax.random.key(0), 0)[0][1]
        )
        self.later(
            carried[1], carried[1].observation, None, slot=1, key_adapt=None, key_action=self.draws(jax.random.key(0), 0)[1][1]
        )

    def draws(self, key: PRNGKeyArray, start: int, count: int = SLOTS_AT_ONCE) -> list[tuple[None, np.ndarray]]:
        """For many slots of a lifetime: nothing for `adapt`, and the random numbers of the action.

        Args:
          key: of the lifetime.
          start: the first slot.
          count: how many slots.
        """
        noise = np.asarray(
            _noise_block(key, start, count=count, gumbel=isinstance(self._policy, Categorical), n=_size(self._policy))
        )
        return [(None, row) for row in noise]

    def first(self, key: UInt32[Array, " words"], observation: np.ndarray, draw: np.ndarray) -> tuple[Any, NumpyCarried]:
        """The first action on a task, and what is carried.

        Args:
          key: of the session.
          observation: the first one.
          draw: the random numbers of slot 0.
        """
        memory = self._begin(key) if self._draws_at_start else self._initial
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
        return self._decided(self._taken_in(carried, followed), seen, key_action)

    def opened(self, carried: NumpyCarried) -> Carried:
        """What is carried, as the record that the agent's functions understand."""
        like = jax.eval_shape(partial(self._agent.begin, self._params), jax.random.key(0))
        decision_like = jax.eval_shape(
            self._agent.act, self._params, like, blank_observation(self._agent.spec), jax.random.key(0)
        )
        memory = self._tree(like, carried.memory)
        action = jnp.asarray(carried.action, decision_like.action.dtype).reshape(decision_like.action.shape)
        named = dict(zip(self._numbers, carried.numbers, strict=True))
        leaves = named_leaves(decision_like.extras, root="")
        shaped = {n: jnp.asarray(named[n.removeprefix(".")], l.dtype).reshape(l.shape) if n.removeprefix(".") in named else l
                  for n, l in leaves.items()}  # fmt: skip
        extras = jax.tree.unflatten(jax.tree.structure(decision_like.extras), list(shaped.values()))
        if "log_probability" in extras:
            extras |= {"log_probability": extras["policy"].log_probability(action)}
        decision = Decision(action=action, extras=extras)
        seen = blank_observation(self._agent.spec)
        observation = jnp.asarray(carried.observation, seen.dtype).reshape(seen.shape)
        pending = jax.eval_shape(self._compiled().begin, jax.random.key(0)).pending
        return Carried(memory=memory, pending=_blank(pending), observation=observation, decision=decision)

    def closed(self, session: Session) -> NumpyCarried:
        """The inverse: what is carried, of a session."""
        memory = self._canonical(session.memory)
        named = {name.removeprefix("."): leaf for name, leaf in named_leaves(session.decision.extras, root="").items()}
        shapes = self._programs.decision
        numbers = tuple(canonical_array(named[name], shapes[name].dtype) for name in self._numbers)
        action = np.asarray(session.decision.action)
        return NumpyCarried(
            memory, self._read(np.asarray(session.observation)), numbers, action if action.ndim else int(action)
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
        action = np.int32(carried.action) if isinstance(carried.action, int) else carried.action
        return self._take_in(
            *carried.memory,
            carried.observation,
            action,
            np.float32(reward),
            self._read(successor),
            np.bool_(terminated),
            np.bool_(truncated),
            np.int32(slot // self._horizon),
        )

    def _decided(self, memory: tuple[np.ndarray, ...], seen: Any, draw: np.ndarray) -> tuple[Any, NumpyCarried]:
        numbers = self._decide(*memory, seen)
        action = self._draw(numbers, draw)
        return action, NumpyCarried(memory, seen, numbers, action)

    def _read(self, observation: np.ndarray) -> Any:
        """An observation as programs take it."""
        if self._as_it_is:
            return observation
        if not self._shape:
            return self._kind.type(observation.item())
        return canonical_array(observation, self._kind)

    def _begin(self, key: Any = None) -> tuple[np.ndarray, ...]:
        wrapped = jax.random.key(0) if key is None else jax.random.wrap_key_data(jnp.asarray(key))
        return self._canonical(self._agent.begin(self._params, slot_key(wrapped, 0)[0]))

    def _canonical(self, memory: PyTree) -> tuple[np.ndarray, ...]:
        leaves = named_leaves(memory, root="memory")
        return tuple(canonical_array(leaf, self._programs.memory[name].dtype) for name, leaf in leaves.items())

    def _tree(self, like: PyTree, leaves: tuple[np.ndarray, ...]) -> PyTree:
        shapes, structure = jax.tree.flatten(like)
        arrays = [jnp.asarray(leaf, shape.dtype).reshape(shape.shape) for leaf, shape in zip(leaves, shapes, strict=True)]
        return jax.tree.unflatten(structure, arrays)

    def _compiled(self) -> ActorPrograms:
        """The compiled programs, which sessions are stored by; made when somebody asks."""
        if self._jax is None:
            self._jax = ActorPrograms(self._agent, self._params)
        return self._jax


def _blank(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), tree)


def _size(policy: Categorical | TruncatedNormal) -> int:
    return (policy.logits if isinstance(policy, Categorical) else policy.mean).shape[-1]


@partial(jax.jit, static_argnames=("count", "gumbel", "n"))
def _noise_block(key: PRNGKeyArray, start: Array, *, count: int, gumbel: bool, n: int) -> Array:
    keys = jax.vmap(slot_key, (None, 0))(key, start + jnp.arange(count))[:, 1]
    return jax.vmap(lambda key: _noise(key, gumbel=gumbel, n=n))(keys)


def _noise(key: PRNGKeyArray, *, gumbel: bool, n: int) -> Array:
    """The random numbers of a draw, as the policies draw them."""
    return jax.random.gumbel(key, (n,)) if gumbel else jax.random.uniform(key, (n,), minval=1e-6, maxval=1.0 - 1e-6)


def _check_draws(agent: Agent, params: PyTree, programs: StepPrograms) -> None:
    """Raises NoProgramError where `_noise` and `_drawing` are not how the agent's policy draws."""
    other = [
        name
        for name in agent_extras(agent, params)
        if name.split(".")[0] not in _DRAWN_EXTRAS and name not in programs.decision
    ]
    if other:
        raise NoProgramError(f"parts of the agent's decisions are random: {', '.join(other)}.", part=f"act, for its {other[0]}")
    policy = programs.policy
    if not isinstance(policy, Categorical | TruncatedNormal):
        raise NoProgramError(
            f"a policy of the kind {type(policy).__name__} is not drawn from in NumPy.", part="act, for its policy"
        )
    leaves = named_leaves(policy, root="policy")
    structure = jax.tree.structure(policy)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def both(key: Any, **numbers: Any) -> dict[str, Any]:
        policy = jax.tree.unflatten(structure, [numbers[name] for name in leaves])
        noise = _noise(key, gumbel=isinstance(policy, Categorical), n=_size(policy))
        return {"sampled": policy.sample(key), "drawn": _drawn_in_jax(policy, noise)}

    traced = trace(both, {"key": key} | leaves)
    if traced.outputs["sampled"] is not traced.outputs["drawn"]:
        raise NoProgramError("the policy draws actions in a way that is not written in NumPy.", part="act, for its draws")


def _drawn_in_jax(policy: Categorical | TruncatedNormal, noise: Array) -> Array:
    """What `_drawing` computes, in JAX."""
    if isinstance(policy, Categorical):
        return jnp.argmax(policy.logits + noise, axis=-1).astype(jnp.int32) + policy.start
    below, above = ((jnp.asarray(bound, jnp.float32) - policy.mean) / policy.deviation for bound in (policy.low, policy.high))
    lowest = jax.scipy.special.ndtr(below)
    quantile = lowest + noise * (jax.scipy.special.ndtr(above) - lowest)
    drawn = policy.mean + policy.deviation * jax.scipy.special.ndtri(quantile)
    return jnp.clip(drawn, jnp.asarray(policy.low, jnp.float32), jnp.asarray(policy.high, jnp.float32))


def _drawing(policy: Categorical | TruncatedNormal, names: list[str]) -> Callable[[tuple, np.ndarray], Any]:
    """From the numbers of a decision and random numbers to the action."""
    if isinstance(policy, Categorical):
        place, start = names.index("policy.logits"), policy.start
        return lambda numbers, noise: int((numbers[place] + noise).argmax()) + start
    mean_at, deviation_at = names.index("policy.mean"), names.index("policy.deviation")
    low, high = (np.asarray(bound, np.float32) for bound in (policy.low, policy.high))

    def drawn(numbers: tuple, noise: np.ndarray) -> np.ndarray:
        mean, deviation = (np.atleast_1d(numbers[place]) for place in (mean_at, deviation_at))
        lowest = ndtr((low - mean) / deviation)
        quantile = lowest + noise * (ndtr((high - mean) / deviation) - lowest)
        return np.clip(mean + deviation * ndtri(quantile), low, high)

    return drawn


def agent_extras(agent: Agent, params: PyTree) -> list[str]:
    """Names of everything that an agent's decisions say besides the action."""
    key = jax.random.key(0)
    memory = jax.eval_shape(agent.begin, params, key)
    decision = jax.eval_shape(agent.act, params, memory, blank_observation(agent.spec), key)
    return [name.removeprefix(".") for name in named_leaves(decision.extras, root="")]
