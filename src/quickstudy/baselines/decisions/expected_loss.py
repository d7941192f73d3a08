"""Stops an A/B test when the expected loss of shipping the best arm is small, under the prior of past tests."""

from jaxtyping import Array, PRNGKeyArray

from quickstudy.baselines.decisions.stopping import rule_agent, scores_of
from quickstudy.baselines.models.ab_test import Experiment, arms_of_test
from quickstudy.baselines.models.lift_belief import expected_gap, lift_belief, ranked
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Spec


def expected_loss_agent(
    spec: Spec, *, lift_deviation: float = 0.15, null_share: float = 0.0, patience: float = 8.0, users_per_look: int = 500
) -> Agent:
    """Ships the arm with the highest expected rate once its expected loss is worth less than some more looks.

        users left · expected loss  ≤  patience · users of a look · expected gap / 2

    Args:
      spec: of the tasks.
      lift_deviation: of the prior, in log-odds.
      null_share: of the prior.
      patience: looks' worth of losses; the default is the best of 2 to 16 on tests of `train`.
      users_per_look: of each arm.
    Raises:
      SpecError: tasks that are not A/B tests.
    Source: expected loss as in Stucchi 2015 (Bayesian A/B testing at VWO). Changed: the threshold follows from the users who
      are left, and the prior is that of past tests.
    """
    arms = arms_of_test(spec)

    def rule(experiment: Experiment, key: PRNGKeyArray) -> Array:
        del key
        belief = lift_belief(experiment, lift_deviation=lift_deviation, null_share=null_share)
        best, loss = ranked(belief)
        look_costs = arms * users_per_look * expected_gap(belief) / 2
        return scores_of(experiment.left * loss <= patience * look_costs, best, arms=arms)

    return rule_agent(spec, rule)
