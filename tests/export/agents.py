"""Small agents that are not trained, as bundles, for tests of what can be exported."""

import jax
import numpy as np

from quickstudy import algorithms
from quickstudy.protocol.records import Spec
from quickstudy.storage.bundle import Bundle


def untrained(observation_space, action_space, *, name="rl2", change=None, **settings):
    """A bundle of one agent that has not been trained, as far as an export reads it.

    Args:
      observation_space, action_space: of the agent.
      name: of the algorithm.
      change: a function on its parameters, such as one that fills in statistics of training.
      settings: of the algorithm.
    """
    spec = Spec(observation_space=observation_space, action_space=action_space, horizon=5, episodes=4)
    make = lambda spec: algorithms.make(name, spec, **settings).agent  # noqa: E731
    params = make(spec).init(jax.random.key(0))
    if change is not None:
        params = change(params)
    stacked = jax.tree.map(lambda leaf: np.asarray(leaf)[None], params)
    card = {"algorithm": {"name": name}, "parameters_sha256": "untrained"}
    return Bundle(agent=make(spec), params=stacked, card=card, make=make)
