"""Posterior sampling for reinforcement learning: plan for one MDP drawn from the belief, and follow the plan for an episode."""

from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.mdps.transition_counts import TransitionCounts, planning_agent
from quickstudy.numerics.beliefs.belief import JointBelief
from quickstudy.numerics.value_iteration import backward_induction, expected_backup
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Spec


def psrl_agent(spec: Spec, *, prior_mean: float = 1.0) -> Agent:
    """An agent that draws an MDP from its posterior before every episode, and follows that MDP's best policy through it.

    Args:
      spec: of the tasks; Discrete observations (the states) and actions.
      prior_mean: of the mean rewards, whose prior is N(prior_mean, 1).
    Raises:
      SpecError: observations or actions that are not Discrete.
    Source: Strens 2000; Osband, Russo & Van Roy 2013, algorithm 1. Changed: nothing.
    """

    def plan(counts: TransitionCounts, key: PRNGKeyArray) -> Float[Array, "horizon states actions"]:
        return values_of_a_draw(counts.belief(prior_mean), key, horizon=spec.horizon)

    return planning_agent(spec, plan, prior_mean=prior_mean)


def values_of_a_draw(belief: JointBelief, key: PRNGKeyArray, *, horizon: int) -> Float[Array, "horizon states actions"]:
    """The best policy's action values in one MDP drawn from the posterior."""
    drawn = belief.sample(key)
    backup = expected_backup(drawn["reward"], drawn["transition"])
    return backward_induction(backup, states=drawn["reward"].shape[0], horizon=horizon)[1]
