"""Greedy and ε-greedy planning in the expected MDP."""

from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.mdps.transition_counts import TransitionCounts, planning_agent
from quickstudy.numerics.value_iteration import backward_induction, expected_backup
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Spec


def mdp_greedy_agent(spec: Spec, *, prior_mean: float = 1.0) -> Agent:
    """An agent that plans, before every episode, in the posterior mean of the MDP, and never explores deliberately.

    Args:
      spec: of the tasks; Discrete observations (the states) and actions.
      prior_mean: of the mean rewards, whose prior is N(prior_mean, 1).
    Raises:
      SpecError: observations or actions that are not Discrete.
    Source: Duan et al. 2016, table 2 ("Greedy"). Changed: the prior is the true one; see docs/tabular-mdps.md.
    """
    return mdp_epsilon_greedy_agent(spec, epsilon=0.0, prior_mean=prior_mean)


def mdp_epsilon_greedy_agent(spec: Spec, *, epsilon: float = 0.05, prior_mean: float = 1.0) -> Agent:
    """The agent of `mdp_greedy_agent` with a uniformly drawn action at some steps.

    Args:
      spec: of the tasks; Discrete observations (the states) and actions.
      epsilon: probability in [0, 1] of a uniformly drawn action, at each step. 0.05 has a higher return than
        0.1 and 0.2 with 10 episodes, and than 0.1 with 100.
      prior_mean: of the mean rewards, whose prior is N(prior_mean, 1).
    Raises:
      SpecError: observations or actions that are not Discrete, or an epsilon outside [0, 1].
    Source: Duan et al. 2016, table 2 ("ε-Greedy"). Changed: the prior is the true one; see docs/tabular-mdps.md.
    """

    def plan(counts: TransitionCounts, key: PRNGKeyArray) -> Float[Array, "horizon states actions"]:
        del key
        reward = counts.mean_reward(prior_mean)
        backup = expected_backup(reward, counts.mean_transition)
        return backward_induction(backup, states=reward.shape[0], horizon=spec.horizon)[1]

    return planning_agent(spec, plan, prior_mean=prior_mean, epsilon=epsilon)
