"""The floor: an agent that acts uniformly at random and remembers nothing."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.baselines.memoryless import memoryless_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec
from quickstudy.protocol.spaces import COMPOSITE, ActionSpace, assembled, parts_of


def uniform_action(space: ActionSpace, key: PRNGKeyArray) -> PyTree:
    """One action, uniform in its space; bounds of integer boxes are included.

    Args:
      space: of the actions; a Box is bounded.
      key: consumed.
    Returns:
      `[]` int32 of a Discrete space, a tuple or dict of a Tuple or Dict, else an array of the shape and type of the space.
    """
    if isinstance(space, COMPOSITE):
        keys = jax.random.split(key, len(parts_of(space)))
        return assembled([uniform_action(part, key) for part, key in zip(parts_of(space), keys, strict=True)], space)
    if isinstance(space, gymnasium.spaces.Discrete):
        return jax.random.randint(key, (), int(space.start), int(space.start + space.n))
    kind = jax.dtypes.canonicalize_dtype(space.dtype)
    if not jnp.issubdtype(kind, jnp.floating):
        # In 32 bits: one more than the largest of 8 bits would be 0.
        low, high = (jnp.asarray(bound.astype(np.int32)) for bound in _whole_bounds(space))
        return jax.random.randint(key, space.shape, low, high + 1).astype(kind)
    assert isinstance(space, gymnasium.spaces.Box)
    low, high = jnp.asarray(space.low), jnp.asarray(space.high)
    return jax.random.uniform(key, space.shape, low.dtype, low, high)


def uniform_log_probability(space: ActionSpace) -> Float[Array, ""]:
    """The logarithm of the probability of every action under `uniform_action`; for fractions, of its density per unit."""
    if isinstance(space, COMPOSITE):
        return jnp.stack([uniform_log_probability(part) for part in parts_of(space)]).sum()
    if isinstance(space, gymnasium.spaces.Discrete):
        return -jnp.log(float(space.n))
    if jnp.issubdtype(space.dtype, np.floating):
        assert isinstance(space, gymnasium.spaces.Box)
        width = jnp.asarray(space.high) - jnp.asarray(space.low)
        return -jnp.log(jnp.where(width > 0, width, jnp.ones_like(width))).sum()  # a number that cannot move is certain
    low, high = _whole_bounds(space)
    return -jnp.log(jnp.asarray(high - low + 1, jnp.float32)).sum()


def _whole_bounds(space: ActionSpace) -> tuple[np.ndarray, np.ndarray]:
    """The smallest and the largest value of each number."""
    if isinstance(space, gymnasium.spaces.Box):
        return space.low.astype(np.int64), space.high.astype(np.int64)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        low = np.asarray(space.start, np.int64)
        return low, low + space.nvec - 1
    return np.zeros(space.shape or (), np.int64), np.ones(space.shape or (), np.int64)


def random_agent(spec: Spec) -> Agent:
    """An agent that draws every action uniformly from the action space.

    Args:
      spec: of the tasks. Densities are per unit of the action.
    """
    space = spec.action_space

    def choose(observation: Array, key: PRNGKeyArray) -> Decision:
        del observation
        return Decision(action=uniform_action(space, key), extras={"log_probability": uniform_log_probability(space)})

    return memoryless_agent(spec, choose)
