"""What is deployed is what is measured: an envelope from a file around the agent of a bundle."""

import dataclasses
import functools
import json

import jax
import numpy as np
import pytest

from laws.cases import small
from quickstudy import algorithms
from quickstudy.evaluation.belief_probe.fit import ReadoutConfig, fit_readout
from quickstudy.evaluation.belief_probe.storage import save_readout
from quickstudy.evaluation.contenders import Contender, baselines_of
from quickstudy.evaluation.evaluate import returns_on
from quickstudy.evaluation.guarded import guarded_agent, guarded_contender
from quickstudy.protocol.errors import BundleError, UnknownNameError, UsageError
from quickstudy.rollout.envelope.rules import Envelope, SurpriseRule
from quickstudy.storage.envelope_file import load_envelope, plain_envelope

BUOY = functools.partial(small, "drifting-control")
SURPRISED = Envelope(
    fallback="certainty equivalence",
    surprise=SurpriseRule(readout="readout.safetensors", enter_below=0.5, enter_steps=1, leave_above=0.9, seed_of_training=1),
)


@functools.cache
def trained():
    """An agent of two seeds, and a readout of the second."""
    distribution = BUOY()
    agent = algorithms.make("rl2", distribution.spec, hidden_size=8).agent
    params = jax.vmap(agent.init)(jax.random.split(jax.random.key(0)))
    config = ReadoutConfig(tasks=40, updates=1, batch=8, hidden_sizes=(4,))
    readout = fit_readout(agent, jax.tree.map(lambda leaf: leaf[1], params), distribution, config)
    return distribution, Contender(agent=agent, params=params, trained=True), readout


def stored(folder, envelope):
    save_readout(folder / "readout.safetensors", trained()[2])
    (folder / "envelope.json").write_text(json.dumps(plain_envelope(envelope)))
    return load_envelope(folder / "envelope.json")


def test_a_contender_is_measured_with_its_readout_and_its_fallback(tmp_path):
    distribution, one, _ = trained()
    guarded = guarded_contender(one, stored(tmp_path, SURPRISED), distribution)
    assert guarded.seeds == 1
    assert guarded.trained
    for kept, whole in zip(jax.tree.leaves(guarded.params), jax.tree.leaves(one.params), strict=True):
        np.testing.assert_array_equal(kept[0], whole[1])
    tasks = distribution.sample_tasks("test", jax.random.key(0), tasks=3)
    keys = jax.random.split(jax.random.key(1), 3)
    assert np.isfinite(returns_on(guarded, distribution, tasks, keys)).all()


def test_a_guard_that_is_switched_to_its_fallback_returns_what_the_baseline_returns(tmp_path):
    distribution, one, _ = trained()
    off = Envelope(mode="fallback", fallback="certainty equivalence")
    guarded = guarded_contender(one, stored(tmp_path, off), distribution)
    assert guarded.seeds == 2
    tasks = distribution.sample_tasks("test", jax.random.key(0), tasks=3)
    keys = jax.random.split(jax.random.key(1), 3)
    baseline = baselines_of(distribution, ["certainty equivalence"])["certainty equivalence"]
    found, meant = (returns_on(each, distribution, tasks, keys) for each in (guarded, baseline))
    np.testing.assert_allclose(found[0], meant[0], rtol=1e-5)


def test_names_and_readouts_that_do_not_fit_are_refused(tmp_path):
    distribution, one, _ = trained()
    with pytest.raises(UnknownNameError, match="unknown baseline of drifting-control, 'certainty'"):
        guarded_agent(one.agent, stored(tmp_path, Envelope(fallback="certainty")), distribution)
    late = dataclasses.replace(SURPRISED, surprise=dataclasses.replace(SURPRISED.surprise, seed_of_training=2))
    with pytest.raises(
        UsageError, match="seed_of_training in the envelope must be below the number of training seeds, 2; came 2"
    ):
        guarded_contender(one, stored(tmp_path, late), distribution)
    other = algorithms.make("rl2", distribution.spec, hidden_size=4).agent
    with pytest.raises(BundleError, match="was fitted to another agent: it reads"):
        guarded_agent(other, stored(tmp_path, SURPRISED), distribution)
