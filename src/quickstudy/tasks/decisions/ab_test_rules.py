"""The rules that A/B tests are compared with, by the names that tables show."""

from collections.abc import Callable
from functools import partial
from typing import Any

from quickstudy.baselines.decisions.allocation import (
    bayes_ucb_allocation_agent,
    discounted_allocation_agent,
    thompson_allocation_agent,
    top_two_allocation_agent,
    windowed_allocation_agent,
)
from quickstudy.baselines.decisions.expected_loss import expected_loss_agent
from quickstudy.baselines.decisions.mixture_tests import confidence_sequence_agent, mixture_test_agent
from quickstudy.baselines.decisions.stopping import fixed_size_agent, obrien_fleming_agent, peeking_agent, pocock_agent
from quickstudy.baselines.decisions.stopping_programme import stopping_programme_agent
from quickstudy.baselines.models.ab_test import arms_of_test
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Spec


def rules_of_ab_tests(
    spec: Spec,
    *,
    base_rate: tuple[float, float],
    lift_deviation: float,
    null_share: float,
    users_per_look: int,
    horizon_users: int,
) -> dict[str, Callable[[], Agent]]:
    """Makers of the rules, those that need a prior with the prior of the tasks.

    Args:
      spec: of the tasks.
      base_rate: α and β of the Beta distribution of base rates.
      lift_deviation: of lifts, in log-odds.
      null_share: probability that a lift is 0.
      users_per_look: of each arm.
      horizon_users: in all.
    """
    prior: dict[str, Any] = {"lift_deviation": lift_deviation, "null_share": null_share, "users_per_look": users_per_look}
    alpha, beta = base_rate
    rules: dict[str, Callable[[], Agent]] = {
        "random": partial(random_agent, spec),
        "fixed size": partial(fixed_size_agent, spec),
        "peeking": partial(peeking_agent, spec),
        "Pocock": partial(pocock_agent, spec),
        "O'Brien-Fleming": partial(obrien_fleming_agent, spec),
        "O'Brien-Fleming (one side)": partial(obrien_fleming_agent, spec, both_sides=False),
        "mixture SPRT": partial(mixture_test_agent, spec, lift_deviation=lift_deviation),
        "confidence sequence": partial(confidence_sequence_agent, spec),
        "expected loss": partial(expected_loss_agent, spec, **prior),
        "Thompson allocation": partial(thompson_allocation_agent, spec, alpha=alpha, beta=beta),
        "top-two Thompson allocation": partial(top_two_allocation_agent, spec, alpha=alpha, beta=beta),
        "Bayes-UCB allocation": partial(bayes_ucb_allocation_agent, spec, alpha=alpha, beta=beta),
        "discounted Thompson allocation": partial(discounted_allocation_agent, spec, alpha=alpha, beta=beta),
        "windowed Thompson allocation": partial(windowed_allocation_agent, spec, alpha=alpha, beta=beta),
    }
    if arms_of_test(spec) == 2:
        rules["stopping programme"] = partial(stopping_programme_agent, spec, **prior, horizon_users=horizon_users)
    return rules
