"""The two drivers agree: a distribution written in JAX, stepped from outside, gives the lifetimes of the compiled driver."""

import dataclasses

import jax
import numpy as np
import pytest

from laws.by_hand import assert_close, valid_part
from laws.cases import MAKERS
from laws.subject import LIFETIMES, subject_of
from quickstudy.evaluation.adaptation_speed.shuffled_rewards import with_shuffled_rewards
from quickstudy.rollout import compiled
from quickstudy.rollout.collecting.collector import Collector
from rollout.collecting.from_jax import as_host

# Cadence one and more, within an episode, as long as one and as two; episodes that end early; Discrete and Box; luck of the
# agent; a gradient inside; memory within memory.
LOOKED_AT = {
    "tally_agent every 1 on corridor": (1, 4, 9),
    "trace_agent every 2 on corridor": (1, 4, 9),
    "tally_agent every 4 on corridor": (4,),
    "trace_agent every 1 on corridor": (4,),
    "trace_agent every 8 on corridor": (4,),
    "tally_agent every 4 with a non-finite guard on corridor": (4,),
    "trace_agent every 2 with sensor faults on corridor": (4,),
    "Thompson sampling on bernoulli-bandit": (4,),
    "rl2 gru 8 on corridor": (1, 4),
    "rl2 lstm 8 on aiming": (4,),
    "maml (8,) 1 on corridor": (4,),
}
PAIRS = [(name, parallel_environments) for name, many in LOOKED_AT.items() for parallel_environments in many]
QUICK = (
    "tally_agent every 1 on corridor",
    "trace_agent every 2 on corridor",
    "rl2 gru 8 on corridor",
)


def each(name, parallel_environments):
    marks = [pytest.mark.xdist_group(name)]
    if name not in QUICK or parallel_environments != 4:
        marks.append(pytest.mark.slow)
    return pytest.param(name, parallel_environments, marks=marks)


EACH = [each(*pair) for pair in PAIRS]


def apart(tasks):
    """A stack of tasks as a list."""
    tasks = jax.tree.map(np.asarray, tasks)
    return [jax.tree.map(lambda leaf, row=row: leaf[row], tasks) for row in range(len(jax.tree.leaves(tasks)[0]))]


def lived_outside(subject, *, parallel_environments, **options):
    collector = Collector(as_host(subject.distribution), parallel_environments=parallel_environments)
    keys = np.asarray(jax.random.key_data(subject.keys))
    try:
        return collector.run(subject.agent, subject.params, apart(subject.tasks), keys, **options)
    finally:
        collector.close()


@pytest.mark.parametrize(("name", "parallel_environments"), EACH)
def test_lifetimes_are_those_of_the_compiled_driver(name, parallel_environments):
    assert name in MAKERS
    subject = subject_of(name)
    outside = lived_outside(subject, parallel_environments=parallel_environments)
    inside = jax.tree.map(lambda leaf: np.swapaxes(np.asarray(leaf), 0, 1), subject.collected[0])
    np.testing.assert_array_equal(outside.valid, inside.valid)
    assert_close(valid_part(outside.lifetimes, outside.valid), valid_part(inside, inside.valid), tolerance=1e-5)
    # Where nothing happened, everything but what was seen, decided and followed is the same as well.
    assert_close(outside.lifetimes.outcome.reward, inside.outcome.reward, tolerance=1e-5)
    for ours, theirs in ((outside.lifetimes, inside), (outside.lifetimes.outcome, inside.outcome)):
        for field in {"episode", "valid", "terminated", "truncated"} & set(vars(ours)):
            np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field), field)
    np.testing.assert_array_equal(outside.reward, outside.lifetimes.outcome.reward)
    assert outside.steps == outside.valid.sum()
    assert not outside.lost.any()
    assert not outside.faults


@pytest.mark.parametrize(("name", "parallel_environments"), EACH)
def test_nothing_in_a_gap_is_anything_but_a_number(name, parallel_environments):
    """Trainers compute with what stands there, before they set it aside."""
    lived = lived_outside(subject_of(name), parallel_environments=parallel_environments).lifetimes
    for path, leaf in jax.tree_util.tree_leaves_with_path(lived):
        assert np.isfinite(leaf).all(), jax.tree_util.keystr(path)
    if "corridor" in name:
        assert not lived.valid.all()


def test_a_gap_holds_what_was_decided_before_it():
    """Zeros are a distribution of no agent: that of a Box has a scale."""
    lived = lived_outside(subject_of("trace_agent every 1 on corridor"), parallel_environments=4).lifetimes
    slots, rows = np.nonzero(~lived.valid)
    assert (slots > 0).all()
    np.testing.assert_array_equal(
        lived.decision.extras["log_probability"][slots, rows], lived.decision.extras["log_probability"][slots - 1, rows]
    )


@pytest.mark.parametrize("name", ["trace_agent every 1 on corridor", "trace_agent every 2 on corridor"])
def test_rewards_alone_are_the_same_rewards(name):
    whole, alone = (lived_outside(subject_of(name), parallel_environments=4, rewards_only=only) for only in (False, True))
    assert alone.lifetimes is None
    assert whole.reward.any()
    np.testing.assert_array_equal(alone.reward, whole.reward)
    np.testing.assert_array_equal(alone.valid, whole.valid)


def test_one_collector_lives_batch_after_batch_with_one_agent_and_another():
    first, second = subject_of("tally_agent every 1 on corridor"), subject_of("trace_agent every 2 on corridor")
    collector, told = Collector(as_host(first.distribution), parallel_environments=4), []
    collector.heartbeat = told.append
    keys = np.asarray(jax.random.key_data(first.keys))
    rewards = [collector.run(one.agent, one.params, apart(first.tasks), keys).reward for one in (first, second, first)]
    np.testing.assert_array_equal(rewards[0], rewards[2])
    assert (rewards[0] != rewards[1]).any()
    np.testing.assert_array_equal(rewards[0], lived_outside(first, parallel_environments=4).reward)
    assert max(told) <= LIFETIMES * first.distribution.spec.lifetime_steps


@pytest.mark.slow
def test_an_agent_may_live_longer_than_the_distribution_says():
    """A baseline that learns from scratch is given more episodes; their luck goes on, and is that of the compiled driver."""
    subject = subject_of("tally_agent every 1 on corridor")
    longer = dataclasses.replace(subject.distribution, spec=dataclasses.replace(subject.distribution.spec, episodes=11))
    agent = dataclasses.replace(subject.agent, spec=longer.spec)
    keys = np.asarray(jax.random.key_data(subject.keys))
    outside = Collector(as_host(subject.distribution), parallel_environments=4).run(
        agent, subject.params, apart(subject.tasks), keys
    )
    one = lambda task, key: compiled.run_lifetime(agent, longer, subject.params, task, key)[0]  # noqa: E731
    inside = jax.jit(jax.vmap(one, out_axes=1))(subject.tasks, subject.keys)
    np.testing.assert_array_equal(outside.valid, np.asarray(inside.valid))
    assert_close(valid_part(outside.lifetimes, outside.valid), valid_part(inside, inside.valid), tolerance=1e-5)


def test_shuffled_rewards_are_taken_from_the_slot_that_they_were_earned_at():
    """What did not happen is passed over here, and lived through there: an agent that counts slots meets the same ones."""
    subject = subject_of("trace_agent every 1 on corridor")
    steps = subject.distribution.spec.lifetime_steps
    agent = with_shuffled_rewards(subject.agent, np.arange(3.0 * steps, dtype=np.float32).reshape(3, steps))
    params = agent.init(jax.random.key(1))
    one = lambda task, key: compiled.run_lifetime(agent, subject.distribution, params, task, key)[0]  # noqa: E731
    inside = jax.jit(jax.vmap(one, out_axes=1))(subject.tasks, subject.keys)
    keys = np.asarray(jax.random.key_data(subject.keys))
    outside = Collector(as_host(subject.distribution), parallel_environments=4).run(agent, params, apart(subject.tasks), keys)
    assert not outside.valid.all()
    assert_close(valid_part(outside.lifetimes, outside.valid), valid_part(inside, inside.valid), tolerance=1e-5)
