"""Agents that nobody meta-trained: the expert's methods, and the floor. Those that need no more than a spec go by name."""

from quickstudy.agent import Agent
from quickstudy.records import Spec
from quickstudy.registry import resolve

__all__ = ["BASELINES", "make"]

BASELINES = {
    "random": "quickstudy.baselines.random:random_agent",
    "greedy": "quickstudy.baselines.greedy:greedy_agent",
    "epsilon-greedy": "quickstudy.baselines.epsilon_greedy:epsilon_greedy_agent",
    "ucb1": "quickstudy.baselines.ucb1:ucb1_agent",
    "thompson-sampling": "quickstudy.baselines.thompson:thompson_agent",
    "gittins-index": "quickstudy.baselines.gittins:gittins_agent",
    "bayes-optimal": "quickstudy.baselines.bayes_optimal:bayes_optimal_agent",
    "bayes-adaptive": "quickstudy.baselines.bayes_adaptive:arrival_adaptive_agent",
    "psrl": "quickstudy.baselines.psrl:psrl_agent",
    "opsrl": "quickstudy.baselines.opsrl:opsrl_agent",
    "ucrl2": "quickstudy.baselines.ucrl2:ucrl2_agent",
    "beb": "quickstudy.baselines.beb:beb_agent",
    "trilateration": "quickstudy.baselines.trilateration:trilateration_agent",
    "circle-search": "quickstudy.baselines.circle_search:circle_search_agent",
    "energy-shaping": "quickstudy.baselines.energy_shaping:energy_shaping_agent",
    "linear-control": "quickstudy.baselines.linear_control:linear_control_agent",
    "direction-finding": "quickstudy.baselines.linear_control:direction_finding_agent",
    "self-tuning": "quickstudy.baselines.energy_shaping:self_tuning_agent",
    "certainty-equivalence": "quickstudy.baselines.drift_control:certainty_equivalence_agent",
    "no-adaptation": "quickstudy.baselines.drift_control:no_adaptation_agent",
    "linear-ucb": "quickstudy.baselines.linear_ucb:linear_ucb_agent",
    "linear-thompson-sampling": "quickstudy.baselines.linear_thompson:linear_thompson_agent",
    "low-rank-greedy": "quickstudy.baselines.low_rank_posterior:low_rank_greedy_agent",
    "low-rank-thompson-sampling": "quickstudy.baselines.low_rank_posterior:low_rank_thompson_agent",
    "ppo": "quickstudy.algorithms.ppo:ppo_agent",
    "visit-bonus": "quickstudy.baselines.beb:visit_bonus_agent",
}


def make(name: str, spec: Spec) -> Agent:
    """A baseline by its name, or from a user's own file, with its default settings.

    Args:
      name: a key of `BASELINES`, or `path/to/file.py:function`, a function `(spec) -> Agent`.
      spec: of the tasks.
    Raises:
      UnknownNameError: no such baseline.
      SpecError: tasks that it cannot play.
    """
    return resolve("baseline", name, BASELINES)(spec)
