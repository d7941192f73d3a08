"""A monitor sees every step and gives its p-values to the agent's decisions; it never acts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from laws.toy_distributions import aiming, corridor
from quickstudy import algorithms
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.rollout.envelope.guard import with_envelope
from quickstudy.rollout.envelope.monitor import with_monitor
from quickstudy.rollout.envelope.reasons import REASONS
from quickstudy.rollout.envelope.rules import Envelope, SurpriseRule
from rollout.envelope.test_guard import alarming, line, lived_by_hand, still

UNUSUAL = [1.0, 1.0, 0.3, 0.05, 0.01, 0.4]
"""p-values of the monitor, by the steps that it has seen."""


def test_decisions_are_the_agents_and_p_values_the_monitors():
    agent = alarming(line(), p_values=[0.7], action=1.5)
    monitored = with_monitor(agent, alarming(line(), p_values=UNUSUAL, action=-1.0))
    decisions = lived_by_hand(monitored)
    assert {float(one.action[0]) for one in decisions} == {1.5}
    found = [float(one.extras["p_values"]["step"]) for one in decisions]
    np.testing.assert_allclose(found, UNUSUAL + [UNUSUAL[-1]] * (len(found) - len(UNUSUAL)), rtol=1e-6)


def test_the_fallback_acts_while_the_monitor_alarms():
    monitored = with_monitor(alarming(line(), p_values=[1.0]), alarming(line(), p_values=UNUSUAL))
    rule = SurpriseRule(p_value="step", enter_below=0.1, enter_steps=1, leave_above=0.35, leave_steps=1, monitor="alarming")
    guarded = with_envelope(monitored, Envelope(fallback="still", surprise=rule), fallback=still(line()))
    decisions = lived_by_hand(guarded)
    reasons = [REASONS[int(one.extras["guard"]["reason"])] for one in decisions]
    assert reasons == ["nothing"] * 3 + ["surprise"] * 2 + ["nothing"] * (len(reasons) - 5)
    assert [float(one.action[0]) for one in decisions[:6]] == [1.0, 1.0, 1.0, 0.0, 0.0, 1.0]


def test_a_monitor_that_does_not_fit_is_refused():
    agent = alarming(line(), p_values=[1.0])
    with pytest.raises(
        UsageError, match=r"surprise\.monitor in the envelope must name a baseline whose decisions hold p-values"
    ):
        with_monitor(agent, still(line()))
    with pytest.raises(SpecError, match="the agent was made for other tasks"):
        with_monitor(agent, random_agent(corridor().spec))
    slow = algorithms.make("maml", aiming().spec, hidden_sizes=(8,), rollouts=1).agent
    with pytest.raises(UsageError, match="Name a baseline that adapts at every step"):
        with_monitor(random_agent(aiming().spec), slow)
    with pytest.raises(UsageError, match=r"names the readout 'a' and the monitor 'b'\. Leave one of them out"):
        SurpriseRule(readout="a", monitor="b")


def test_the_order_of_steps_counts_if_it_does_for_the_monitor():
    agent = dataclasses.replace(alarming(line(), p_values=[1.0]), exchangeable=True)
    monitor = alarming(line(), p_values=UNUSUAL)
    assert not with_monitor(agent, monitor).exchangeable
    assert with_monitor(agent, dataclasses.replace(monitor, exchangeable=True)).exchangeable
    assert jax.tree.leaves(with_monitor(agent, monitor).init(jax.random.key(0))) == []
    assert jnp.int32(0) == with_monitor(agent, monitor).begin((), jax.random.key(0)).monitor
