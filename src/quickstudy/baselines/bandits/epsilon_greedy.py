"""Epsilon-greedy: the arm with the highest estimated mean, and with probability ε any arm."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from quickstudy.baselines.bandits.arm_counts import ArmCounts, arms_of, counting_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec


def epsilon_greedy_agent(spec: Spec, *, epsilon: float = 0.1) -> Agent:
    """An agent that pulls a uniformly drawn arm with probability ε, and the greedy one otherwise.

    The greedy arm is that of `greedy_agent`: the highest (1 + successes) / (2 + pulls), the first of those that tie.

    Args:
      spec: of the tasks; Discrete actions, rewards of 0 or 1.
      epsilon: ε in [0, 1].
    Raises:
      SpecError: actions that are not Discrete, or an ε outside [0, 1].
    Source: Duan et al. 2016, table 1 ("ε-Greedy"). Changed: nothing.
    """
    if not 0 <= epsilon <= 1:
        raise SpecError(f"epsilon must be within [0, 1]; came {epsilon!r}.")
    arms = int(arms_of(spec).n)

    def choose(params: tuple, counts: ArmCounts, key: PRNGKeyArray) -> tuple[Array, dict[str, Array]]:
        del params
        key_explore, key_arm = jax.random.split(key)
        greedy = jnp.argmax(counts.mean)
        explore = jax.random.uniform(key_explore) < epsilon
        arm = jnp.where(explore, jax.random.randint(key_arm, (), 0, arms), greedy)
        probability = jnp.where(arm == greedy, 1.0 - epsilon, 0.0) + epsilon / arms
        return arm, {"log_probability": jnp.log(probability)}

    return counting_agent(spec, choose)
