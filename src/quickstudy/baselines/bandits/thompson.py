"""Thompson sampling: the best action for one draw from the belief."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from quickstudy.baselines.bandits.arm_counts import ArmCounts, counting_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Spec


def thompson_agent(spec: Spec) -> Agent:
    """An agent that draws a probability for every arm from its posterior, and pulls the arm of the highest.

        θ_i ~ Beta(1 + successes_i, 1 + failures_i)      argmax_i θ_i

    Its decisions have no log-probability, which would be an integral over the posteriors of all arms.

    Args:
      spec: of the tasks; Discrete actions, rewards of 0 or 1.
    Raises:
      SpecError: actions that are not Discrete.
    Source: Thompson 1933; Chapelle & Li 2011, algorithm 2, with a uniform prior. Changed: nothing.
    """

    def choose(params: tuple, counts: ArmCounts, key: PRNGKeyArray) -> tuple[Array, dict[str, Array]]:
        del params
        # A Beta draw is X / (X + Y) of two Gamma draws, which compile in half the time of jax.random.beta; their logarithms
        # order arms whose rounded probabilities would be equal.
        gamma = jax.random.loggamma(key, counts.belief.concentration.T)
        return jnp.argmax(gamma[0] - gamma[1]), {}

    return counting_agent(spec, choose)
