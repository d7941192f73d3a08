"""The memory of a run: refused from shapes, or from the compiled program, before anything is allocated or written."""

import jax
import jax.numpy as jnp
import pytest

import quickstudy as qs
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.memory import LIMIT_VARIABLE, in_words
from quickstudy.training import loop, memory

BANDITS = qs.tasks.make("bernoulli-bandit", arms=2, pulls=5)


def small(**settings):
    return qs.algorithms.make("rl2", BANDITS.spec, **({"hidden_size": 8, "lifetimes": 32} | settings))


def refused(algorithm, config, folder, distribution=BANDITS):
    with pytest.raises(UsageError) as error:
        qs.meta_train(algorithm, distribution, config, folder=folder)
    assert not folder.exists()
    return str(error.value)


def test_seeds_that_do_not_fit(tmp_path, monkeypatch):
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    said = refused(small(), qs.TrainingConfig(seeds=2**31 - 1), tmp_path / "run")
    assert said.startswith("training 2,147,483,647 seeds (parameters, optimiser, replay store) needs about")
    assert "Use --seeds " in said


def test_lifetimes_that_do_not_fit(tmp_path, monkeypatch):
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    said = refused(small(lifetimes=2**26), qs.TrainingConfig(), tmp_path / "run")
    assert said.startswith("one update (67,108,864 lifetimes of 5 steps for 1 seed) needs about")
    fewer = int(said.rpartition("--lifetimes ")[2].split()[0])
    assert 1000 < fewer < 2**26


def test_a_network_and_a_store_that_do_not_fit(tmp_path, monkeypatch):
    monkeypatch.setenv(LIMIT_VARIABLE, "1")
    assert "a smaller network" in refused(small(hidden_size=50_000), qs.TrainingConfig(), tmp_path / "run")
    points = qs.tasks.make("point-navigation")
    pearl = qs.algorithms.make("pearl", points.spec, room=10**6)
    assert "a smaller store" in refused(pearl, qs.TrainingConfig(), tmp_path / "run", points)


def test_a_program_that_does_not_fit_is_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "apply_supplied", lambda *given: pytest.fail("the program ran"))
    monkeypatch.setattr(memory, "program_bytes", lambda compiled: 10**18)
    said = refused(small(), qs.TrainingConfig(budget="100 steps"), tmp_path / "run")
    assert f"needs about {in_words(10**18)} of memory" in said


def test_the_memory_of_a_program_is_what_its_arrays_take():
    def sorted_twice(x):
        return jnp.sort(jnp.sort(x) + jnp.flip(x))

    count = 1_000_000
    compiled = jax.jit(sorted_twice).lower(jax.ShapeDtypeStruct((count,), jnp.float32)).compile()
    assert 4 * count <= memory.program_bytes(compiled) <= 20 * count


@pytest.mark.slow
def test_a_tiny_budget_makes_one_update_and_ends():
    run = qs.meta_train(small(), BANDITS, qs.TrainingConfig(budget="0.0001s", held_out_tasks=32))
    assert run.finished
    assert len(run.metrics) == 1
    assert run.steps == 32 * 5
