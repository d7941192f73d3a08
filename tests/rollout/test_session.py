"""One session, stepped from outside, decides and adapts as `run_lifetime` does, for every cadence."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import quickstudy as qs
from laws.by_hand import assert_close
from laws.cases import MAKERS
from laws.subject import subject_of
from marks import slow_but
from quickstudy.protocol.records import Outcome
from quickstudy.rollout import session as sessions
from quickstudy.rollout.session import chunk_end, end_of_episode, next_slot

# A cadence of one; chunks within an episode, as long as one, and as two; episodes end early on the corridor.
CASES = [
    "tally_agent every 1 on corridor",
    "trace_agent every 2 on corridor",
    "tally_agent every 4 on corridor",
    "trace_agent every 8 on corridor",
    "rl2 gru 8 on corridor",
    "maml (8,) 1 on corridor",
]
SLOW = ("maml (8,) 1 on corridor", "trace_agent every 2 on corridor")
"""An agent that takes long to compile, and one more cadence."""


def marks(name):
    return [pytest.mark.xdist_group(name), *([pytest.mark.slow] if name in SLOW else [])]


EACH = pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in CASES])


@functools.cache
def programs(name):
    """`begin`, `decide` and `observe` of a case's agent, compiled one by one."""
    agent, params = subject_of(name).agent, subject_of(name).params
    return tuple(
        jax.jit(functools.partial(rule, agent, params)) for rule in (sessions.begin, sessions.decide, sessions.observe)
    )


def outcome_at(lifetime, slot):
    """What followed in this slot, as a task says it: the horizon sets no end by itself."""
    recorded = jax.tree.map(lambda leaf: jnp.asarray(leaf[slot]), lifetime.outcome)
    late = lifetime.outcome.truncated[slot] and (slot + 1) % case_horizon(lifetime) == 0
    return Outcome(
        observation=recorded.observation,
        reward=recorded.reward,
        terminated=recorded.terminated,
        truncated=recorded.truncated & ~jnp.asarray(bool(late)),
    )


def case_horizon(lifetime):
    return int((lifetime.episode == 0).sum())


def replayed(name, number, *, between=lambda slot, session: session):
    """A recorded lifetime once more through a session; `between` sees it after every decision and every outcome."""
    subject = subject_of(name)
    _, key, lifetime, memory = subject.one(number)
    lifetime = jax.tree.map(np.asarray, lifetime)
    begin, decide, observe = programs(name)
    session, decisions = begin(jax.random.split(key)[0]), []
    for slot in np.flatnonzero(lifetime.valid).tolist():
        assert int(session.slot) == slot
        session = between(slot, decide(between(slot, session), lifetime.observation[slot]))
        decisions.append(session.decision)
        session = observe(session, outcome_at(lifetime, slot))
    recorded = [jax.tree.map(lambda leaf, slot=slot: leaf[slot], lifetime.decision) for slot in np.flatnonzero(lifetime.valid)]
    return session, decisions, recorded, memory


@EACH
@pytest.mark.parametrize("number", range(3))
def test_it_decides_and_remembers_as_the_compiled_driver_does(name, number):
    assert name in MAKERS
    session, decisions, recorded, memory = replayed(name, number)
    assert_close(decisions, jax.tree.map(jnp.asarray, recorded))
    assert_close(session.memory, memory)
    assert int(session.slot) == subject_of(name).distribution.spec.lifetime_steps


def test_some_of_these_episodes_end_in_the_middle_of_a_chunk():
    """Without such lifetimes the test above would say little."""
    for name in ("trace_agent every 2 on corridor", "tally_agent every 4 on corridor", "trace_agent every 8 on corridor"):
        subject = subject_of(name)
        valid = np.asarray(subject.collected[0].valid)[:3]
        chunks = valid.reshape(3, -1, subject.agent.cadence)
        assert (chunks.any(-1) & ~chunks.all(-1)).any()


@EACH
def test_a_stored_session_goes_on_as_if_it_had_not_been_stored(name, tmp_path):
    """Its leaves, as plain arrays in a file, and the structure that `begin` gives are all there is to it."""
    like = jax.eval_shape(programs(name)[0], jax.random.key(0))

    def stored(slot, session):
        leaves = jax.tree.leaves(session)
        np.savez(tmp_path / "session.npz", *leaves)
        with np.load(tmp_path / "session.npz") as file:
            loaded = [file[f"arr_{place}"] for place in range(len(leaves))]
        return jax.tree.unflatten(jax.tree.structure(like), loaded)

    session, decisions, _, _ = replayed(name, 0, between=stored)
    plain, plain_decisions, _, _ = replayed(name, 0)
    assert_close(decisions, plain_decisions, tolerance=0)
    assert_close(session, plain, tolerance=0)


@EACH
def test_an_outcome_without_a_decision_changes_nothing(name):
    session = replayed(name, 0)[0]
    outcome = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), subject_of(name).one()[2].outcome)
    assert_close(programs(name)[2](session, outcome), session)


@EACH
def test_many_sessions_are_the_vmap_of_one(name):
    subject = subject_of(name)
    agent, params = subject.agent, subject.params
    keys = jax.vmap(lambda key: jax.random.split(key)[0])(subject.keys)
    lifetimes = subject.collected[0]

    def first_two(key, lifetime):
        at = lambda slot: jax.tree.map(lambda leaf: leaf[slot], lifetime)  # noqa: E731
        session = sessions.decide(agent, params, sessions.begin(agent, params, key), at(0).observation)
        session = sessions.observe(agent, params, session, at(0).outcome)
        return sessions.decide(agent, params, session, at(1).observation)

    many = jax.jit(jax.vmap(first_two))(keys, lifetimes)
    alive = np.asarray(lifetimes.valid[:, 1])
    recorded = jax.tree.map(lambda leaf: leaf[:, 1], lifetimes.decision)
    assert alive.any()
    assert_close(*(jax.tree.map(lambda leaf: leaf[alive], tree) for tree in (many.decision, recorded)))


def test_rules_are_the_same_for_plain_numbers_and_arrays():
    slots, ends = np.array([0, 1, 3, 5]), np.array([False, True, True, False])
    np.testing.assert_array_equal(next_slot(slots, ends, horizon=4), [1, 4, 4, 6])
    np.testing.assert_array_equal(next_slot(jnp.asarray(slots, jnp.int32), jnp.asarray(ends), horizon=4), [1, 4, 4, 6])
    assert [int(next_slot(slot, end, horizon=4)) for slot, end in zip(slots.tolist(), ends, strict=True)] == [1, 4, 4, 6]
    np.testing.assert_array_equal(chunk_end(slots, cadence=2), [2, 2, 4, 6])
    terminated, truncated = np.array([False, True, False, False]), np.array([False, True, False, True])
    ended = end_of_episode(slots, terminated, truncated, horizon=4)
    np.testing.assert_array_equal(ended, [[False, True, False, False], [False, False, True, True]])


@pytest.mark.parametrize(
    "name", slow_but(["rl2 gru 8 on corridor"], ["trace_agent every 2 on corridor", "rl2 gru 8 on corridor"])
)
@pytest.mark.parametrize("awaiting", [False, True])
def test_an_actor_goes_on_where_a_stored_session_ended(name, awaiting):
    subject = subject_of(name)
    _, key, lifetime, _ = subject.one()
    lifetime = jax.tree.map(np.asarray, lifetime)
    first, second = qs.Actor(subject.agent, subject.params), qs.Actor(subject.agent, subject.params)
    first.begin(key=jax.random.split(key)[0])
    slots = np.flatnonzero(lifetime.valid).tolist()

    def observe(actor, slot):
        ended = {name: bool(getattr(lifetime.outcome, name)[slot]) for name in ("terminated", "truncated")}
        actor.observe(reward=lifetime.outcome.reward[slot], observation=lifetime.outcome.observation[slot], **ended)

    actor = first
    for place, slot in enumerate(slots):
        actor.act(lifetime.observation[slot])
        if awaiting and place == 2:
            second.resume(jax.tree.map(np.asarray, actor.session))
            actor = second
        observe(actor, slot)
        if not awaiting and place == 2:
            second.resume(jax.tree.map(np.asarray, actor.session))
            actor = second
        decision = actor.decision
        decision.extras.pop("nonfinite_steps")
        assert_close(decision, jax.tree.map(lambda leaf, slot=slot: jnp.asarray(leaf[slot]), lifetime.decision))


def test_a_session_that_has_not_begun_is_begun_again():
    bandits = qs.tasks.make("bernoulli-bandit", arms=3, pulls=4)
    agent = bandits.baselines["Thompson sampling"]()
    first, second = qs.Actor(agent, agent.init(jax.random.key(0))), qs.Actor(agent, agent.init(jax.random.key(0)), seed=1)
    second.resume(first.session)
    assert first.act(0) == second.act(0)
