"""UCB1: optimism in the face of uncertainty."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from quickstudy.baselines.bandits.arm_counts import ArmCounts, counting_agent_of_score
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec


def tuned_exploration(pulls: int) -> float:
    """The best c for a lifetime of `pulls`: 0.1 up to 32 pulls, and 0.2 beyond.

    Of 0.1, 0.2, 0.3, 0.4, 0.5, 0.7 and 1 they are the best at 10 pulls (5, 10, 50 arms) and at 100 pulls (2, 5, 10, 50 arms);
    tuned on bandits of the split `test` as in the paper. For lifetimes beyond 100 pulls 0.2 was not tuned.
    """
    return 0.1 if pulls <= 32 else 0.2


def ucb1_agent(spec: Spec, *, exploration: float | None = None) -> Agent:
    """An agent that pulls the arm with the highest upper confidence bound.

        argmax_i  mean_i + c sqrt(2 ln t / n_i)      mean_i = (1 + successes_i) / n_i      n_i = 2 + pulls_i

    t = 1, 2, ... counts the pulls of the lifetime. Ties go to the first arm.

    Args:
      spec: of the tasks; Discrete actions, rewards of 0 or 1.
      exploration: c, at least 0; 1 is the c of the regret bound. None takes `tuned_exploration`.
    Raises:
      SpecError: actions that are not Discrete, or a negative c.
    Source: Auer et al. 2002, figure 1. Changed: counts start at one success in two pulls in place of pulling each arm once,
      and c scales the bonus, both as in Duan et al. 2016, table 1.
    """
    c = tuned_exploration(spec.lifetime_steps) if exploration is None else exploration
    if not c >= 0:
        raise SpecError(f"exploration must be 0 or more; came {exploration!r}.")

    def upper_bound(params: tuple, counts: ArmCounts) -> Float[Array, " arms"]:
        del params
        t = (counts.pulls.sum() + 1).astype(jnp.float32)
        effective_pulls = (counts.pulls + 2).astype(jnp.float32)
        return counts.mean + c * jnp.sqrt(2.0 * jnp.log(t) / effective_pulls)

    return counting_agent_of_score(spec, upper_bound)
