"""Exported agents whiten observations by what training has seen, in the way of the agents in JAX."""

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import quickstudy as qs
from export.agents import untrained
from export.c_function import needs_gcc
from marks import slow_but
from quickstudy.export import parity
from quickstudy.export.export import LARGEST_DEVIATION, export_bundle
from quickstudy.networks.normalisation import see

MOST = float(np.finfo(np.float32).max)
SPACE = gymnasium.spaces.Box(np.float32([-1e4, -np.inf, -MOST]), np.float32([1e4, np.inf, MOST]))
"""A cue of -1 or +1 under wide bounds, numbers close to 5,000 without bounds, and small ones under the largest bounds."""
ALGORITHMS = {
    "rl2": {"hidden_size": 4, "cell": "gru"},
    "varibad": {"hidden_size": 8},
    "hybrid": {"hidden_size": 8},
    "pearl": {"hidden_sizes": (8,)},
    "energy": {"hidden_size": 8, "ridges": 4, "particles": 4, "step_sizes": (8,), "moments": 2},
}


def after_training(params):
    """The parameters with statistics of five batches, in which something huge stands now and then."""
    generator, statistics = np.random.default_rng(0), params.statistics
    for _ in range(5):
        cue = generator.choice([-1.0, 1.0], (10, 64))
        seen = np.stack([cue, 5000 + 2 * generator.standard_normal((10, 64)), 0.01 * generator.standard_normal((10, 64))], -1)
        seen = np.where(generator.random(seen.shape) < 0.002, 1e20, seen)
        reward, valid = jnp.asarray(3 + cue, jnp.float32), jnp.ones((10, 64), bool)
        change = None if statistics.change is None else jnp.float32(2.0)
        fresh = statistics.of_batch(reward, reward, jnp.asarray(seen, jnp.float32), valid, change=change)
        statistics = statistics.after(fresh)
    return dataclasses.replace(params, statistics=statistics)


def agent_of(name, *, change=after_training, actions=2, **settings):
    return untrained(SPACE, gymnasium.spaces.Discrete(actions), name=name, change=change, **ALGORITHMS[name], **settings)


@pytest.mark.parametrize("name", slow_but(["rl2"], ALGORITHMS))
@pytest.mark.parametrize("to", ["numpy", pytest.param("c", marks=[needs_gcc, pytest.mark.slow])])
def test_an_agent_that_whitens_repeats_itself(name, to, tmp_path):
    bundle = agent_of(name)
    result = export_bundle(bundle, to=to, folder=tmp_path, name="small", check=500)
    assert result.parity.of_policy <= LARGEST_DEVIATION
    with np.load(tmp_path / "vectors.npz") as file:
        seen = file["observation"]
    # What is compared are observations of the sizes of training: agents read numbers of mean 0 and deviation 1.
    usual = seen[np.isfinite(seen).all(-1)]
    read = np.asarray(see(bundle.params_of(0).statistics, jnp.asarray(usual), bundle.agent.spec))
    np.testing.assert_allclose(read.mean(0), 0, atol=0.1)
    np.testing.assert_allclose(read.std(0), 1, atol=0.1)


@pytest.mark.slow
def test_whitening_is_in_the_exported_program(tmp_path):
    with_it, without = agent_of("rl2"), agent_of("rl2", change=None)
    logits = []
    for number, bundle in enumerate((with_it, without)):
        folder = tmp_path / str(number)
        export_bundle(bundle, to="numpy", folder=folder, name="small", check=0)
        module = parity._module(folder / "agent.py")
        agent = module.Agent(folder, module.programs)
        rows = ([1.0, 4999.0, -0.01], [1.0, 5001.0, 0.01])
        logits.append([agent.step(agent.begin(), None, row)[1]["policy.logits"] for row in rows])
    apart = [np.abs(low - high).max() for low, high in logits]
    assert apart[0] > 0.1 > 100 * apart[1]


ODD = [
    [1, 5000, 0],
    [-1, 1e20, 0.01],
    [1e4, -MOST, MOST],
    [np.nan, 5003, -MOST],
    [0, np.inf, 0],
    [-1e4, 0, 1e-30],
    [1, 4990, 0.5],
]


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["seen", "bounds"])
def test_what_is_far_out_of_scale_is_read_alike(scale, tmp_path):
    bundle = agent_of("rl2", observation_scale=scale)
    export_bundle(bundle, to="numpy", folder=tmp_path, name="small", check=0)
    module = parity._module(tmp_path / "agent.py")
    agent, state, feedback = module.Agent(tmp_path, module.programs), None, None
    actors = [qs.Actor(bundle.agent, bundle.params_of(0), backend=backend) for backend in ("jax", "numpy")]
    state = agent.begin()
    for turn, row in enumerate([*ODD, *reversed(ODD)]):
        action = actors[0].act(row)
        assert actors[1].act(row) == action
        state, decision = agent.step(state, feedback, row)
        for actor in actors:
            expected = np.asarray(actor.decision.extras["policy"].logits)
            np.testing.assert_allclose(decision["policy.logits"], expected, atol=1e-5)
            actor.observe(reward=float(turn), observation=row)
        feedback = module.Feedback(action, float(turn), row)
    assert jax.tree.all(jax.tree.map(lambda one: bool(np.isfinite(one).all()), actors[0].memory))
