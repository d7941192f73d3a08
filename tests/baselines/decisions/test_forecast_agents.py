"""Experts that weigh forecasters, by hand on made-up observations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import baselines, tasks
from quickstudy.baselines.decisions.bocpd import bocpd_agent
from quickstudy.baselines.decisions.fixed_share import fixed_share_agent
from quickstudy.baselines.decisions.known_changes import known_changes_agent
from quickstudy.baselines.decisions.single_forecaster import best_single_agent, single_forecaster_agent
from quickstudy.baselines.models.forecast_view import decided, forecast_spec
from quickstudy.baselines.models.forecasters import NAMES
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Transition

KEY = jax.random.key(0)
SPEC = forecast_spec(window=4, steps=6)


def seen(values, *, errors=None, sizes=None, change=0.0, said=None):
    """An observation of these values, oldest first; all forecasters say the same unless told."""
    values = np.float32(values)
    newest = values[-1]
    said = np.full(9, newest) if said is None else np.float32(said)
    parts = [[newest], values[:-1][::-1] - newest, said - newest, np.zeros(9) if errors is None else errors]
    parts += [np.ones(9) if sizes is None else sizes, np.zeros(6), [change]]
    return jnp.asarray(np.concatenate(parts), jnp.float32)


def step(observation, successor):
    decision = Decision(action=jnp.zeros(9), extras={})
    return Transition.of_one_step(observation, decision, reward=0.0, successor=successor)


def chosen(agent, memory, observation):
    return decided(agent.act((), memory, observation, KEY).action)[0]


def test_single_forecasters_take_their_own():
    for place, name in enumerate(NAMES):
        weights = chosen(single_forecaster_agent(SPEC, name=name), (), seen([0, 0, 0, 0, 1]))
        np.testing.assert_allclose(weights, np.eye(9)[place], atol=1e-5)


def test_the_best_so_far_counts_what_was_known_at_first_like_ten_values():
    agent = best_single_agent(SPEC)
    memory = agent.begin((), KEY)
    sizes = np.float32([1, 1, 1, 0.5, 0.6, 1, 1, 1, 1])
    first = seen([0, 0, 0, 0, 1], sizes=sizes)
    assert int(chosen(agent, memory, first).argmax()) == 3
    errors = np.float32([0, 0, 0, 1.5, 0.4, 0, 0, 0, 0])
    second = seen([0, 0, 0, 1, 2], errors=errors, sizes=sizes)
    memory = agent.adapt((), memory, step(first, second), KEY)
    # 10 · 0.5 + 1.5 = 6.5 against 10 · 0.6 + 0.4 = 6.4
    np.testing.assert_allclose(memory[3:5], [6.5, 6.4], rtol=1e-5)
    assert int(chosen(agent, memory, second).argmax()) == 4


def test_fixed_share_weighs_by_errors_and_passes_a_share_round():
    agent = fixed_share_agent(SPEC, rate=2.0, share=0.2)
    memory = agent.begin((), KEY)
    np.testing.assert_allclose(chosen(agent, memory, seen([0] * 5)), 1 / 9, atol=1e-5)
    errors = np.float32([1, -1, 0, 0, 0, 0, 0, 0.5, 2])
    memory = agent.adapt((), memory, step(seen([0] * 5), seen([0] * 5, errors=errors)), KEY)
    kept = np.exp(-2 * np.abs(errors))
    expected = 0.8 * kept / kept.sum() + 0.2 / 9
    np.testing.assert_allclose(memory, expected, rtol=1e-5)
    np.testing.assert_allclose(chosen(agent, memory, seen([0] * 5)), expected, atol=1e-5)


def test_who_knows_the_changes_takes_the_mean_of_the_regime():
    agent = known_changes_agent(SPEC, size=2.0)
    memory = agent.begin((), KEY)
    first, second = seen([9, 9, 9, 9, 9], change=1.0), seen([9, 9, 9, 9, 2])
    assert float(agent.act((), memory, first, KEY).extras["forecast"]) == 0.0
    memory = agent.adapt((), memory, step(first, second), KEY)
    assert float(agent.act((), memory, second, KEY).extras["forecast"]) == pytest.approx(2 / 1.25)
    third = seen([9, 9, 9, 2, 4], said=[4, 1, 0, 0, 0, 0, 0, 0, 0])
    memory = agent.adapt((), memory, step(second, third), KEY)
    forecast = 6 / 2.25
    weights = chosen(agent, memory, third)
    assert float(weights @ np.float32([4, 1, 0, 0, 0, 0, 0, 0, 0])) == pytest.approx(forecast, rel=1e-4)


def test_change_points_are_detected_soon_and_noise_is_averaged():
    agent = bocpd_agent(SPEC)
    quiet, moved = [0.5, -0.5, 0.4, -0.4, 0.1], [-0.5, 0.4, -0.4, 0.1, 4.0]
    memory = agent.begin((), KEY)
    forecast = lambda memory, observation: float(agent.act((), memory, observation, KEY).extras["forecast"])  # noqa: E731
    assert abs(forecast(memory, seen(quiet))) < 0.1
    memory = agent.adapt((), memory, step(seen(quiet), seen(moved)), KEY)
    once = forecast(memory, seen(moved))
    assert 2.5 < once < 4.0
    memory = agent.adapt((), memory, step(seen(moved), seen([0.4, -0.4, 0.1, 4.0, 4.2])), KEY)
    assert 3.6 < forecast(memory, seen([0.4, -0.4, 0.1, 4.0, 4.2])) < 4.1


@pytest.mark.parametrize("name", ["naive", "theta", "best-single-expert", "fixed-share", "bocpd", "known-change-points"])
def test_experts_refuse_other_tasks(name):
    with pytest.raises(SpecError, match="spaces of the tasks `forecasting`"):
        baselines.make(name, tasks.make("pendulum").spec)
