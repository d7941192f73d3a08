"""Daily variants: how to share the users of each day among three variants over a quarter; 90 days, 1,000 users a day.

New variants convert better at first, users of some weekdays convert more, and conversions become known late. The dynamics,
the seven allocations and the observations are in `baselines.models.daily_variants`.

- Drawn once per lifetime: the control's rate; the lift of each new variant, exactly 0 for three of five; its novelty, and how
  fast novelty fades; the weekly swing; how fast conversions become known.
- Reward: the gain of all days, paid after the last one. The gain of a day is an expectation, given the quarter:

      gain = Σ_k users_k (rate_k - rate_0)        conversions more than if all users had seen the control

  Paid earlier, it would reveal the lifts before any conversion is known. A return is random through decisions only, so
  differences between agents have small errors. The ceiling is exact, and so is the floor.
- In `train`, the gain of the best persistent policy is subtracted from the return. No decision changes this gain, and without
  the subtraction returns vary eight times as much from quarter to quarter.
- All variants of a day share one random number, so agents meet common random numbers.

Splits are disjoint by construction: `mark_split` writes the number of the split into the base rate.

- `train`, `test`: as above.
- `ood:strong-novelty`: novelties are three times as large.
- `ood:long-delays`: the mean delay of a conversion is 10 days, in place of at most 3.
- `ood:trend-flip`: every lift that is not 0 is positive at first, and changes its sign between day 20 and day 45.

`floor` is the gain of random allocations. `ceiling` knows the quarter and shows the best variant of each day.
`persistent_gains` has what each variant gains if it is shown for good; the best of these is the *best persistent* policy.

Gain in conversions on 2,000 quarters of `test`, and its difference from the best persistent policy, with standard errors.
`pytest -m slow tests/golden/test_daily_variants.py` measures the second column again, on 500 quarters.

    policy                                  gain            behind the best persistent one
    random                                   56.1 (5.3)     229.6 (7.8)
    A/B test (28 days)                      162.8 (9.0)     122.9 (3.1)
    discounted daily Thompson               188.7 (9.5)      97.0 (2.4)
    Thompson (28 days), then the best       219.6 (10.6)     66.1 (2.6)
    daily Thompson                          220.2 (10.3)     65.5 (1.5)
    novelty Bayes                           248.1 (11.0)     37.6 (1.4)
    best persistent                         285.7 (11.2)        0
    full information (ceiling)              315.0 (11.3)    -29.3 (1.1)

The forms of Thompson sampling use counts only. Novelty Bayes knows the prior, novelty and delays included.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.decisions.daily_rules import (
    ab_test_agent,
    best_persistent_agent,
    daily_thompson_agent,
    discounted_daily_thompson_agent,
    thompson_then_best_agent,
)
from quickstudy.baselines.decisions.novelty_bayes import novelty_bayes_agent
from quickstudy.baselines.models import daily_variants as model
from quickstudy.baselines.models import novelty_belief as beliefs
from quickstudy.baselines.models.daily_variants import VARIANTS, DailyVariants
from quickstudy.baselines.random import random_agent
from quickstudy.numerics.count_quantiles import poisson_quantile
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.made_of import made_of
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split

SPLITS = ("train", "test", "ood:strong-novelty", "ood:long-delays", "ood:trend-flip")
STRONGER_NOVELTY, LONG_DELAY, FLIPS = 3.0, 10.0, (20.0, 45.0)
"""Factor of novelties, mean days until a conversion is known, and the days between which lifts turn, in the splits of the same
order."""
RATES = (0.002, 0.3)
"""Base rates are cut to this range."""


@record
class Quarter:
    """What is hidden in one test.

    `base_rate` `[]`: of the control, without the weekday. `week` `[2]`: s and c, log-odds. `lift`, `novelty` `[2]`: log-odds,
    in the long run and on the first day. `fade` `[]`: days until a novelty is 1/e. `arrives` `[]`: chance that a conversion
    that is not known yet becomes known on a day. `flip` `[]`: the day from which lifts have the other sign. `offset` `[]`: what
    is taken off the return; 0 but in `train`.
    """

    base_rate: Float[Array, ""]
    week: Float[Array, "2"]
    lift: Float[Array, " new"]
    novelty: Float[Array, " new"]
    fade: Float[Array, ""]
    arrives: Float[Array, ""]
    flip: Float[Array, ""]
    offset: Float[Array, ""]


@record
class Running:
    """`counts` so far; `belief` about the test; `waiting` `[variants]`: expected conversions to come; `gained` `[]`: so far."""

    counts: model.Counts
    belief: beliefs.NoveltyBelief
    waiting: Float[Array, " variants"]
    gained: Float[Array, ""]


@made_of(DailyVariants)
def daily_variants(settings: DailyVariants) -> TaskDistribution:
    """Daily variants as a task distribution."""
    spec, days = settings.spec, settings.days
    known = beliefs.Hypotheses(settings)

    def seen(task: Quarter, running: Running) -> Array:
        summary = beliefs.summary(running.belief, running.counts, known, settings)
        shown = model.observed(running.counts, summary, settings)
        if not settings.shows_gains:
            return shown
        return jnp.concatenate([shown, persistent_gains(task, settings) / settings.users_per_day])

    def reset(task: Quarter, key: PRNGKeyArray) -> tuple[Running, Array]:
        del key
        running = Running(
            counts=model.nothing_counted(),
            belief=beliefs.first_belief(settings),
            waiting=jnp.zeros(VARIANTS),
            gained=jnp.float32(0.0),
        )
        return running, seen(task, running)

    def rates_and_gain(task: Quarter, state: Running, users: Array) -> tuple[Array, Array]:
        rate = rates(task, state.counts.day, jnp.maximum(state.counts.age, 0.0))
        return rate, (users * (rate - rate[0])).sum()

    def mean_reward(task: Quarter, state: Running, action: Array) -> Array:
        """The gain of this day."""
        return rates_and_gain(task, state, settings.users_per_day * model.shares(action))[1] - task.offset / days

    def step(task: Quarter, state: Running, action: Array, key: PRNGKeyArray) -> tuple[Running, Outcome]:
        counts = state.counts
        users = settings.users_per_day * model.shares(action)
        rate, gain = rates_and_gain(task, state, users)
        waiting = state.waiting + users * rate
        # One number decides for all variants: with one key, agents that differ meet common random numbers.
        newly = poisson_quantile(jnp.broadcast_to(jax.random.uniform(key), (VARIANTS,)), task.arrives * waiting)
        after = Running(
            counts=model.counted(counts, users, newly),
            belief=beliefs.after_day(state.belief, counts, users, newly, known),
            waiting=(1 - task.arrives) * waiting,
            gained=state.gained + gain,
        )
        reward = jnp.where(after.counts.day >= days, after.gained - task.offset, 0.0)
        no = jnp.asarray(False)
        return after, Outcome(observation=seen(task, after), reward=reward, terminated=no, truncated=no)

    return TaskDistribution(
        name="daily-variants",
        config=dataclasses.asdict(settings),
        spec=spec,
        splits=SPLITS,
        sample=lambda split, key: drawn_test(settings, split, key),
        reset=reset,
        step=step,
        describe=describe,
        floor=lambda task: random_gain(task, settings) - task.offset,
        ceiling=lambda task: informed_gain(task, settings) - task.offset,
        mean_reward=mean_reward,
        baselines=experts(spec, settings),
    )


def drawn_test(settings: DailyVariants, split: str, key: PRNGKeyArray) -> Quarter:
    """The hidden part of a test of a split."""
    keys = jax.random.split(key, 8)
    new = (VARIANTS - 1,)
    rate = jax.random.beta(keys[0], settings.base_rate_alpha, settings.base_rate_beta)
    rate = mark_split(jnp.clip(rate, *RATES), split, SPLITS)
    null = jax.random.uniform(keys[1], new) < settings.null_share
    lift = jnp.where(null, 0.0, settings.lift_deviation * jax.random.normal(keys[2], new))
    novelty = settings.novelty_deviation * jnp.abs(jax.random.normal(keys[3], new))
    delay = LONG_DELAY if split == "ood:long-delays" else settings.longest_delay * jax.random.uniform(keys[4])
    flip = jnp.round(jax.random.uniform(keys[5], minval=FLIPS[0], maxval=FLIPS[1]) * settings.days / 90)
    flips = split == "ood:trend-flip"
    quarter = Quarter(
        base_rate=rate,
        week=settings.weekday_deviation * jax.random.normal(keys[6], (2,)),
        lift=jnp.abs(lift) if flips else lift,
        novelty=novelty * (STRONGER_NOVELTY if split == "ood:strong-novelty" else 1.0),
        fade=jax.random.uniform(keys[7], minval=settings.fade_low, maxval=settings.fade_high),
        arrives=1 / (1 + jnp.float32(delay)),
        flip=flip if flips else jnp.full_like(flip, 1e6),
        offset=jnp.float32(0.0),
    )
    if split != "train":
        return quarter
    return dataclasses.replace(quarter, offset=persistent_gains(quarter, settings).max())


def rates(task: Quarter, day: Float[Array, ""], age: Float[Array, " variants"]) -> Float[Array, " variants"]:
    """Probability that a user converts, for each variant.

    Args:
      task: the test.
      day: `[]`, days before.
      age: `[variants]`, days since each was first shown.
    """
    sign = jnp.where(day < task.flip, 1.0, -1.0)
    base = jnp.log(task.base_rate) - jnp.log1p(-task.base_rate)
    effects = jnp.concatenate([base[None], task.week, sign * task.lift, task.novelty])
    return jax.nn.sigmoid((model.regressors(day, jnp.exp(-age / task.fade)) * effects[None]).sum(1))


def _gains(task: Quarter, settings: DailyVariants) -> Float[Array, "new days days"]:
    """Expected gain over the control of showing a new variant to all users of a day: `[variant, day it was first shown, day]`.

    Before it was first shown, the gain is 0.
    """
    at = jnp.arange(float(settings.days))

    def gain(begun: Array, day: Array) -> Array:
        rate = rates(task, day, jnp.broadcast_to(jnp.maximum(day - begun, 0.0), (VARIANTS,)))
        return jnp.where(day >= begun, settings.users_per_day * (rate[1:] - rate[0]), 0.0)

    return jnp.moveaxis(jax.vmap(lambda begun: jax.vmap(lambda day: gain(begun, day))(at))(at), -1, 0)


def persistent_gains(task: Quarter, settings: DailyVariants) -> Float[Array, " variants"]:
    """Expected gain of each variant if all users see it on all days; that of the control is 0."""
    day = jnp.arange(float(settings.days))
    rate = jax.vmap(lambda day: rates(task, day, jnp.broadcast_to(day, (VARIANTS,))))(day)
    return settings.users_per_day * (rate - rate[:, :1]).sum(0)


def informed_gain(task: Quarter, settings: DailyVariants) -> Float[Array, ""]:
    """Expected gain of the best policy that knows the test.

    It chooses the days on which the new variants are first shown, and on each day shows the best of those that were shown.
    Showing a variant before it is the best one never raises the gain, because its novelty would fade.
    """
    one, other = _gains(task, settings)
    never = jnp.zeros((1, settings.days))
    one, other = (jnp.maximum(jnp.concatenate([gains, never]), 0.0) for gains in (one, other))
    return jax.lax.map(lambda row: jnp.maximum(row[None], other).sum(-1).max(), one).max()


def random_gain(task: Quarter, settings: DailyVariants) -> Float[Array, ""]:
    """Expected gain of random allocations: exact.

    Every variant gets a third of the users on average. On each day a variant that was not shown yet stays so with probability
    2/7: all users see another one.
    """
    gains = _gains(task, settings)
    hidden, share = (VARIANTS - 1) / model.ACTIONS, 1 / VARIANTS
    begins = hidden ** jnp.arange(float(settings.days))
    today = jnp.diagonal(gains, axis1=1, axis2=2)
    later = gains.sum(-1) - today
    return (begins[None] * share * (today + (1 - hidden) * later)).sum()


def describe(task: Quarter) -> dict[str, Array]:
    """The hidden numbers by names for people."""
    return {
        "base rate": task.base_rate,
        "weekday (sine, cosine; log-odds)": task.week,
        "lift (log-odds)": task.lift,
        "novelty (log-odds)": task.novelty,
        "fade (days)": task.fade,
        "arrives (part a day)": task.arrives,
        "flip (day)": task.flip,
    }


def experts(spec: Spec, settings: DailyVariants) -> dict[str, Callable[[], Agent]]:
    """Makers of the experts by the names that tables show."""
    return {
        "random": partial(random_agent, spec),
        "A/B test (28 days)": partial(ab_test_agent, spec, settings=settings),
        "daily Thompson": partial(daily_thompson_agent, spec, settings=settings),
        "Thompson (28 days), then the best": partial(thompson_then_best_agent, spec, settings=settings),
        "discounted daily Thompson": partial(discounted_daily_thompson_agent, spec, settings=settings),
        "novelty Bayes": partial(novelty_bayes_agent, spec),
        **({"best persistent": partial(best_persistent_agent, spec)} if settings.shows_gains else {}),
    }
