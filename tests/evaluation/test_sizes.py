"""The memory of measurements, before they begin."""

import jax
import numpy as np
import pytest

from quickstudy import algorithms, tasks
from quickstudy.evaluation.belief_probe.fit import ReadoutConfig, fit_readout
from quickstudy.evaluation.contenders import baselines_of
from quickstudy.evaluation.evaluate import draw_tasks, evaluate
from quickstudy.evaluation.sizes import check_tasks
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.memory import LIMIT_VARIABLE
from quickstudy.rollout.runner import Runner

BANDITS = tasks.make("bernoulli-bandit", arms=2, pulls=5)


def test_the_number_of_tasks_that_fit_is_named_and_fits(monkeypatch):
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    with pytest.raises(UsageError, match="measuring on 2,000,000,000 tasks needs about") as refused:
        evaluate(baselines_of(BANDITS, ["random"]), BANDITS, split="test", tasks=2_000_000_000)
    fit = int(str(refused.value).rpartition("--tasks ")[2].rstrip("."))
    check_tasks(BANDITS, fit, seeds=[1], steps=5)
    with pytest.raises(UsageError, match="needs about"):
        check_tasks(BANDITS, fit + fit // 100, seeds=[1], steps=5)


@pytest.mark.parametrize(("tasks", "seed"), [(0, 0), (2**31, 0), (5, -1), (5, 2**32)])
def test_numbers_out_of_range_are_refused(tasks, seed):
    with pytest.raises(UsageError, match=r"must (be|lie between) .*; came"):
        draw_tasks(BANDITS, split="test", tasks=tasks, seed=seed)


def test_a_lifetime_that_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setenv(LIMIT_VARIABLE, "0.01")
    long = tasks.make("bernoulli-bandit", arms=2, pulls=1_000_000)
    (one,) = baselines_of(long, ["random"]).values()
    with Runner(long) as runner, pytest.raises(UsageError, match="one lifetime of 1,000,000 steps needs about 64 MB"):
        runner.run(one.agent, one.params_of(0), *draw_tasks(long, split="test", tasks=1, seed=0))


def test_a_readout_that_does_not_fit_is_refused(monkeypatch):
    monkeypatch.setenv(LIMIT_VARIABLE, "0.01")
    drifting = tasks.make("drifting-control")
    agent = algorithms.make("rl2", drifting.spec, hidden_size=8).agent
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), jax.eval_shape(agent.init, jax.random.key(0)))
    with pytest.raises(UsageError, match=r"a readout of 2,048 lifetimes of 100 steps needs about"):
        fit_readout(agent, params, drifting, ReadoutConfig(tasks=2048))
