"""Variants of a page that are shown to users with known features: a user clicks or not, and the best variant differs by user.

At step t a user with features c `[m]`, independent N(0, 1), arrives. Variant a is clicked on with probability

    σ(base + w_a · x),  x = [1, c / √m, sin(2π t / period), cos(2π t / period)]        [1 + m + 2]

or with a hundredth of it from the step on in which the variant dies. Weights come from the prior of a site:

    intercepts         N(0, intercept²), each variant its own
    of feature j       z_j (shared_j + own_aj),  z_j is 1 with chance `active`, shared_j ~ N(0, shared²), own_aj ~ N(0, own²)
    of the season      N(0, season²), each variant its own

An observation is [c, sin, cos, clock, allowed variants (0 or 1 for each)]. The clock is the part of the lifetime that is over.
"""

import dataclasses
from typing import Annotated

import gymnasium
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec
from quickstudy.protocol.setting_values import FRACTION, NOT_NEGATIVE, POSITIVE, Count, Range
from quickstudy.protocol.spaces import flat_size

BESIDE = 3
"""Numbers of an observation between the features of the user and the allowed variants: sine, cosine and clock."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContextualVariants:
    """The prior over sites, as flat numbers that can be fitted to records of past tests."""

    arms: Annotated[int, Range(least=2, most=50)] = 5
    """Variants, the actions."""
    features: Annotated[int, Range(least=1, most=256)] = 8
    """Features of a user, m."""
    steps: Count = 100
    """Users in one lifetime."""
    base: float = -1.0
    """Log-odds of a click where nothing else is known."""
    intercept: Annotated[float, POSITIVE] = 0.5
    """Standard deviation of the intercepts of variants, in log-odds."""
    shared: Annotated[float, NOT_NEGATIVE] = 1.0
    """Standard deviation of the weights that all variants share."""
    own: Annotated[float, POSITIVE] = 2.0
    """Standard deviation of the weights of one variant around the shared ones."""
    active: Annotated[float, Range(above=0, most=1)] = 0.5
    """Chance that a feature matters at a site."""
    season: Annotated[float, NOT_NEGATIVE] = 0.3
    """Standard deviation of the weights of sine and cosine."""
    period: Annotated[float, POSITIVE] = 20.0
    """Steps of one season."""
    comes_and_goes: Annotated[float, FRACTION] = 0.5
    """Chance that a variant beyond the first two comes late, and that it goes early, within each half of the lifetime."""
    death_chance: Annotated[float, FRACTION] = 0.2
    """Chance that a variant beyond the first dies at a random step: it may still be shown, and hardly anybody clicks."""

    @property
    def spec(self) -> Spec:
        """Observations and actions of a site."""
        return Spec(
            observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (self.features + BESIDE + self.arms,)),
            action_space=gymnasium.spaces.Discrete(self.arms),
            horizon=self.steps,
            episodes=1,
            action_mask=True,
        )

    @property
    def neutral(self) -> float:
        """Probability of a click where w · x is zero."""
        return float(1 / (1 + np.exp(-self.base)))

    @property
    def shared_deviations(self) -> Float[np.ndarray, " n"]:
        """Standard deviation of the part of each weight that all variants share."""
        return np.asarray([0, *[self.shared * self.active**0.5] * self.features, 0, 0], np.float32)

    @property
    def own_deviations(self) -> Float[np.ndarray, " n"]:
        """Standard deviation of the part of each weight that one variant has for itself."""
        of_features = [self.own * self.active**0.5] * self.features
        return np.asarray([self.intercept, *of_features, self.season, self.season], np.float32)


def regressors(observation: Float[Array, "*time numbers"], features: int) -> Float[Array, "*time n"]:
    """x of an observation: 1, the features of the user divided by √m, sine and cosine."""
    one = jnp.ones((*observation.shape[:-1], 1))
    return jnp.concatenate(
        [one, observation[..., :features] / features**0.5, observation[..., features : features + 2]], axis=-1
    )


def site_prior_for(spec: Spec, prior: ContextualVariants | None) -> ContextualVariants:
    """The prior that was given, or the default one with the sizes of the tasks.

    Raises:
      SpecError: tasks of other sizes than the prior, or without variants that are allowed or not.
    """
    if not spec.action_mask:
        raise SpecError(
            "an agent for contextual variants needs tasks that say which variants are allowed (Spec.action_mask), as "
            f"`contextual-variants` does; came observations {spec.observation_space!r} and actions {spec.action_space!r}."
        )
    arms = flat_size(spec.action_space)
    features = flat_size(spec.observation_space) - arms - BESIDE
    if features < 1:
        raise SpecError(f"observations must hold features of a user, {BESIDE} numbers of time and {arms} allowed variants.")
    if prior is None:
        return ContextualVariants(arms=arms, features=features, steps=spec.lifetime_steps)
    if (prior.arms, prior.features) != (arms, features):
        raise SpecError(
            f"the prior has {prior.arms} variants and {prior.features} features; the tasks have {arms} and {features}. "
            "Give the prior that the tasks were made with."
        )
    return prior
