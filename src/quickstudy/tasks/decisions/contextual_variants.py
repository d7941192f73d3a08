"""Contextual variants: users with known features, variants that come and go, and a click or none; 100 users at one site.

At step t a user with 8 features arrives, and one of 5 variants is shown. The log-odds of a click are linear in the features,
with weights that differ by variant (`baselines.models.contextual_variants`).

- Drawn once per lifetime: the weights, which features matter, when each variant comes, goes and dies.
- Observation `[8 + 3 + 5]`: the features of the user, sine and cosine of the season, the clock, which variants are allowed.
  The first two variants are always allowed. A variant that died is still allowed.
- Action: the variant. Reward: 1 for a click, else 0. It is known before the next user arrives.

The parameters of the prior are the fields of `ContextualVariants`. They can be fitted to records of past tests.

Splits are disjoint by construction: `mark_split` writes the number of the split into the weights, as positions between -16 and
16.

- `train`, `test`: as above.
- `ood:own-weights`: variants share nothing; the weights of each have the same variance as before.
- `ood:dying-arms`: every variant beyond the first dies with probability 0.8.
- `ood:strong-season`: the weights of the season are five times as large.
- `ood:one-feature`: at most one feature matters.

`floor` and `ceiling` are expectations over users, with 256 users that fill the space evenly in place of random ones. The
ceiling knows the weights and the deaths.

Regret after 100 users of 500 sites of each split; standard errors are 0.27 to 0.37. `tests/golden/test_contextual_variants.py`
measures `test` again on 200 sites.

    agent                         test     own-weights    dying-arms    strong-season    one-feature
    random                        26.44    29.06          27.81         33.60            16.50
    site Thompson sampling        21.34    23.17          23.02         28.82            14.69
    logistic Thompson sampling    21.30    23.13          22.93         28.78            14.55
    greedy linear                 18.38    20.15          16.77         21.08            12.04
    variant LinUCB                17.31    18.89          18.17         17.16            12.07
    site greedy                   14.72    16.05          15.79         22.26            10.75
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from quickstudy.baselines.decisions.variant_logistic import logistic_thompson_agent
from quickstudy.baselines.decisions.variant_regression import (
    site_greedy_agent,
    site_thompson_agent,
    variant_greedy_agent,
    variant_ucb_agent,
)
from quickstudy.baselines.models.contextual_variants import ContextualVariants, regressors
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split
from quickstudy.tasks.simulated_return import evenly

SPLITS = ("train", "test", "ood:own-weights", "ood:dying-arms", "ood:strong-season", "ood:one-feature")
DYING = 0.8
"""Chance that a variant dies in `ood:dying-arms`."""
STRONGER_SEASON = 5.0
"""Factor of the weights of the season in `ood:strong-season`."""
LEFT = 0.01
"""Factor of the probability of a click after a variant has died."""

_WIDEST = 16.0
_USERS = 256


@record
class Site:
    """`weights` `[arms, 1 + m + 2]`, in log-odds; the steps in which each variant `comes`, `goes` and `dies` `[arms]`."""

    weights: Float[Array, "arms n"]
    comes: Int[Array, " arms"]
    goes: Int[Array, " arms"]
    dies: Int[Array, " arms"]


@record
class Arrival:
    """`features` `[m]` of the user who is there; `steps` `[]`: users before."""

    features: Float[Array, " m"]
    steps: Int[Array, ""]


def contextual_variants(
    *,
    arms: int = 5,
    features: int = 8,
    steps: int = 100,
    base: float = -1.0,
    intercept: float = 0.5,
    shared: float = 1.0,
    own: float = 2.0,
    active: float = 0.5,
    season: float = 0.3,
    period: float = 20.0,
    comes_and_goes: float = 0.5,
    death_chance: float = 0.2,
) -> TaskDistribution:
    """Variants that are shown to users with known features.

    Args:
      arms: number of variants, which are the actions.
      features: number of features of a user.
      steps: users in one lifetime.
      base: log-odds of a click if nothing else is known.
      intercept: standard deviation of the intercepts of variants, in log-odds.
      shared: standard deviation of the weights of features that all variants share.
      own: standard deviation of the weights of one variant around the shared ones.
      active: chance that a feature matters at a site.
      season: standard deviation of the weights of the season.
      period: steps of one season.
      comes_and_goes: chance that a variant beyond the first two comes late, and that it goes early.
      death_chance: chance that a variant beyond the first dies at a random step.
    Raises:
      SpecError: a setting out of its range.
    Example:
      >>> contextual_variants(steps=20).spec.lifetime_steps
      20
    Source: ours, after the contextual bandits of Li et al. 2010.
    """
    return contextual_variants_of(
        ContextualVariants(
            arms=arms,
            features=features,
            steps=steps,
            base=base,
            intercept=intercept,
            shared=shared,
            own=own,
            active=active,
            season=season,
            period=period,
            comes_and_goes=comes_and_goes,
            death_chance=death_chance,
        )
    )


def contextual_variants_of(prior: ContextualVariants) -> TaskDistribution:
    """The tasks of a prior, such as one that was fitted to records."""
    spec = prior.spec

    def reset(task: Site, key: PRNGKeyArray) -> tuple[Arrival, Array]:
        state = Arrival(features=jax.random.normal(key, (prior.features,)), steps=jnp.int32(0))
        return state, seen(task, state)

    def seen(task: Site, state: Arrival) -> Float[Array, " numbers"]:
        allowed = (task.comes <= state.steps) & (state.steps < task.goes)
        return site_observation(prior, steps=state.steps, features=state.features, allowed=allowed)

    def chances(task: Site, observation: Float[Array, "*users numbers"], steps: Array) -> Float[Array, "*users arms"]:
        x = regressors(observation, prior.features)
        odds = prior.base + jnp.matmul(x, task.weights.T, precision=jax.lax.Precision.HIGHEST)
        alive = jnp.where(steps < task.dies, 1.0, LEFT)
        return jax.nn.sigmoid(odds) * jnp.broadcast_to(alive, odds.shape)

    def mean_reward(task: Site, state: Arrival, action: Array) -> Array:
        return chances(task, seen(task, state), state.steps)[action]

    def step(task: Site, state: Arrival, action: Array, key: PRNGKeyArray) -> tuple[Arrival, Outcome]:
        key_click, key_user = jax.random.split(key)
        chance = mean_reward(task, state, action)
        # One number decides for all variants: with one key, agents that show different ones meet common random numbers.
        clicked = jax.random.uniform(key_click) < chance
        following = Arrival(features=jax.random.normal(key_user, (prior.features,)), steps=state.steps + 1)
        no = jnp.asarray(False)
        outcome = Outcome(observation=seen(task, following), reward=clicked.astype(jnp.float32), terminated=no, truncated=no)
        return following, outcome

    users = jnp.asarray(_users(prior.features))

    def expected(task: Site, value: Callable[[Array, Array], Array]) -> Array:
        """Sum over steps of the mean over users of a value of chances and allowed variants."""

        def at(steps: Array) -> Array:
            observations = jax.vmap(lambda features: seen(task, Arrival(features=features, steps=steps)))(users)
            return value(chances(task, observations, steps), spec.allowed(observations)).mean()

        return jax.lax.map(at, jnp.arange(prior.steps, dtype=jnp.int32)).sum()

    return TaskDistribution(
        name="contextual-variants",
        config={},
        spec=spec,
        splits=SPLITS,
        sample=partial(_site, prior),
        reset=reset,
        step=step,
        describe=describe,
        floor=lambda task: expected(
            task, lambda p, allowed: jnp.where(allowed, p, 0.0).sum(-1) / allowed.sum(-1).astype(p.dtype)
        ),
        ceiling=lambda task: expected(task, lambda p, allowed: jnp.where(allowed, p, 0.0).max(-1)),
        mean_reward=mean_reward,
        # The variants that are there are seen, and so is what follows from when they come and go.
        shown=("comes", "goes"),
        baselines=site_experts(spec, prior),
    )


def describe(task: Site) -> dict[str, Array]:
    """The parameters of a site, by names for people."""
    return {
        "weights (variants × numbers)": task.weights,
        "step in which each variant comes": task.comes,
        "step in which each variant goes": task.goes,
        "step in which each variant dies": task.dies,
    }


def site_observation(
    prior: ContextualVariants, *, steps: Int[Array, ""], features: Float[Array, " m"], allowed: Bool[Array, " arms"]
) -> Float[Array, " numbers"]:
    """What is seen when a user arrives.

    Args:
      prior: of the period of the season and the steps of a lifetime.
      steps: users before.
      features: of the user.
      allowed: variants that may be shown.
    """
    time = steps.astype(jnp.float32)
    angle = 2 * jnp.pi * time / prior.period
    season = jnp.stack([jnp.sin(angle), jnp.cos(angle), time / prior.steps])
    return jnp.concatenate([features, season, allowed.astype(jnp.float32)])


def site_experts(spec: Spec, prior: ContextualVariants) -> dict[str, Callable[[], Agent]]:
    """Makers of the experts. All see what an agent sees; those of a site know its prior, but not the weights.

    Args:
      spec: of the tasks.
      prior: of the tasks, or another prior that the experts assume.
    """
    return {
        "random": partial(random_agent, spec),
        "variant LinUCB": partial(variant_ucb_agent, spec, prior=prior),
        "greedy linear": partial(variant_greedy_agent, spec, prior=prior),
        "logistic Thompson sampling": partial(logistic_thompson_agent, spec, prior=prior),
        "site Thompson sampling": partial(site_thompson_agent, spec, prior=prior),
        "site greedy": partial(site_greedy_agent, spec, prior=prior),
    }


def _site(prior: ContextualVariants, split: str, key: PRNGKeyArray) -> Site:
    """Draws a site of a split."""
    key_active, key_shared, key_own, key_times, key_coins = jax.random.split(key, 5)
    arms, size, steps = prior.arms, prior.features + 3, prior.steps
    active = jax.random.uniform(key_active, (prior.features,)) < prior.active
    if split == "ood:one-feature":
        active = active & (jnp.arange(prior.features) == 0)
    matters = jnp.concatenate([jnp.ones(1), active.astype(jnp.float32), jnp.ones(2)]) / prior.active**0.5
    shared = jnp.asarray(prior.shared_deviations) * jax.random.normal(key_shared, (size,)) * matters
    scale = jnp.asarray(prior.own_deviations) * matters.at[jnp.array([0, -2, -1])].set(1.0)
    if split == "ood:own-weights":
        shared = jnp.zeros(size)
        scale = jnp.sqrt(jnp.square(scale) + jnp.square(jnp.asarray(prior.shared_deviations) * matters))
    if split == "ood:strong-season":
        scale = scale.at[-2:].mul(STRONGER_SEASON)
    weights = shared[None] + scale[None] * jax.random.normal(key_own, (arms, size))
    times = jax.random.randint(key_times, (3, arms), 0, jnp.int32([[steps // 2 + 1], [steps // 2 + 1], [steps]]))
    late, early, dies = jax.random.uniform(key_coins, (3, arms))
    kept, number = jnp.arange(arms) < 2, jnp.arange(arms)
    death = DYING if split == "ood:dying-arms" else prior.death_chance
    return Site(
        weights=2 * _WIDEST * (mark_split(weights / (2 * _WIDEST) + 0.5, split, SPLITS) - 0.5),
        comes=jnp.where(kept | (late >= prior.comes_and_goes), 0, times[0]).astype(jnp.int32),
        goes=jnp.where(kept | (early >= prior.comes_and_goes), steps + 1, steps - times[1]).astype(jnp.int32),
        dies=jnp.where((number > 0) & (dies < death), times[2], steps).astype(jnp.int32),
    )


def _users(features: int) -> Float[np.ndarray, "users m"]:
    """Features of users who fill the normal distribution evenly."""
    return np.asarray(ndtri(jnp.asarray(evenly(_USERS, features))))
