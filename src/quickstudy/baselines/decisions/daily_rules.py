"""Rules for three variants over a quarter that ignore novelty: an A/B test, Thompson sampling, and an informed bound.

All read the counts that are known before a day. A rule that stops after some days keeps its choice: from then on it repeats the
allocation of the day before.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.memoryless import memoryless_agent
from quickstudy.baselines.models.daily_variants import (
    ALL_TO,
    EQUAL,
    VARIANTS,
    Counts,
    DailyVariants,
    check_daily_spec,
    counts_of,
    observation_size,
)
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Spec, Transition
from quickstudy.protocol.sequences import scan

TEST_DAYS = 28
LEVEL = 0.05

Rule = Callable[[Counts, PRNGKeyArray], Array]
"""`(counts, key) -> action`."""


def ab_test_agent(
    spec: Spec, *, settings: DailyVariants = DailyVariants(), days: int = TEST_DAYS, level: float = LEVEL
) -> Agent:
    """Equal parts for some days. Then all users see the new variant with the largest z, if it is significant, else the control.

        z = (p_k - p_0) / √(p (1 - p) (1 / n_k + 1 / n_0)),   significant above the two-sided bound at `level` / 2

    The level is shared by the two new variants (Bonferroni).

    Args:
      spec: of the tasks.
      settings: of the tasks, of which the users of a day are used.
      days: of the test.
      level: two-sided.
    Raises:
      SpecError: tasks that are not daily variants.
    """
    bound = float(ndtri(1 - level / (2 * (VARIANTS - 1))))

    def winner(counts: Counts, key: PRNGKeyArray) -> Array:
        del key
        z = z_scores(counts)
        best = jnp.argmax(z).astype(jnp.int32)
        return jnp.where(z[best] > bound, best, 0)

    return _then_keeps(spec, settings, days, lambda counts, key: jnp.int32(EQUAL), winner)


def daily_thompson_agent(
    spec: Spec, *, settings: DailyVariants = DailyVariants(), alpha: float = 1.0, beta: float = 1.0
) -> Agent:
    """Thompson sampling for the whole time: all users of a day see the best variant of one draw from Beta posteriors.

    Args:
      spec: of the tasks.
      settings: of the tasks, of which the users of a day are used.
      alpha: α of the Beta prior of every rate.
      beta: β of it.
    Raises:
      SpecError: tasks that are not daily variants.
    Source: Thompson 1933.
    """
    check_daily_spec(spec)
    draw = _drawn(alpha, beta)

    def choose(observation: Array, key: PRNGKeyArray) -> Decision:
        counts = counts_of(observation, spec, users_per_day=settings.users_per_day)
        return Decision(action=ALL_TO + draw(counts.users, counts.known, key), extras={})

    return memoryless_agent(spec, choose)


def thompson_then_best_agent(
    spec: Spec,
    *,
    settings: DailyVariants = DailyVariants(),
    days: int = TEST_DAYS,
    alpha: float = 1.0,
    beta: float = 1.0,
) -> Agent:
    """Thompson sampling for some days, and then the variant with the highest posterior mean for good.

    Args:
      spec: of the tasks.
      settings: of the tasks, of which the users of a day are used.
      days: of sampling.
      alpha: α of the Beta prior of every rate.
      beta: β of it.
    Raises:
      SpecError: tasks that are not daily variants.
    """
    draw = _drawn(alpha, beta)

    def best(counts: Counts, key: PRNGKeyArray) -> Array:
        del key
        return jnp.argmax((alpha + counts.known) / (alpha + beta + counts.users)).astype(jnp.int32)

    return _then_keeps(spec, settings, days, lambda counts, key: ALL_TO + draw(counts.users, counts.known, key), best)


def discounted_daily_thompson_agent(
    spec: Spec,
    *,
    settings: DailyVariants = DailyVariants(),
    keep: float = 0.95,
    alpha: float = 1.0,
    beta: float = 1.0,
) -> Agent:
    """Thompson sampling on counts that fade by the factor `keep` with each day.

    Args:
      spec: of the tasks.
      settings: of the tasks, of which the users of a day are used.
      keep: within 0 and 1.
      alpha: α of the Beta prior of every rate.
      beta: β of it.
    Raises:
      SpecError: tasks that are not daily variants.
    Source: Raj and Kalyani 2017.
    """
    check_daily_spec(spec)
    draw = _drawn(alpha, beta)

    def read(observation: Array) -> Counts:
        return counts_of(observation, spec, users_per_day=settings.users_per_day)

    def act(params: tuple, memory: Array, observation: Array, key: PRNGKeyArray) -> Decision:
        del params, observation
        return Decision(action=ALL_TO + draw(memory[0], memory[1], key), extras={})

    def take_in(kept: Array, step: Transition) -> tuple[Array, None]:
        before, now = read(step.observation), read(step.outcome.observation)
        after = keep * kept + jnp.stack([now.users - before.users, now.newly])
        return jnp.where(step.valid, after, kept), None

    def adapt(params: tuple, memory: Array, experience: Transition, key: PRNGKeyArray) -> Array:
        del params, key
        return scan(take_in, memory, experience)[0]

    nothing = jnp.zeros((2, VARIANTS))
    return Agent(spec=spec, init=lambda key: (), begin=lambda params, key: nothing, act=act, adapt=adapt)


def best_persistent_agent(spec: Spec) -> Agent:
    """The variant that gains most if all users see it on all days, as the observation says. It is a bound, not a method.

    Args:
      spec: of tasks with `shows_gains`.
    Raises:
      SpecError: tasks that are not daily variants, or that do not show the gains.
    """
    check_daily_spec(spec)
    if spec.observation_space.shape != (observation_size(shows_gains=True),):
        raise SpecError("the best persistent variant is read from the observation: make the tasks with shows_gains=True.")

    def choose(observation: Array, key: PRNGKeyArray) -> Decision:
        del key
        return Decision(action=ALL_TO + jnp.argmax(observation[-VARIANTS:]).astype(jnp.int32), extras={})

    return memoryless_agent(spec, choose)


def z_scores(counts: Counts) -> Float[Array, " variants"]:
    """Known rate of each variant minus that of the control, in standard errors under equal rates."""
    users = jnp.maximum(counts.users, 1.0)
    rate = counts.known / users
    pooled = (counts.known.sum() + 0.5) / (counts.users.sum() + 1.0)
    return (rate - rate[0]) / jnp.sqrt(pooled * (1 - pooled) * (1 / users + 1 / users[0]))


def _drawn(alpha: float, beta: float) -> Callable[[Array, Array, PRNGKeyArray], Array]:
    """The best variant of one draw from the posteriors, from users, known conversions and a key."""

    def draw(users: Array, known: Array, key: PRNGKeyArray) -> Array:
        rates = jax.random.beta(key, alpha + known, beta + jnp.maximum(users - known, 0.0))
        return jnp.argmax(rates).astype(jnp.int32)

    return draw


def _then_keeps(
    spec: Spec, settings: DailyVariants, days: int, rule: Rule, winner: Callable[[Counts, PRNGKeyArray], Array]
) -> Agent:
    """An agent that follows a rule for some days, then picks a variant, and shows it from then on.

    Memory `[]`: the allocation of the day before.
    """
    check_daily_spec(spec)

    def act(params: tuple, memory: Array, observation: Array, key: PRNGKeyArray) -> Decision:
        del params
        counts = counts_of(observation, spec, users_per_day=settings.users_per_day)
        picked = jnp.where(counts.day == days, ALL_TO + winner(counts, key), memory)
        return Decision(action=jnp.where(counts.day < days, rule(counts, key), picked).astype(jnp.int32), extras={})

    def take_in(kept: Array, step: Transition) -> tuple[Array, None]:
        return jnp.where(step.valid, step.decision.action.astype(jnp.int32), kept), None

    def adapt(params: tuple, memory: Array, experience: Transition, key: PRNGKeyArray) -> Array:
        del params, key
        return scan(take_in, memory, experience)[0]

    return Agent(spec=spec, init=lambda key: (), begin=lambda params, key: jnp.int32(EQUAL), act=act, adapt=adapt)
