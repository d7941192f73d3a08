"""The laws that every agent keeps, for all agents; `cases.py` says which those are. Law 10, learning, is tests/learning."""

import collections
import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from laws.by_hand import assert_close, lifetime_by_hand, valid_part
from laws.cases import MAKERS, case
from quickstudy.protocol.agent import derived_step, derived_unroll, slot_key
from quickstudy.protocol.sequences import chunks
from quickstudy.rollout.compiled import run_lifetime

# One worker looks at one case, so that its life is compiled once.
pytestmark = pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in MAKERS])


def first_chunks(subject):
    """The first two chunks of experience of one lifetime, `[2, cadence]`, repeated if there is but one."""
    _, _, lifetime, _ = subject.one()
    cut = chunks(lifetime, length=subject.agent.cadence)
    count = subject.distribution.spec.lifetime_steps // subject.agent.cadence
    return [jax.tree.map(lambda leaf, i=i: leaf[min(i, count - 1)], cut) for i in range(2)]


def test_1_memory_keeps_its_structure(name):
    subject = case(name)
    key = jax.random.key(0)
    memory = jax.eval_shape(subject.agent.begin, subject.params, key)
    after = jax.eval_shape(subject.agent.adapt, subject.params, memory, first_chunks(subject)[0], key)
    describe = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)  # noqa: E731
    assert describe(memory) == describe(after)
    assert jax.tree.structure(memory) == jax.tree.structure(after)


def test_2_acting_changes_nothing(name):
    subject = case(name)
    agent, _ = subject.host
    _, key, lifetime, memory = subject.one()
    observation = lifetime.observation[0]
    before = jax.tree.map(np.array, memory)
    once = agent.act(subject.params, memory, observation, key)
    agent.act(subject.params, memory, observation, jax.random.key(99))
    assert_close(once, agent.act(subject.params, memory, observation, key), tolerance=0)
    assert_close(before, memory, tolerance=0)


def test_3_experience_adds_up(name):
    subject = case(name)
    agent, key = subject.agent, jax.random.key(0)
    memory = agent.begin(subject.params, key)
    one, other = first_chunks(subject)
    adapt = functools.partial(subject.host[0].adapt, subject.params)
    apart = adapt(adapt(memory, one, key), other, key)
    if agent.cadence == 1:
        joined = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), one, other)
        assert_close(apart, adapt(memory, joined, key))
    if agent.exchangeable:
        backwards = lambda tree: jax.tree.map(lambda leaf: leaf[::-1], tree)  # noqa: E731
        assert_close(apart, adapt(adapt(memory, backwards(other), key), backwards(one), key))


def test_4_unroll_repeats_what_was_decided(name):
    subject = case(name)
    _, key, lifetime, memory = subject.one()
    key_agent = jax.random.split(key)[0]
    after, decisions = subject.host[0].unroll(subject.params, lifetime, key_agent)
    assert_close(valid_part(decisions, lifetime.valid), valid_part(lifetime.decision, lifetime.valid))
    assert_close(after, memory)


def test_4_unroll_means_begin_act_and_adapt(name):
    subject = case(name)
    _, _, lifetime, _ = subject.one(1)
    # Another key than the one that was lived under: whatever is drawn is drawn alike.
    key = jax.random.key(7)
    fast = subject.host[0].unroll(subject.params, lifetime, key)
    meant = jax.jit(derived_unroll(subject.agent))(subject.params, lifetime, key)
    assert_close(fast[0], meant[0])
    assert_close(valid_part(fast[1], lifetime.valid), valid_part(meant[1], lifetime.valid))


def test_4_step_means_adapt_then_act(name):
    subject = case(name)
    _, key, lifetime, memory = subject.one()
    arguments = (subject.params, memory, first_chunks(subject)[0], lifetime.observation[-1], slot_key(key, 5))
    assert_close(subject.host[0].step(*arguments), jax.jit(derived_step(subject.agent))(*arguments))


@pytest.mark.parametrize("by_step", [False, True])
def test_4_a_loop_by_hand_lives_the_same_life(name, by_step):
    """Which is law 8 as well: functions compiled one by one, for one task, decide as the whole program for many does."""
    subject = case(name)
    for number in range(2):
        task, key, lifetime, memory = subject.one(number)
        by_hand, after = lifetime_by_hand(*subject.host, subject.params, task, key, by_step=by_step)
        np.testing.assert_array_equal(by_hand.valid, lifetime.valid)
        assert_close(valid_part(by_hand, lifetime.valid), valid_part(lifetime, lifetime.valid))
        assert_close(after, memory)


def test_5_the_task_itself_is_not_seen(name):
    subject = case(name)
    world = subject.distribution
    # The world goes by the first half of a pair; the second half is another task, of which nothing may be noticed.
    masked = dataclasses.replace(
        world,
        reset=lambda pair, key: world.reset(pair[0], key),
        step=lambda pair, state, action, key: world.step(pair[0], state, action, key),
    )
    lives = jax.jit(jax.vmap(functools.partial(run_lifetime, subject.agent, masked), (None, 0, 0)))
    others = jax.tree.map(lambda leaf: leaf[::-1], subject.tasks)
    seen = lives(subject.params, (subject.tasks, others), subject.keys)
    assert_close(seen, lives(subject.params, (subject.tasks, subject.tasks), subject.keys), tolerance=0)
    assert_close(seen, subject.lived)


def test_6_what_is_not_valid_changes_nothing(name):
    subject = case(name)
    adapt = functools.partial(subject.host[0].adapt, subject.params)
    *_, memory = subject.one()
    chunk = first_chunks(subject)[0]
    nothing = dataclasses.replace(chunk, valid=jnp.zeros_like(chunk.valid))
    assert_close(adapt(memory, nothing, jax.random.key(0)), memory, tolerance=0)
    # And where only the first step is valid, whatever stands in the others is ignored.
    partly = dataclasses.replace(chunk, valid=jnp.arange(subject.agent.cadence) == 0)
    garbled = jax.tree.map(lambda leaf: leaf.at[1:].set(leaf[:1]), partly)
    garbled = dataclasses.replace(
        garbled,
        valid=partly.valid,
        outcome=dataclasses.replace(
            garbled.outcome,
            reward=garbled.outcome.reward.at[1:].add(5.0),
            terminated=garbled.outcome.terminated.at[1:].set(True),
        ),
    )
    assert_close(adapt(memory, partly, jax.random.key(0)), adapt(memory, garbled, jax.random.key(0)))


def test_7_each_function_is_traced_once_for_many_tasks(name):
    subject = case(name)
    traces = collections.Counter()

    def counted(function_name):
        function = getattr(subject.agent, function_name)

        @functools.wraps(function)
        def wrapped(*arguments):
            traces[function_name] += 1
            return function(*arguments)

        return wrapped

    agent = dataclasses.replace(subject.agent, **{f: counted(f) for f in ("begin", "act", "adapt", "unroll")})
    lives = jax.jit(jax.vmap(functools.partial(run_lifetime, agent, subject.distribution), (None, 0, 0)))
    unrolls = jax.jit(jax.vmap(agent.unroll, (None, 0, 0)))
    for round_number in range(3):
        tasks = jax.tree.map(lambda leaf, by=round_number: jnp.roll(leaf, by, axis=0), subject.tasks)
        keys = jax.random.split(jax.random.key(round_number), len(subject.keys))
        lifetimes, _ = lives(subject.params, tasks, keys)
        unrolls(subject.params, lifetimes, keys)
        if round_number == 0:
            first = collections.Counter(traces)
            assert set(first) == {"begin", "act", "adapt", "unroll"}
    assert traces == first


def test_8_lives_on_two_devices_are_equal(name):
    subject = case(name)
    assert jax.device_count() == 2
    mesh = jax.make_mesh((2,), ("lifetimes",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("lifetimes"))
    sharded = subject.live_all(subject.params, jax.device_put(subject.tasks, split), jax.device_put(subject.keys, split))
    assert_close(jax.device_get(sharded), jax.device_get(subject.lived))


def test_8_uncompiled_decisions_are_equal(name):
    subject = case(name)
    _, _, lifetime, _ = subject.one()
    memory = subject.agent.begin(subject.params, jax.random.key(0))
    chunk, key = first_chunks(subject)[0], slot_key(jax.random.key(5), 0)
    arguments = (subject.params, memory, chunk, lifetime.observation[0], key)
    with jax.disable_jit():
        plain = subject.agent.step(*arguments)
    assert_close(plain, subject.host[0].step(*arguments))


def test_9_memory_survives_being_put_away(name):
    subject = case(name)
    task, key, lifetime, memory = subject.one()
    halfway = subject.distribution.spec.lifetime_steps // 2
    put_away = []

    def at_slot(slot, memory):
        if slot != halfway:
            return memory
        leaves, structure = jax.tree.flatten(memory)
        stored = [(np.asarray(leaf).tobytes(), np.asarray(leaf).dtype, leaf.shape) for leaf in leaves]
        put_away.append(stored)
        loaded = [jnp.asarray(np.frombuffer(data, dtype).reshape(shape)) for data, dtype, shape in stored]
        return jax.tree.unflatten(structure, loaded)

    by_hand, after = lifetime_by_hand(*subject.host, subject.params, task, key, at_slot=at_slot)
    assert len(put_away) == 1
    assert_close(valid_part(by_hand.decision, lifetime.valid), valid_part(lifetime.decision, lifetime.valid))
    assert_close(after, memory)
