"""A/B tests: what an observation says, which actions there are, and the usual statistics.

With k arms, of which arm 0 is the control, an action is one of 2 k + 1:

    0                continue for one look, users in equal parts
    1 ... k          continue, most users on arm (action - 1)
    k + 1 ... 2 k    end the test and ship arm (action - k - 1); to ship arm 0 is to keep the control

An observation holds the counts from which every rule here computes, and numbers of a size around one that networks read:

    looks done / looks, users left / 100,000, sine and cosine of the weekday,
    users of each arm / 10,000, conversions of each arm / 500,
    log-odds of the overall rate + 3, and for each treatment z / 2, its difference from the control in standard errors
    [where a gate must agree: for each treatment its distance / 3, then 1 for each allowed action]
"""

import gymnasium
import jax.numpy as jnp
from jaxtyping import Array, Float

from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec, record

USERS, CONVERSIONS, LEFT = 10_000.0, 500.0, 100_000.0
"""Counts that are observed as 1."""
FOCUS = 0.8
"""Part of a look's users that the arm in focus gets; the others share the rest equally."""
WEEK = 7.0
"""Looks in a week."""

_LEAST_RATE = 1e-6


@record
class Experiment:
    """A running test as its platform shows it.

    `look` `[]`: looks done, from 1. `left` `[]`: users who have not come yet, in the test or after it. `users`, `conversions`
    `[arms]`: counted so far. `distance` `[arms - 1]`: how far the gate is from agreeing (`models.gate.distances`);
    zeros where there is no gate.
    """

    look: Float[Array, ""]
    left: Float[Array, ""]
    users: Float[Array, " arms"]
    conversions: Float[Array, " arms"]
    distance: Float[Array, " treatments"]


def actions_of(arms: int) -> int:
    """Number of actions."""
    return 2 * arms + 1


def observation_size(arms: int, *, gated: bool) -> int:
    """Numbers in an observation."""
    return 4 + 2 * arms + arms + (arms - 1 + actions_of(arms) if gated else 0)


def arms_of_test(spec: Spec) -> int:
    """Number of arms of tests of this spec.

    Raises:
      SpecError: the spaces are not those of A/B tests.
    """
    actions, seen = spec.action_space, spec.observation_space
    arms = (int(actions.n) - 1) // 2 if isinstance(actions, gymnasium.spaces.Discrete) else 0
    sizes = [(observation_size(arms, gated=gated),) for gated in (False, True)]
    if arms < 2 or int(actions.n) % 2 == 0 or seen.shape not in sizes:  # type: ignore[union-attr, arg-type]
        raise SpecError(
            "a rule for A/B tests needs the spaces of ab-test: 2 k + 1 Discrete actions for k arms, and its observations; "
            f"came {actions!r} and {seen!r}."
        )
    return arms


def observed(experiment: Experiment, *, looks: int) -> Float[Array, " numbers"]:
    """The observation of a test, without the numbers of a gate.

    Args:
      experiment: the test.
      looks: that the test has.
    """
    day = 2 * jnp.pi * experiment.look / WEEK
    clock = jnp.stack([experiment.look / looks, experiment.left / LEFT, jnp.sin(day), jnp.cos(day)])
    rate = (experiment.conversions.sum() + 0.5) / (experiment.users.sum() + 1.0)
    z = standardised(experiment)[1:]
    return jnp.concatenate(
        [
            clock,
            experiment.users / USERS,
            experiment.conversions / CONVERSIONS,
            (jnp.log(rate) - jnp.log1p(-rate) + 3.0)[None],
            z / 2,
        ]
    )


def experiment_of(observation: Float[Array, " numbers"], spec: Spec) -> Experiment:
    """The test that an observation shows: the inverse of `observed`, exact in whole numbers."""
    arms = arms_of_test(spec)
    users, conversions, rest = jnp.split(observation[4:], (arms, 2 * arms))
    gated = observation.shape[0] > observation_size(arms, gated=False)
    return Experiment(
        look=jnp.round(observation[0] * spec.horizon),
        left=jnp.round(observation[1] * LEFT),
        users=jnp.round(users * USERS),
        conversions=jnp.round(conversions * CONVERSIONS),
        distance=3 * rest[arms : 2 * arms - 1] if gated else jnp.zeros(arms - 1),
    )


def rates(experiment: Experiment) -> Float[Array, " arms"]:
    """Conversions for each user, by arm; 0 without users."""
    return experiment.conversions / jnp.maximum(experiment.users, 1.0)


def variances(experiment: Experiment) -> Float[Array, " arms"]:
    """Variance of the difference of each arm's rate from the control's, under equal rates (pooled); [0] is not meaningful."""
    conversions, users = experiment.conversions, jnp.maximum(experiment.users, 1.0)
    pooled = (conversions + conversions[0]) / (users + users[0])
    pooled = jnp.clip(pooled, _LEAST_RATE, 1 - _LEAST_RATE)
    return pooled * (1 - pooled) * (1 / users + 1 / users[0])


def standardised(experiment: Experiment) -> Float[Array, " arms"]:
    """z of each arm: its rate minus the control's, in standard errors under equal rates; 0 for the control."""
    rate = rates(experiment)
    return (rate - rate[0]) / jnp.sqrt(variances(experiment))


def shares(action: Array, *, arms: int) -> Float[Array, " arms"]:
    """Part of a look's users that each arm gets after an action that continues."""
    focused = jnp.where(jnp.arange(arms) == action - 1, FOCUS, (1 - FOCUS) / (arms - 1))
    return jnp.where(action == 0, 1 / arms, focused)
