"""What clients see of decisions: actions of every kind of space, as plain values."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from laws.toy_distributions import aiming, console, corridor, switches
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.agent import slot_key
from quickstudy.protocol.records import blank_observation
from quickstudy.serving.http.bodies import encoded
from quickstudy.serving.refusal import Refusal
from quickstudy.serving.requests import SessionName
from quickstudy.serving.served_agent import ServedAgent
from quickstudy.serving.sessions import Sessions

FIRST = {"corridor": [0.5, 0.5], "aiming": [0.0, 0.0], "switches": 0, "console": 0}


@pytest.mark.parametrize("make", [corridor, aiming, switches, console], ids=lambda make: make.__name__)
def test_an_action_is_that_of_the_agent_as_plain_values(make):
    """Whole numbers, arrays of whole numbers and fractions, and a Dict of a Tuple and other parts."""
    spec = make().spec
    agent = random_agent(spec)
    sessions = Sessions(ServedAgent(agent, ()))
    sessions.open("a")
    decision = sessions.act("a", FIRST[make.__name__])
    key = sessions.served.key(sessions.shelf.get(SessionName("", "a")).record)
    seen = jnp.zeros(blank_observation(spec).shape, blank_observation(spec).dtype)
    made = jax.jit(agent.act)((), (), seen, slot_key(jax.random.wrap_key_data(key), 0)[1])
    assert decision["action"] == jax.tree.map(lambda leaf: np.asarray(leaf).tolist(), made.action)
    assert decision["propensity"] == pytest.approx(float(np.exp(made.extras["log_probability"])), rel=1e-5)
    assert json.loads(encoded(decision))["action"] == json.loads(json.dumps(decision["action"]))
    assert sessions.reward("a", decision["decision_id"], 1.0, terminated=True)["applied"]


def test_observations_of_another_space_are_refused():
    sessions = Sessions(ServedAgent(random_agent(console().spec), ()))
    sessions.open("a")
    with pytest.raises(Refusal, match="a whole number from 0 to 1"):
        sessions.act("a", 2)
