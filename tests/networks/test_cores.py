"""The law of cores: `run` means `read`, then `take_in`, for one step or for a chunk, of one lifetime or of many."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from marks import slow_but
from networks.core_inputs import CONTINUOUS, SIZE, SPEC, STEPS, random_inputs
from quickstudy.networks.associative import AssociativeConfig
from quickstudy.networks.attention import AttentionConfig
from quickstudy.networks.memory_network import MemoryNetworkConfig, core_for
from quickstudy.networks.reward_change import RewardChangeCore

CELLS = {
    "gru": {},
    "lstm": {},
    "linear": {},
    "linear, a layer before it": {"input_layer": 6},
    "associative": {"associative": AssociativeConfig(beside=0)},
    "associative, two heads, stored numbers, a recurrence": {
        "associative": AssociativeConfig(heads=2, addresses=5, stored=3, beside=4)
    },
    "associative, forgets": {"associative": AssociativeConfig(rule="forget", heads=2, addresses=5, beside=0)},
    "associative, replaces": {"associative": AssociativeConfig(rule="replace", beside=0)},
    "attention": {},
    "attention within a window": {"attention": AttentionConfig(window=3)},
    "attention within a window of one": {"attention": AttentionConfig(window=1)},
}
QUICK = ("gru", "associative")
"""A recurrence, and sums of what was stored."""


def core_of(name, *, spec=SPEC, rewards=1):
    config = MemoryNetworkConfig(cell=name.split()[0].rstrip(","), hidden_size=8, **CELLS[name])
    return core_for(spec, config, seen=SIZE, rewards=rewards, key=jax.random.key(0))


CASES = [(name, False, SPEC) for name in CELLS]
QUICK_CASES = [(name, False, SPEC) for name in QUICK]
CASES += [("gru", True, SPEC), ("associative", False, CONTINUOUS), ("associative", True, CONTINUOUS)]


@pytest.mark.parametrize(
    ("name", "changes", "spec"),
    [pytest.param(*case, id=f"{case[0]} {case[1]}", marks=[] if case in QUICK_CASES else pytest.mark.slow) for case in CASES],
)
def test_a_whole_run_reads_what_single_steps_read(name, changes, spec):
    core = core_of(name, spec=spec, rewards=1 + changes)
    core = RewardChangeCore(core=core) if changes else core
    inputs = random_inputs(STEPS, 3, rewards=1 + changes)
    keys = jax.random.split(jax.random.key(3))
    valid, seen = jax.random.bernoulli(keys[0], 0.7, (STEPS, 3)), jax.random.normal(keys[1], (STEPS, 3, SIZE))
    run, take_in, read = (eqx.filter_jit(function) for function in (core.run, core.take_in, core.read))
    last, features = run(core.initial(spec, 3), inputs, seen, valid)
    assert features.shape == (STEPS, 3, core.size(spec))
    part = lambda begin, end: (jax.tree.map(lambda leaf: leaf[begin:end], inputs), valid[begin:end])  # noqa: E731
    state = core.initial(spec, 3)
    for t in range(STEPS):
        np.testing.assert_allclose(read(state, seen[t]), features[t], atol=1e-4)
        state = take_in(state, *part(t, t + 1))
    chunk = take_in(take_in(core.initial(spec, 3), *part(0, 2)), *part(2, STEPS))
    middle = take_in(core.initial(spec, 3), *part(0, 2))
    later, features_later = run(middle, part(2, STEPS)[0], seen[2:], valid[2:])
    np.testing.assert_allclose(features_later, features[2:], atol=1e-4)
    one = jax.tree.map(lambda leaf: leaf[:, 1], inputs)
    alone = run(core.initial(spec), one, seen[:, 1], valid[:, 1])
    np.testing.assert_allclose(alone[1], features[:, 1], atol=1e-4)
    for other in (state, chunk, later):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), other, last)


@pytest.mark.parametrize("name", slow_but([*QUICK, "attention"], CELLS))
def test_what_a_core_promises_about_order_is_true(name):
    core, inputs = core_of(name), random_inputs(STEPS)
    backwards = jax.tree.map(lambda leaf: leaf[::-1], inputs)
    take_in = eqx.filter_jit(core.take_in)
    states = [take_in(core.initial(SPEC), steps, jnp.ones(STEPS, bool)) for steps in (inputs, backwards)]
    same = jax.tree.map(lambda a, b: bool(np.allclose(a, b, atol=1e-5)), *states)
    assert all(jax.tree.leaves(same)) == core.exchangeable


@pytest.mark.parametrize("name", slow_but(QUICK, CELLS))
def test_gradients_through_a_run_are_finite(name):
    core, inputs = core_of(name), random_inputs(STEPS)
    run = lambda core: core.run(core.initial(SPEC), inputs, inputs.observation, jnp.arange(STEPS) != 3)[1].sum()  # noqa: E731
    slopes = jax.tree.leaves(eqx.filter_jit(eqx.filter_grad(run))(core))
    assert all(np.isfinite(slope).all() for slope in slopes)
    assert any(np.abs(slope).max() > 0 for slope in slopes if slope.size)
