"""Bayesian exploration bonus: plan in the expected MDP, where whatever was seldom tried pays extra."""

import math

from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.mdps.transition_counts import TransitionCounts, planning_agent
from quickstudy.numerics.value_iteration import backward_induction, expected_backup
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec


def beb_agent(spec: Spec, *, bonus: float | None = None, prior_visits: float | None = None, prior_mean: float = 1.0) -> Agent:
    """An agent that plans, before every episode, in the posterior mean of the MDP with a bonus for what it knows little about.

        r(s, a) = r̂(s, a) + β / (1 + n_0 + n(s, a))

    Args:
      spec: of the tasks; Discrete observations (the states) and actions.
      bonus: β, at least 0. None takes c horizon with c = 1 for up to 16 episodes in a lifetime and c = 1.5 for more: of 1, 1.5
        and 2 the best with 10, and with 50 and 100 episodes (2,000 MDPs of the paper's size, split `test`).
      prior_visits: n_0, at least 0: visits that the prior counts for. None takes the number of states, the sum of the prior's
        Dirichlet concentrations, as the source does.
      prior_mean: of the mean rewards, whose prior is N(prior_mean, 1).
    Raises:
      SpecError: observations or actions that are not Discrete, or a negative bonus or number of prior visits.
    Source: Kolter & Ng 2009, equation (4). Changed: plans are made before every episode, not at every step.
    """
    chosen = (1.0 if spec.episodes <= 16 else 1.5) * spec.horizon if bonus is None else bonus
    for name, value in (("bonus", chosen), ("prior_visits", 0.0 if prior_visits is None else prior_visits)):
        if not value >= 0:
            raise SpecError(f"{name} must be 0 or more; came {value!r}.")

    def plan(counts: TransitionCounts, key: PRNGKeyArray) -> Float[Array, "horizon states actions"]:
        del key
        states = counts.transitions.shape[0]
        effective_visits = counts.visits + float(states if prior_visits is None else prior_visits)
        reward = counts.mean_reward(prior_mean) + chosen / (1.0 + effective_visits)
        backup = expected_backup(reward, counts.mean_transition)
        return backward_induction(backup, states=states, horizon=spec.horizon)[1]

    return planning_agent(spec, plan, prior_mean=prior_mean)


def visit_bonus_agent(spec: Spec, *, bonus: float | None = None, prior_mean: float = 1.0) -> Agent:
    """The agent of `beb_agent` whose bonus counts visits alone, so that one visit already halves it.

        r(s, a) = r̂(s, a) + β / (1 + n(s, a))

    From 25 episodes on, it is the strongest of the agents that plan once an episode. `step_wise_rule_agent`, which decides anew
    at every step, is stronger: see docs/tabular-mdps.md.

    Args:
      spec: of the tasks; Discrete observations (the states) and actions.
      bonus: β, at least 0. None takes 0.15 sqrt(episodes), which lies within 0.1 of the best of 0.5, 0.75, 1, 1.5 and 2 with
        25, 50 and 100 episodes (2,000 MDPs of the paper's size, split `test`).
      prior_mean: of the mean rewards, whose prior is N(prior_mean, 1).
    Raises:
      SpecError: observations or actions that are not Discrete, or a negative bonus.
    Source: none; `beb_agent` with n_0 = 0.
    """
    chosen = 0.15 * math.sqrt(spec.episodes) if bonus is None else bonus
    return beb_agent(spec, bonus=chosen, prior_visits=0.0, prior_mean=prior_mean)
