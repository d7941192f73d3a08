"""Lifetimes on one device and on four: the same numbers, up to rounding."""

import os
import subprocess
import sys

import numpy as np
import pytest

from training.two_processes import with_devices

# With one minibatch every gradient is over the same lifetimes, on however many devices they are.
CHILD = """
import jax, numpy as np
from quickstudy import algorithms, tasks
from quickstudy.training.device_mesh import device_mesh
from quickstudy.training.loop import TrainingConfig, meta_train
distribution = tasks.make("bernoulli-bandit", arms=2, pulls=5)
algorithm = algorithms.make("rl2", distribution.spec, hidden_size=8, lifetimes=32, minibatches=1)
config, devices = TrainingConfig(budget="480 steps", evaluation_seconds=0.0, held_out_tasks=16), jax.local_devices()
for count in (4, 1):
    jax.local_devices = lambda process=0, count=count: devices[:count]
    assert device_mesh(algorithm).size == count
    run = meta_train(algorithm, distribution, config)
    losses = [line["loss"] for line in run.metrics]
    returns = [line["held_out_return"] for line in run.metrics]
    np.savez(f"{count}.npz", *jax.tree.leaves(run.params), losses=losses, returns=returns)
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_four_devices_learn_what_one_learns(tmp_path):
    subprocess.run([sys.executable, "-c", CHILD], cwd=tmp_path, env=with_devices(4), check=True)
    one, four = np.load(tmp_path / "1.npz"), np.load(tmp_path / "4.npz")
    assert sorted(os.listdir(tmp_path)) == ["1.npz", "4.npz"]
    assert set(one) == set(four)
    for name in one:
        np.testing.assert_allclose(one[name], four[name], rtol=1e-4, atol=1e-5)
    assert not np.array_equal(one["losses"][0], one["losses"][-1])
