"""The numbers that a readout reads: the agent's belief where it has one, else its memory."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from quickstudy.protocol.agent import Agent, slot_keys
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Transition
from quickstudy.protocol.sequences import chunks, flatten_chunks, scan

_MOST_NUMBERS = 4096
_LARGEST = 1e6


def features_of(agent: Agent, params: PyTree, memory: PyTree, observation: Array) -> Float[Array, " features"]:
    """What the agent knows at this observation: the numbers of `extras["belief"]`, else those of its memory.

    Args:
      agent: whose knowledge is read.
      params: of the agent, without a leading axis of seeds.
      memory: before it acts.
      observation: that it acts on.
    Returns:
      Numbers within ±1e6, without NaN.
    Raises:
      SpecError: more numbers than a readout can read; the memory of a gradient agent is a whole network.
    """
    belief = agent.act(params, memory, observation, jax.random.key(0)).extras.get("belief", memory)
    leaves = [leaf for leaf in jax.tree.leaves(belief) if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
    size = sum(leaf.size for leaf in leaves)
    if not 0 < size <= _MOST_NUMBERS:
        raise SpecError(f"a readout reads 1 to {_MOST_NUMBERS} numbers of belief or memory; this agent has {size}.")
    numbers = jnp.concatenate([leaf.astype(jnp.float32).ravel() for leaf in leaves])
    return jnp.clip(jnp.nan_to_num(numbers), -_LARGEST, _LARGEST)


def features_along(agent: Agent, params: PyTree, lifetime: Transition, key: PRNGKeyArray) -> Float[Array, "T features"]:
    """`features_of` at every step of a recorded lifetime, before its outcome is known.

    Args:
      agent: whose knowledge is read.
      params: of the agent, without a leading axis of seeds.
      lifetime: `[T]`.
      key: of the agent in that lifetime.
    Raises:
      SpecError: as of `features_of`.
    """
    keys = slot_keys(key, agent.spec)[:: agent.cadence, 0]

    def chunk(memory: PyTree, xs: tuple) -> tuple[PyTree, Array]:
        experience, key_adapt = xs
        known = jax.vmap(lambda seen: features_of(agent, params, memory, seen))(experience.observation)
        return agent.adapt(params, memory, experience, key_adapt), known

    memory = agent.begin(params, keys[0])
    _, known = scan(chunk, memory, (chunks(lifetime, length=agent.cadence), keys[1:]))
    return flatten_chunks(known)
