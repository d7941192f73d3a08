"""Bundles for tests of what can be exported: shipped ones, and small agents with random weights."""

from pathlib import Path

import jax
import numpy as np

from quickstudy import algorithms
from quickstudy.export import parity
from quickstudy.export.export import export_bundle
from quickstudy.protocol.records import Spec
from quickstudy.storage.bundle import Bundle, load_bundle

BUNDLES = Path(__file__).parents[2] / "bundles"
QUICK = "quick-n10-k5"


def exported(name, to, folder, **settings):
    """A shipped bundle, exported."""
    return export_bundle(load_bundle(BUNDLES / name), to=to, folder=folder, name=name, **settings)


def opened(result):
    """The module of an agent that was exported to NumPy, and the agent."""
    module = parity._module(result.folder / "agent.py")
    return module, module.Agent(result.folder, module.programs)


def _lively(leaf):
    """Weights of the size of a trained agent's. Before training those of a policy are so small that hardly any fault shows."""
    leaf = np.asarray(leaf)
    size = float(np.sqrt(np.square(leaf).mean())) if leaf.ndim == 2 else 0.0
    return leaf / np.float32(size * leaf.shape[0] ** 0.5) if size else leaf


def untrained(observation_space, action_space, *, name="rl2", change=None, **settings):
    """A bundle of one agent with random weights, as far as an export reads it.

    Args:
      observation_space, action_space: of the agent.
      name: of the algorithm.
      change: a function on its parameters, such as one that fills in statistics of training.
      settings: of the algorithm.
    """
    spec = Spec(observation_space=observation_space, action_space=action_space, horizon=5, episodes=4)
    make = lambda spec: algorithms.make(name, spec, **settings).agent  # noqa: E731
    params = jax.tree.map(_lively, make(spec).init(jax.random.key(0)))
    if change is not None:
        params = change(params)
    stacked = jax.tree.map(lambda leaf: np.asarray(leaf)[None], params)
    card = {"algorithm": {"name": name}, "parameters_sha256": "untrained"}
    return Bundle(agent=make(spec), params=stacked, card=card, make=make)
