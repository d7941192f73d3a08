"""Rules that stop an A/B test and hold at any time: the mixture sequential probability ratio test, and a confidence sequence.

With the difference d of two rates and its variance v, the mixture over differences N(0, τ²) has the likelihood ratio

    Λ = √(v / (v + τ²)) exp(τ² d² / (2 v (v + τ²)))

and a test that stops once Λ is at least 1/α rejects falsely with a probability of at most α, however often it looks.
"""

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from quickstudy.baselines.decisions.stopping import LEVEL, rule_agent, scores_of
from quickstudy.baselines.models.ab_test import Experiment, arms_of_test, rates, variances
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Spec


def mixture_test_agent(spec: Spec, *, level: float = LEVEL, lift_deviation: float = 0.15) -> Agent:
    """The mixture test for each treatment against the control, two-sided.

    Args:
      spec: of the tasks.
      level: α, which treatments share equally.
      lift_deviation: τ in log-odds; the mixture over differences of rates has τ p (1 - p) with the pooled rate p.
    Raises:
      SpecError: tasks that are not A/B tests.
    Source: Johari, Pekelis and Walsh 2015, equation 6. Changed: τ is in log-odds, so that one number serves all base rates.
    """
    arms = arms_of_test(spec)

    def rule(experiment: Experiment, key: PRNGKeyArray) -> Array:
        del key
        rate = (experiment.conversions.sum() + 0.5) / (experiment.users.sum() + 1)
        prior = jnp.square(lift_deviation * rate * (1 - rate))
        variance = variances(experiment)
        difference = rates(experiment) - rates(experiment)[0]
        log_ratio = jnp.log(variance / (variance + prior)) / 2
        log_ratio = log_ratio + prior * jnp.square(difference) / (2 * variance * (variance + prior))
        return _decided(difference, log_ratio >= jnp.log((arms - 1) / level), arms)

    return rule_agent(spec, rule, valid_by_itself=True)


def confidence_sequence_agent(spec: Spec, *, level: float = LEVEL, tightest: float = 0.5) -> Agent:
    """Stops when a confidence sequence of a difference leaves out zero.

        width = √((n ρ² + 1) / (n ρ²) · (log(n ρ² + 1) + 2 log(1/α)) · v)        v: variance of d, each arm with its own rate

    Args:
      spec: of the tasks.
      level: α, two-sided, which treatments share equally.
      tightest: part of the test at which the sequence is tightest; ρ² follows.
    Raises:
      SpecError: tasks that are not A/B tests.
    Source: Waudby-Smith et al. 2021, asymptotic confidence sequences. Changed: n counts looks, and ρ is set as there, by
      ρ² = (2 log(1/α) + log(1 + 2 log(1/α))) / n at the look n where the sequence is to be tightest.
    """
    arms = arms_of_test(spec)
    surprise = 2 * jnp.log((arms - 1) / level)
    rho = (surprise + jnp.log1p(surprise)) / max(tightest * spec.horizon, 1.0)

    def rule(experiment: Experiment, key: PRNGKeyArray) -> Array:
        del key
        users = jnp.maximum(experiment.users, 1.0)
        smoothed = (experiment.conversions + 0.5) / (users + 1)
        each = smoothed * (1 - smoothed) / users
        difference = rates(experiment) - rates(experiment)[0]
        scaled = experiment.look * rho
        width = jnp.sqrt((scaled + 1) / scaled * (jnp.log1p(scaled) + surprise) * (each + each[0]))
        return _decided(difference, jnp.abs(difference) > width, arms)

    return rule_agent(spec, rule, valid_by_itself=True)


def _decided(difference: Array, rejected: Array, arms: int) -> Array:
    """Scores: the best treatment that is found better, or the control if all treatments are found worse."""
    better = rejected & (difference > 0) & (jnp.arange(arms) > 0)
    worse = (rejected & (difference < 0))[1:].all()
    best = jnp.argmax(jnp.where(better, difference, -jnp.inf)).astype(jnp.int32)
    return scores_of(better.any() | worse, jnp.where(better.any(), best, 0), arms=arms)
