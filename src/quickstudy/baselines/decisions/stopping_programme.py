"""The dynamic programme of a test of two arms: when to stop, with equal parts of the users, at the least expected loss.

For one base rate, the state is the look and the mean u of the slab (`baselines.models.lift_belief`). From the last look
backwards,

    ship(t, u)      = users left · E[loss of the better-looking arm]
    continue(t, u)  = users of a look · E|δ| / 2 + E[V(t + 1, u')]                    V = min(ship, continue)

on a grid of u and of the information of a look. So it is the Bayes optimum of stopping, up to the grid and to the normal
distribution of counts. It does not use the actions that change the allocation.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from scipy.special import ndtr, ndtri

from quickstudy.baselines.decisions.stopping import rule_agent, scores_of
from quickstudy.baselines.models.ab_test import Experiment, arms_of_test
from quickstudy.baselines.models.lift_belief import lift_belief, ranked
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec

_WIDEST, _STATES, _QUANTILES, _INFORMATION = 4.5, 181, 60, np.geomspace(1e-4, 4.0, 16)


def stopping_programme_agent(
    spec: Spec,
    *,
    lift_deviation: float = 0.15,
    null_share: float = 0.0,
    users_per_look: int = 500,
    horizon_users: int = 200_000,
) -> Agent:
    """The agent that stops where the dynamic programme does.

    Args:
      spec: of the tasks, with two arms.
      lift_deviation: of the prior, in log-odds.
      null_share: of the prior.
      users_per_look: of each arm.
      horizon_users: in all.
    Raises:
      SpecError: tasks that are not A/B tests of two arms.
    """
    arms = arms_of_test(spec)
    if arms != 2:
        raise SpecError(f"the dynamic programme of stopping is for 2 arms; came {arms}. Use expected-loss for more.")
    table = jnp.asarray(stopping_advantages(spec.horizon, null_share, users_per_look, horizon_users), jnp.float32)
    lowest, step = float(np.log(_INFORMATION[0])), float(np.diff(np.log(_INFORMATION))[0])

    def rule(experiment: Experiment, key: PRNGKeyArray) -> Array:
        del key
        belief = lift_belief(experiment, lift_deviation=lift_deviation, null_share=null_share)
        information = (1 / jnp.square(belief.deviation[0]) - 1) / experiment.look
        row, part = _place((jnp.log(jnp.maximum(information, 1e-9)) - lowest) / step, table.shape[0])
        column, along = _place((belief.mean[0] + _WIDEST) / (2 * _WIDEST) * (_STATES - 1), _STATES)
        near = table[row + jnp.arange(2), experiment.look.astype(jnp.int32) - 1]
        at = jnp.take(near, column, axis=1) * (1 - along) + jnp.take(near, column + 1, axis=1) * along
        best, _ = ranked(belief)
        return scores_of(at[0] * (1 - part) + at[1] * part >= 0, best, arms=arms)

    return rule_agent(spec, rule)


@functools.cache
def stopping_advantages(
    looks: int, null_share: float, users_per_look: int, horizon_users: int
) -> Float[np.ndarray, "informations looks states"]:
    """What stopping saves against going on, in users times τ; 0 or more where the programme stops.

    Args:
      looks: of the test.
      null_share: of the prior.
      users_per_look: of each of the two arms.
      horizon_users: in all.
    """
    return np.stack([_advantages(rho, looks, null_share, users_per_look, horizon_users)[0] for rho in _INFORMATION])


def bayes_loss(information: float, *, looks: int, null_share: float, users_per_look: int, horizon_users: int) -> float:
    """The expected loss of the optimum from the start, in users times τ, where a look has this information.

    Args:
      information: of one look, in units of 1 / τ².
      looks, null_share, users_per_look, horizon_users: as of `stopping_advantages`.
    """
    return float(_advantages(information, looks, null_share, users_per_look, horizon_users)[1])


def _advantages(
    rho: float, looks: int, null_share: float, users_per_look: int, horizon_users: int
) -> tuple[Float[np.ndarray, "looks states"], float]:
    states = np.linspace(-_WIDEST, _WIDEST, _STATES)
    # The value has a corner, which Gauss-Hermite nodes would overweight; so quantiles of even probability.
    nodes = ndtri((np.arange(_QUANTILES) + 0.5) / _QUANTILES)
    value, advantages = np.zeros(_STATES), np.zeros((looks, _STATES))
    for look in range(looks, -1, -1):
        deviation = 1 / np.sqrt(1 + rho * look)
        following = 1 / np.sqrt(1 + rho * (look + 1))
        null = _null(states, deviation, null_share)
        apart = np.abs(states) / deviation
        loss = deviation * np.exp(-(apart**2) / 2) / np.sqrt(2 * np.pi) - np.abs(states) * ndtr(-apart)
        ship = (horizon_users - 2 * users_per_look * look) * (1 - null) * loss
        # Of the slab, u is a martingale. Under null, the estimate of δ keeps its sum, and noise is added.
        moves = np.sqrt(max(deviation**2 - following**2, 0.0))
        shrunk, noise = states * following**2 / deviation**2, following**2 * np.sqrt(rho)
        slab = np.interp(states[:, None] + moves * nodes, states, value).mean(1)
        nulls = np.interp(shrunk[:, None] + noise * nodes, states, value).mean(1)
        going = users_per_look * (1 - null) * (2 * loss + np.abs(states)) + (1 - null) * slab + null * nulls
        if look == looks:
            going = np.full(_STATES, np.inf)
        value = np.minimum(ship, going)
        if look:
            advantages[look - 1] = np.minimum(going - ship, horizon_users)
    return advantages, float(np.interp(0.0, states, value))


def _null(states: np.ndarray, deviation: float, null_share: float) -> np.ndarray:
    likelihood = np.exp(-((states / deviation) ** 2) / 2) / deviation
    return null_share * likelihood / (null_share * likelihood + (1 - null_share) + 1e-30)


def _place(position: Array, count: int) -> tuple[Array, Array]:
    """The grid point below a position and the part of the way to the next."""
    position = jnp.clip(position, 0.0, count - 1.001)
    below = jnp.floor(position).astype(jnp.int32)
    return below, position - below.astype(jnp.float32)
