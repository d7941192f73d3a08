"""Riccati's recursion against its equation, against least squares over whole plans, and against play."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import solve_discrete_are

from quickstudy.numerics.linear_quadratic import expected_cost, riccati, stationary_control
from quickstudy.protocol.errors import UsageError

KEEPS = np.array([[0.9, 0.2], [-0.1, 0.8]])
PUSHES = np.array([[0.1], [0.7]])
EFFORT = 0.3


def test_stationary_feedback_solves_the_algebraic_equation():
    # Charged for where a step ends, the cost is that of textbooks with the first place's |x|² taken off: the same gain.
    p = solve_discrete_are(KEEPS, PUSHES, np.eye(2), EFFORT * np.eye(1))
    gain = np.linalg.solve(EFFORT * np.eye(1) + PUSHES.T @ p @ PUSHES, PUSHES.T @ p @ KEEPS)
    np.testing.assert_allclose(stationary_control(KEEPS, PUSHES, effort=EFFORT)[0], gain, atol=1e-10)


def test_stationary_feedforward_is_the_best_in_the_long_run():
    drift = np.array([0.3, -0.5])
    feedback, feedforward = stationary_control(KEEPS, PUSHES, effort=EFFORT)

    def cost(gain, offset):
        # At rest: x = A x - B (K x + offset) + w.
        place = np.linalg.solve(np.eye(2) - KEEPS + PUSHES @ gain, drift - PUSHES @ offset)
        push = -gain @ place - offset
        return place @ place + EFFORT * push @ push

    best = cost(feedback, feedforward @ drift)
    for by in (0.02, -0.02):
        assert cost(feedback, feedforward @ drift + by) > best
    assert cost(feedback, np.zeros(1)) > 1.1 * best


def test_the_expected_cost_is_that_of_the_best_plan():
    """Without noise, from 0, the best of all plans is least squares over the pushes of all steps."""
    drifts = np.random.default_rng(0).standard_normal((5, 2))
    effect, blown = np.zeros((10, 5)), np.zeros(10)
    for step in range(5):
        for earlier in range(step + 1):
            power = np.linalg.matrix_power(KEEPS, step - earlier)
            effect[2 * step : 2 * step + 2, earlier] = (power @ PUSHES)[:, 0]
            blown[2 * step : 2 * step + 2] += power @ drifts[earlier]
    stacked = np.concatenate([effect, np.sqrt(EFFORT) * np.eye(5)])
    wanted = -np.concatenate([blown, np.zeros(5)])
    least = np.linalg.lstsq(stacked, wanted, rcond=None)[1][0]
    cost = expected_cost(KEEPS, PUSHES, jnp.float32(drifts), effort=EFFORT, start=0.0, noise=jnp.float32(0.0))
    assert float(cost) == pytest.approx(least, rel=1e-4)


def test_noise_and_the_start_cost_what_play_says():
    steps, lifetimes = 6, 40_000
    cost = expected_cost(KEEPS, PUSHES, jnp.zeros((steps, 2)), effort=EFFORT, start=0.7, noise=jnp.float32(0.4))
    gains = riccati(KEEPS, PUSHES, effort=EFFORT, steps=steps).gain[::-1]
    generator = np.random.default_rng(1)
    place, paid = 0.7 * generator.standard_normal((lifetimes, 2)), np.zeros(lifetimes)
    for gain in gains:
        push = -place @ gain.T
        place = place @ KEEPS.T + push @ PUSHES.T + 0.4 * generator.standard_normal((lifetimes, 2))
        paid += (place**2).sum(1) + EFFORT * (push**2).sum(1)
    assert float(cost) == pytest.approx(paid.mean(), abs=4 * paid.std() / lifetimes**0.5)


def test_what_no_control_holds_is_refused():
    with pytest.raises(UsageError, match="no control holds"):
        stationary_control(2 * np.eye(2), PUSHES * 0, effort=1.0)
