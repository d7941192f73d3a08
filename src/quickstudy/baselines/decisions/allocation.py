"""Bandit rules for A/B tests: each look gives most users to the arm that the rule draws or prefers, and no test stops early.

The arm in focus gets most users of the look (`FOCUS`). Rates have Beta posteriors. Before the last look's decision the rule
ships the arm with the highest posterior mean; in `inference`, if the gate agrees.

Rules that forget keep their own counts: of the last looks (a window), or all counts faded by a factor for each look.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.decisions.stopping import Rule, rule_agent, scores_of
from quickstudy.baselines.models.ab_test import Experiment, arms_of_test, experiment_of
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, Spec, Transition

Choose = Callable[[Float[Array, " arms"], Float[Array, " arms"], PRNGKeyArray], Array]
"""`(conversions, other users, key) -> arm`, both counts with those of the prior."""


def thompson_allocation_agent(spec: Spec, *, alpha: float = 1.0, beta: float = 1.0) -> Agent:
    """Thompson sampling (Thompson 1933): the focus is the best arm of one draw from the posterior.

    Args:
      spec: of the tasks.
      alpha, beta: of the Beta prior of every rate.
    Raises:
      SpecError: tasks that are not A/B tests.
    """
    return _bandit_agent(spec, lambda a, b, key: jnp.argmax(jax.random.beta(key, a, b)), alpha, beta)


def top_two_allocation_agent(spec: Spec, *, alpha: float = 1.0, beta: float = 1.0, leader: float = 0.5) -> Agent:
    """Top-two Thompson sampling (Russo 2016): the best arm of a draw, or with the probability 1 - leader its best rival.

    Args:
      spec: of the tasks.
      alpha, beta: of the Beta prior of every rate.
      leader: probability of the best arm.
    Raises:
      SpecError: tasks that are not A/B tests.

    Changed: the rival is the best other arm of a second draw. Russo draws again until the best arm is another one.
    """

    def choose(a: Array, b: Array, key: PRNGKeyArray) -> Array:
        key_first, key_second, key_which = jax.random.split(key, 3)
        first = jnp.argmax(jax.random.beta(key_first, a, b))
        second = jax.random.beta(key_second, a, b)
        rival = jnp.argmax(jnp.where(jnp.arange(a.shape[0]) == first, -1.0, second))
        return jnp.where(jax.random.uniform(key_which) < leader, first, rival)

    return _bandit_agent(spec, choose, alpha, beta)


def bayes_ucb_allocation_agent(spec: Spec, *, alpha: float = 1.0, beta: float = 1.0, tail: float = 0.05) -> Agent:
    """Bayes-UCB (Kaufmann et al. 2012): the arm with the highest upper quantile of the posterior.

    Args:
      spec: of the tasks.
      alpha, beta: of the Beta prior of every rate.
      tail: probability above the quantile. Changed: it is constant, and the quantile is that of a normal distribution.
    Raises:
      SpecError: tasks that are not A/B tests.
    """

    def choose(a: Array, b: Array, key: PRNGKeyArray) -> Array:
        del key
        mean = a / (a + b)
        return jnp.argmax(mean + ndtri(1 - tail) * jnp.sqrt(mean * (1 - mean) / (a + b + 1)))

    return _bandit_agent(spec, choose, alpha, beta)


def discounted_allocation_agent(spec: Spec, *, keep: float = 0.9, alpha: float = 1.0, beta: float = 1.0) -> Agent:
    """Thompson sampling on counts that fade by the factor `keep` with each look (Raj and Kalyani 2017).

    Args:
      spec: of the tasks.
      keep: within 0 and 1.
      alpha, beta: of the Beta prior of every rate.
    Raises:
      SpecError: tasks that are not A/B tests.
    """
    arms = arms_of_test(spec)

    def after(kept: Array, added: Array) -> Array:
        return keep * kept + added

    return _forgetting_agent(spec, jnp.zeros((2, arms)), after, lambda kept: kept, alpha, beta)


def windowed_allocation_agent(spec: Spec, *, window: int = 7, alpha: float = 1.0, beta: float = 1.0) -> Agent:
    """Thompson sampling on the counts of the last looks (Trovò et al. 2020).

    Args:
      spec: of the tasks.
      window: looks that count.
      alpha, beta: of the Beta prior of every rate.
    Raises:
      SpecError: tasks that are not A/B tests.
    """
    arms = arms_of_test(spec)

    def after(kept: Array, added: Array) -> Array:
        return jnp.concatenate([kept[1:], added[None]])

    return _forgetting_agent(spec, jnp.zeros((window, 2, arms)), after, lambda kept: kept.sum(0), alpha, beta)


def _bandit_agent(spec: Spec, choose: Choose, alpha: float, beta: float) -> Agent:
    return rule_agent(spec, _rule(spec, choose, alpha, beta))


def _rule(spec: Spec, choose: Choose, alpha: float, beta: float) -> Rule:
    arms = arms_of_test(spec)

    def rule(experiment: Experiment, key: PRNGKeyArray) -> Array:
        a, b = alpha + experiment.conversions, beta + jnp.maximum(experiment.users - experiment.conversions, 0.0)
        best = jnp.argmax(a / (a + b)).astype(jnp.int32)
        focus = 1 + choose(a, b, key).astype(jnp.int32)
        return scores_of(experiment.look >= spec.horizon, best, arms=arms, otherwise=focus)

    return rule


def _forgetting_agent(
    spec: Spec,
    nothing: Array,
    after: Callable[[Array, Array], Array],
    counted: Callable[[Array], Float[Array, "2 arms"]],
    alpha: float,
    beta: float,
) -> Agent:
    """Thompson sampling on counts of its own: `after(kept, added)` takes in a look, and `counted` gives the counts in use."""
    rule = _rule(spec, lambda a, b, key: jnp.argmax(jax.random.beta(key, a, b)), alpha, beta)

    def counts(experiment: Experiment) -> Float[Array, "2 arms"]:
        return jnp.stack([experiment.users, experiment.conversions])

    def first_look(kept: Array, experiment: Experiment) -> Array:
        return jnp.where(experiment.look <= 1, after(nothing, counts(experiment)), kept)

    def act(params: tuple, memory: Array, observation: Array, key: PRNGKeyArray) -> Decision:
        del params
        experiment = experiment_of(observation, spec)
        users, conversions = counted(first_look(memory, experiment))
        recent = Experiment(
            look=experiment.look,
            left=experiment.left,
            users=users,
            conversions=conversions,
            distance=experiment.distance,
        )
        scores = rule(recent, key)
        return Decision(action=jnp.argmax(scores).astype(jnp.int32), extras={"scores": scores})

    def adapt(params: tuple, memory: Array, experience: Transition, key: PRNGKeyArray) -> Array:
        del params, key

        def take_in(kept: Array, step: Transition) -> tuple[Array, None]:
            before, now = experiment_of(step.observation, spec), experiment_of(step.outcome.observation, spec)
            new = after(first_look(kept, before), counts(now) - counts(before))
            return jnp.where(step.valid, new, kept), None

        return jax.lax.scan(take_in, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=lambda params, key: nothing, act=act, adapt=adapt)
