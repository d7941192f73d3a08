"""Optimistic posterior sampling: the highest value in any of several MDPs drawn from the belief."""

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.mdps.psrl import values_of_a_draw
from quickstudy.baselines.mdps.transition_counts import TransitionCounts, planning_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec


def opsrl_agent(spec: Spec, *, draws: int = 5, prior_mean: float = 1.0) -> Agent:
    """An agent that values every action by its highest value in any of several MDPs drawn before the episode.

        argmax_a max_i Q_i(s, a)      Q_i: the best policy's values in the i-th MDP drawn from the posterior

    Args:
      spec: of the tasks; Discrete observations (the states) and actions.
      draws: number of MDPs, at least 1; 1 draws as `psrl_agent` does. Time is proportional to it.
      prior_mean: of the mean rewards, whose prior is N(prior_mean, 1).
    Raises:
      SpecError: observations or actions that are not Discrete, or fewer than 1 draw.
    Source: Osband & Van Roy 2017, "Why is posterior sampling better than optimism for reinforcement learning?", the optimistic
      variant that it compares with; Duan et al. 2016, table 2 ("OPSRL"). Changed: nothing that the sources state.
    """
    if draws < 1:
        raise SpecError(f"draws must be 1 or more; came {draws}.")

    def plan(counts: TransitionCounts, key: PRNGKeyArray) -> Float[Array, "horizon states actions"]:
        belief = counts.belief(prior_mean)

        def one(key: PRNGKeyArray) -> Array:
            return values_of_a_draw(belief, key, horizon=spec.horizon)

        return jax.vmap(one)(jax.random.split(key, draws)).max(axis=0)

    return planning_agent(spec, plan, prior_mean=prior_mean)
