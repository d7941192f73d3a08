"""Three variants of a page over a quarter: allocations of a day's users, counts that are known late, and what is observed.

Variant 0 is the control, 1 and 2 are new. On day d, an age a of days since it was first shown, variant k converts a user with
the log-odds

    base + s sin(2π d / 7) + c cos(2π d / 7) + lift_k + novelty_k exp(-a / fade)            lift and novelty of the control: 0

Novelty depends on the age of the variant and not on what one user has seen before: users are not followed. A variant that is
shown first on day 50 is new on day 50.

Conversions are Poisson. Each that is not known yet becomes known with the chance `arrives` on each day, the day of the visit
included. So the counts that become known on day d are independent Poisson counts with the means

    arrives · waiting_k,        waiting_k = Σ_{s ≤ d} (1 - arrives)^(d - s) users_k(s) rate_k(s)

An action is one of seven allocations of the day's users:

    0          equal parts
    1, 2, 3    most users (`FOCUS`) to variant 0, 1, 2, and the rest in equal parts to the others
    4, 5, 6    all users to variant 0, 1, 2

An observation holds the clock and the weekday of the day to come; for each variant users, known conversions, newly known ones
and age; and the summary of a belief that knows the prior (`novelty_belief.py`). `observed` has the units.
"""

import dataclasses
from typing import Annotated

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec, record
from quickstudy.protocol.setting_values import FRACTION, NOT_NEGATIVE, POSITIVE, Count, Range
from quickstudy.protocol.settings import check_settings

VARIANTS = 3
"""The control and two new ones."""
WEEK = 7.0
FOCUS = 0.8
"""Part of a day's users that the variant in focus gets."""
EQUAL, MOST_TO, ALL_TO = 0, 1, 1 + VARIANTS
"""The action of equal parts, and the first actions of each other kind."""
ACTIONS = 1 + 2 * VARIANTS
CONTRASTS = ((1, 0), (2, 0), (2, 1))
"""Pairs of variants whose difference the belief sums up: the first one minus the second one."""
SUMMARY = 4 * len(CONTRASTS) + 6
"""Numbers of the summary of the belief."""

_DAYS_OF_AGE = 30.0
_SHARES = np.concatenate(
    [
        np.full((1, VARIANTS), 1 / VARIANTS),
        np.where(np.eye(VARIANTS) == 1, FOCUS, (1 - FOCUS) / (VARIANTS - 1)),
        np.eye(VARIANTS),
    ]
).astype(np.float32)
_CLOCK = 3
_COUNTED = 4 * VARIANTS


@dataclasses.dataclass(frozen=True, kw_only=True)
class DailyVariants:
    """Tests of three variants over a quarter, with a prior over what differs between them. Lifts are in log-odds.

    Args:
      days: decisions in a lifetime.
      users_per_day: users of all variants.
      base_rate_alpha: α of the Beta distribution of the control's rate.
      base_rate_beta: β of it.
      lift_deviation: standard deviation of the lifts that are not 0.
      null_share: probability that a lift is exactly 0.
      novelty_deviation: standard deviation of the normal distribution whose absolute value is a novelty.
      fade_low: shortest number of days until a novelty has faded to 1/e.
      fade_high: longest such number.
      weekday_deviation: standard deviation of s and of c, the weekly swing.
      longest_delay: largest mean number of days until a conversion is known, uniform from 0; 0 for none.
      shows_gains: whether observations end in the gain of each variant if it is shown on all days. No platform knows it.
    Raises:
      UsageError: a setting out of its range.
      SpecError: a shortest fading above the longest.
    Source: ours. The default prior is that of docs/daily-variants.md.
    """

    days: Count = 90
    users_per_day: Annotated[float, POSITIVE] = 1000.0
    base_rate_alpha: Annotated[float, POSITIVE] = 2.0
    base_rate_beta: Annotated[float, POSITIVE] = 38.0
    lift_deviation: Annotated[float, POSITIVE] = 0.15
    null_share: Annotated[float, FRACTION] = 0.6
    novelty_deviation: Annotated[float, NOT_NEGATIVE] = 0.25
    fade_low: Annotated[float, Range(above=0, most=1000)] = 2.0
    fade_high: Annotated[float, Range(above=0, most=1000)] = 10.0
    weekday_deviation: Annotated[float, NOT_NEGATIVE] = 0.1
    longest_delay: Annotated[float, NOT_NEGATIVE] = 3.0
    shows_gains: bool = False

    def __post_init__(self) -> None:
        check_settings(self)
        if self.fade_low > self.fade_high:
            raise SpecError(f"fade_low must not be above fade_high; came {self.fade_low} and {self.fade_high}.")

    @property
    def spec(self) -> Spec:
        """Spaces and lengths."""
        return Spec(
            observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (observation_size(shows_gains=self.shows_gains),)),
            action_space=gymnasium.spaces.Discrete(ACTIONS),
            horizon=self.days,
            episodes=1,
        )


@record
class Counts:
    """What a platform shows before a day.

    `day` `[]`: days done. `users`, `known` `[variants]`: users and known conversions so far. `newly` `[variants]`: conversions
    that became known on the day before. `age` `[variants]`: days since the variant was first shown, -1 for one that never
    was. It is shown at the age 0 on its first day.
    """

    day: Float[Array, ""]
    users: Float[Array, " variants"]
    known: Float[Array, " variants"]
    newly: Float[Array, " variants"]
    age: Float[Array, " variants"]


def nothing_counted() -> Counts:
    """Before the first day."""
    zeros = jnp.zeros(VARIANTS)
    return Counts(day=jnp.float32(0.0), users=zeros, known=zeros, newly=zeros, age=zeros - 1)


def counted(counts: Counts, users: Float[Array, " variants"], newly: Float[Array, " variants"]) -> Counts:
    """The counts after a day.

    Args:
      counts: before it.
      users: who came.
      newly: conversions that became known.
    """
    return Counts(
        day=counts.day + 1,
        users=counts.users + users,
        known=counts.known + newly,
        newly=newly,
        age=jnp.where((counts.age >= 0) | (users > 0), jnp.maximum(counts.age, 0.0) + 1, counts.age),
    )


def shares(action: Array) -> Float[Array, " variants"]:
    """Parts of the day's users that an allocation gives to the variants."""
    return jnp.asarray(_SHARES)[action]


def regressors(day: Float[Array, ""], fresh: Float[Array, " variants"]) -> Float[Array, "variants 7"]:
    """x of each variant: 1, sine and cosine of the weekday, which new variant it is, and its novelty that is left.

    Args:
      day: `[]`, days before.
      fresh: exp(-age / fade) of each variant.
    """
    angle = 2 * jnp.pi * day / WEEK
    same = jnp.broadcast_to(jnp.stack([jnp.ones(()), jnp.sin(angle), jnp.cos(angle)])[None], (VARIANTS, 3))
    new = jnp.eye(VARIANTS)[:, 1:]
    return jnp.concatenate([same, new, new * fresh[:, None]], axis=1)


def observation_size(*, shows_gains: bool) -> int:
    """Numbers in an observation."""
    return _CLOCK + _COUNTED + SUMMARY + (VARIANTS if shows_gains else 0)


def observed(counts: Counts, summary: Float[Array, " summary"], settings: DailyVariants) -> Float[Array, " observation"]:
    """The observation before a day, without the gains.

        days done / days, sine and cosine of the weekday,
        users / (users of all days), known conversions / 1000, newly known / 50, age / 30        of each variant
        the summary of the belief

    Args:
      counts: so far.
      summary: of `novelty_belief.summary`.
      settings: of the tasks.
    """
    angle = 2 * jnp.pi * counts.day / WEEK
    clock = jnp.stack([counts.day / settings.days, jnp.sin(angle), jnp.cos(angle)])
    everybody = settings.days * settings.users_per_day
    return jnp.concatenate(
        [clock, counts.users / everybody, counts.known / 1000, counts.newly / 50, counts.age / _DAYS_OF_AGE, summary]
    )


def check_daily_spec(spec: Spec) -> None:
    """Raises SpecError unless tasks have the observations and actions of `daily-variants`."""
    actions, seen = spec.action_space, spec.observation_space
    discrete = isinstance(actions, gymnasium.spaces.Discrete) and int(actions.n) == ACTIONS
    sizes = [(observation_size(shows_gains=shown),) for shown in (False, True)]
    if not discrete or seen.shape not in sizes:
        raise SpecError(
            f"a rule for daily variants needs the spaces of daily-variants: {ACTIONS} Discrete allocations, and its "
            f"observations; came {actions!r} and {seen!r}."
        )


def counts_of(observation: Float[Array, " numbers"], spec: Spec, *, users_per_day: float) -> Counts:
    """The counts that an observation shows: the inverse of `observed`."""
    users, known, newly, age = observation[_CLOCK : _CLOCK + _COUNTED].reshape(4, VARIANTS)
    return Counts(
        day=jnp.round(observation[0] * spec.horizon),
        users=users * spec.horizon * users_per_day,
        known=jnp.round(known * 1000),
        newly=jnp.round(newly * 50),
        age=jnp.round(age * _DAYS_OF_AGE),
    )


def summary_of(observation: Float[Array, " numbers"]) -> Float[Array, " summary"]:
    """The summary of the belief in an observation."""
    return jax.lax.dynamic_slice_in_dim(observation, _CLOCK + _COUNTED, SUMMARY)
