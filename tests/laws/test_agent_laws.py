"""The laws that every agent keeps, for all agents; `cases.py` lists them. Law 11, learning, is tests/learning."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from laws.by_hand import assert_close, lifetime_by_hand, valid_part
from laws.cases import ALGORITHM_CASES, EXHAUSTIVE, MAKERS, SLOW
from laws.subject import LIFETIMES, Subject, row
from quickstudy.programs.numpy_form import numpy_function
from quickstudy.programs.tracing import named_leaves
from quickstudy.protocol.agent import slot_key
from quickstudy.protocol.errors import NoProgramError
from quickstudy.protocol.spaces import COMPOSITE
from quickstudy.rollout.step_programs import STEP, canonical_array, step_programs


def parameter(name):
    # One worker tries all laws of an agent, so that its programs are compiled once.
    mark = [pytest.mark.exhaustive] if name in EXHAUSTIVE else [pytest.mark.slow] if name in SLOW else []
    return pytest.param(name, marks=[pytest.mark.xdist_group(name), *mark])


@pytest.fixture(scope="module", params=[parameter(name) for name in MAKERS])
def subject(request):
    """The agents one after another: pytest runs all laws of one before it makes the next."""
    return Subject(request.param)


def test_1_memory_keeps_its_structure(subject):
    key = jax.random.key(0)
    memory = jax.eval_shape(subject.agent.begin, subject.params, key)
    after = jax.eval_shape(subject.agent.adapt, subject.params, memory, subject.first_chunks()[0], key)
    describe = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)  # noqa: E731
    assert describe(memory) == describe(after)
    assert jax.tree.structure(memory) == jax.tree.structure(after)


def test_2_acting_changes_nothing(subject):
    act = subject.host.act
    _, key, lifetime, memory = subject.one()
    observation = lifetime.observation[0]
    before = jax.tree.map(np.array, memory)
    once = act(subject.params, memory, observation, key)
    act(subject.params, memory, observation, jax.random.key(99))
    assert_close(once, act(subject.params, memory, observation, key), tolerance=0)
    assert_close(before, memory, tolerance=0)


def test_3_experience_adds_up(subject):
    agent, key = subject.host, jax.random.key(0)
    memory = agent.begin(subject.params, key)
    one, other = subject.first_chunks()

    def adapt(memory, chunk):
        return agent.adapt(subject.params, memory, chunk, key)

    apart = adapt(adapt(memory, one), other)
    if agent.cadence == 1:
        joined = jax.tree.map(lambda a, b: np.concatenate([a, b]), one, other)
        assert_close(apart, adapt(memory, joined))
    if agent.exchangeable:
        backwards = lambda tree: jax.tree.map(lambda leaf: leaf[::-1], tree)  # noqa: E731
        assert_close(apart, adapt(adapt(memory, backwards(other)), backwards(one)))


def test_4_unroll_repeats_what_was_decided(subject):
    lifetimes, memories = subject.time_major, subject.collected[1]
    keys_agent = jax.vmap(jax.random.split)(subject.keys)[:, 0]
    (after, decisions), _ = subject.unroll(subject.params, lifetimes, keys_agent)
    assert_close(valid_part(decisions, lifetimes.valid), valid_part(lifetimes.decision, lifetimes.valid))
    assert_close(jax.device_get(after), memories)


def test_4_a_fast_unroll_means_begin_act_and_adapt(subject):
    """In its values and in its gradients, on `[T, lifetimes]`, which is the form that is meta-trained."""
    if not subject.agent.fast_unroll:
        pytest.skip("its unroll is the meaning itself")
    # Other keys than those of the rollout: whatever is drawn is drawn alike.
    arguments = subject.params, subject.time_major, jax.random.split(jax.random.key(7), LIFETIMES)
    (after, decisions), gradients = subject.unroll(*arguments)
    (after_meant, decisions_meant), gradients_meant = subject.meaning(*arguments)
    valid = subject.time_major.valid
    assert_close(after, after_meant)
    assert_close(valid_part(decisions, valid), valid_part(decisions_meant, valid))
    assert_close(*in_units_of_the_largest(*map(by_path, (gradients, gradients_meant))))


def by_path(gradients):
    """Gradients by the path of their leaf, except those by scores.

    The scores of sparse MAML make a discrete choice, whose derivative is zero. Its fast form gives them the gradient of the
    units that they stand for instead, and that is how they are trained.
    """
    named = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(gradients)}
    return {path: leaf for path, leaf in named.items() if not path.startswith(".scores")}


def in_units_of_the_largest(gradients, meant):
    """Both over the largest number of the second. A gradient is a sum over many steps, and its rounding goes by that number."""
    largest = max(float(np.abs(leaf).max(initial=0)) for leaf in meant.values())
    assert largest > 0
    return [{path: leaf / largest for path, leaf in each.items()} for each in (gradients, meant)]


@pytest.mark.parametrize("replaced", ["begin", "act", "adapt"])
def test_4_unroll_follows_a_function_that_is_replaced(subject, replaced):
    agent = dataclasses.replace(subject.agent, **{replaced: subject.counted(replaced)})
    before = subject.traces[replaced]
    jax.eval_shape(agent.unroll, subject.params, row(subject.collected[0], 0), jax.random.key(0))
    assert subject.traces[replaced] > before


def test_4_a_loop_by_hand_plays_the_same_lifetime(subject):
    """This is law 8 as well: functions compiled one by one, for one task, decide as the whole program for many does.

    The first lifetime comes from one device, the last from the other.
    """
    for number in (0, LIFETIMES - 1):
        task, key, lifetime, memory = subject.one(number)
        by_hand, after = lifetime_by_hand(subject.host, subject.world.host, subject.params, task, key)
        np.testing.assert_array_equal(by_hand.valid, lifetime.valid)
        assert_close(valid_part(by_hand, lifetime.valid), valid_part(lifetime, lifetime.valid))
        assert_close(after, memory)


def test_5_the_task_itself_is_not_seen(subject):
    others = jax.tree.map(lambda leaf: leaf[::-1], subject.tasks)
    assert_close(subject.collect(others), subject.collected, tolerance=0)


def test_6_what_is_not_valid_changes_nothing(subject):
    *_, memory = subject.one()
    key, chunk = jax.random.key(0), subject.first_chunks()[0]

    def adapt(chunk):
        return subject.host.adapt(subject.params, memory, chunk, key)

    assert_close(adapt(dataclasses.replace(chunk, valid=np.zeros_like(chunk.valid))), memory, tolerance=0)
    # And where only the first step is valid, whatever stands in the others is ignored.
    partly = dataclasses.replace(chunk, valid=np.arange(subject.agent.cadence) == 0)
    garbled = jax.tree.map(lambda leaf: np.concatenate([leaf[:1], np.broadcast_to(leaf[:1], leaf[1:].shape)]), partly)
    later = ~partly.valid
    outcome = dataclasses.replace(
        garbled.outcome, reward=garbled.outcome.reward + np.float32(5.0) * later, terminated=garbled.outcome.terminated | later
    )
    garbled = dataclasses.replace(garbled, valid=partly.valid, outcome=outcome)
    assert_close(adapt(partly), adapt(garbled))


def test_7_each_function_is_traced_once_for_many_tasks(subject):
    subject.collect(subject.tasks)  # the first call traces; so does the next one after compiled programs were let go of
    first = subject.traces.copy()
    assert {"begin", "act", "adapt"} <= set(first)
    for seed in range(2):
        tasks = jax.tree.map(lambda leaf, by=seed + 1: np.roll(leaf, by, axis=0), subject.tasks)
        subject.collect(tasks, tasks=tasks, keys=jax.random.split(jax.random.key(seed), LIFETIMES))
    assert subject.traces == first
    assert subject.rollout._cache_size() == 1


def test_8_uncompiled_decisions_are_equal(subject):
    _, _, lifetime, _ = subject.one()
    key_adapt, key_act = slot_key(jax.random.key(5), 0)
    chunk, observation = subject.first_chunks()[0], lifetime.observation[0]
    begun = subject.host.begin(subject.params, jax.random.key(0))

    def adapt_and_act(agent):
        memory = agent.adapt(subject.params, begun, jax.tree.map(jnp.asarray, chunk), key_adapt)
        return memory, agent.act(subject.params, memory, jnp.asarray(observation), key_act)

    with jax.disable_jit():
        plain = adapt_and_act(subject.agent)
    assert_close(plain, adapt_and_act(subject.host))


def test_9_memory_survives_storage(subject):
    task, key, lifetime, memory = subject.one()
    halfway = subject.distribution.spec.lifetime_steps // 2
    stored = []

    def at_slot(slot, memory):
        if slot != halfway:
            return memory
        leaves, structure = jax.tree.flatten(memory)
        stored.append([(np.asarray(leaf).tobytes(), np.asarray(leaf).dtype, leaf.shape) for leaf in leaves])
        loaded = [jnp.asarray(np.frombuffer(data, dtype).reshape(shape)) for data, dtype, shape in stored[-1]]
        return jax.tree.unflatten(structure, loaded)

    by_hand, after = lifetime_by_hand(subject.host, subject.world.host, subject.params, task, key, at_slot=at_slot)
    assert len(stored) == 1
    assert_close(valid_part(by_hand.decision, lifetime.valid), valid_part(lifetime.decision, lifetime.valid))
    assert_close(after, memory)


def test_10_its_program_decides_the_same(subject):
    agent, (_, key, lifetime, memory) = subject.agent, subject.one()
    try:
        programs = step_programs(agent, subject.params)
    except NoProgramError:
        # Registered agents that adapt after every step all have one, unless an action is of several parts. Others, such as
        # planners, may do what has no form outside.
        several = isinstance(agent.spec.action_space, COMPOSITE)
        assert several or agent.cadence > 1 or subject.name not in ALGORITHM_CASES
        return
    take_in, decide = numpy_function(programs.take_in), numpy_function(programs.decide)
    state = _canonical(agent.begin(subject.params, slot_key(jax.random.split(key)[0], 0)[0]), programs.memory)
    lifetime = jax.tree.map(np.asarray, lifetime)
    kinds = {name: value.dtype for name, value in programs.take_in.inputs.items()}
    for slot in np.flatnonzero(lifetime.valid):
        step = row(lifetime, slot)
        parts = (step.observation, step.decision.action, step.outcome.reward, step.outcome.observation)
        parts += (step.outcome.terminated, step.outcome.truncated, step.episode)
        given = [canonical_array(part, kinds[name])[()] for name, part in zip(STEP, parts, strict=True)]
        extras = named_leaves(step.decision.extras, root="")
        for name, number in zip(programs.decision, decide(*state, given[0]), strict=True):
            assert_close(np.asarray(number), canonical_array(extras[f".{name}"], programs.decision[name].dtype))
        state = take_in(*state, *given)
    assert_close(list(map(np.asarray, state)), list(_canonical(memory, programs.memory)))


def _canonical(memory, shapes):
    leaves = named_leaves(memory, root="memory")
    return tuple(canonical_array(leaf, shapes[name].dtype)[()] for name, leaf in leaves.items())
