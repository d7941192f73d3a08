"""The driver for tasks outside: it decides as the compiled driver does, and refuses what makes no sense."""

import itertools

import jax
import numpy as np
import pytest

import quickstudy as qs
from laws.by_hand import assert_close
from laws.cases import MAKERS
from laws.subject import subject_of
from quickstudy.protocol.errors import SpecError, UsageError

LOOKED_AT = [
    "tally_agent every 1 on corridor",
    "tally_agent every 4 on corridor",
    "trace_agent every 2 on corridor",
    "trace_agent every 8 on corridor",
    "Thompson sampling on bernoulli-bandit",
    "rl2 gru 8 on corridor",
    "rl2 lstm 8 on aiming",
]


SLOW = ("trace_agent every 8 on corridor", "Thompson sampling on bernoulli-bandit", "rl2 lstm 8 on aiming")
"""One more cadence, and agents that take long to compile."""


def marks(name):
    return [pytest.mark.xdist_group(name), *([pytest.mark.slow] if name in SLOW else [])]


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in LOOKED_AT])
def test_it_decides_as_the_compiled_driver_does(name):
    assert name in MAKERS
    subject = subject_of(name)
    actor = qs.Actor(subject.agent, subject.params)
    for number in range(3):
        _, key, lifetime, memory = subject.one(number)
        lifetime = jax.tree.map(np.asarray, lifetime)
        actor.begin(key=jax.random.split(key)[0])
        slots = np.flatnonzero(lifetime.valid)
        for slot in slots:
            action = actor.act(lifetime.observation[slot])
            assert_close(np.asarray(action, lifetime.decision.action.dtype), lifetime.decision.action[slot])
            decision = actor.decision
            assert not decision.extras.pop("nonfinite_steps")["steps"]
            assert_close(decision, jax.tree.map(lambda leaf, slot=slot: leaf[slot], lifetime.decision))
            ended = {name: bool(getattr(lifetime.outcome, name)[slot]) for name in ("terminated", "truncated")}
            actor.observe(reward=lifetime.outcome.reward[slot], observation=lifetime.outcome.observation[slot], **ended)
        assert jax.tree.structure(actor.memory) == jax.tree.structure(memory)


@pytest.fixture(scope="module")
def greedy():
    bandits = qs.tasks.make("bernoulli-bandit", arms=2, pulls=3)
    agent = bandits.baselines["greedy"]()
    return qs.Actor(agent, agent.init(jax.random.key(0)))


def test_what_it_refuses_changes_nothing(greedy):
    greedy.begin()
    with pytest.raises(UsageError, match="before act"):
        greedy.observe(reward=1.0, observation=0)
    first = greedy.act(0)
    assert isinstance(first, int)
    with pytest.raises(UsageError, match="twice in a row"):
        greedy.act(0)
    with pytest.raises(SpecError, match=r"element of Discrete\(1\)"):
        greedy.observe(reward=1.0, observation=[0, 0])
    greedy.observe(reward=1.0, observation=0)
    assert greedy.act(0) == first  # the reward was taken in once


NO_ELEMENTS = [7, -1, 0.5, None, "x", {"segment": 1}, [0], [[0, 1], [0]], float("nan"), len]


@pytest.mark.parametrize("what", NO_ELEMENTS, ids=str)
def test_what_is_no_element_of_the_space_is_named_and_changes_nothing(greedy, what):
    greedy.begin()
    with pytest.raises(SpecError, match=r"element of Discrete\(1\); came .+ Nothing was changed"):
        greedy.act(what)
    arm = greedy.act(0)
    with pytest.raises(SpecError, match=r"element of Discrete\(1\)"):
        greedy.observe(reward=1.0, observation=what)
    greedy.observe(reward=1.0, observation=0)
    assert greedy.act(0) == arm
    assert greedy.memory.pulls.sum() == 1


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"reward": "1"}, "a reward must be one number, .+ came '1'"),
        ({"reward": None}, "a reward must be one number, .+ came None"),
        ({"reward": [1.0, 2.0]}, "a reward must be one number"),
        ({"reward": 1e30}, r"a reward must lie within ±1e\+15, or sums of rewards overflow; came 1e\+30"),
        ({"reward": -(10**40)}, "overflow"),
        ({"reward": 1.0, "terminated": "False"}, "terminated must be one truth value, True or False; came 'False'"),
        ({"reward": 1.0, "truncated": 0.5}, "truncated must be one truth value"),
    ],
)
def test_evidence_that_is_none_is_named_and_changes_nothing(greedy, wrong, named):
    greedy.begin()
    greedy.act(0)
    before = greedy.nonfinite_steps
    with pytest.raises(SpecError, match=named):
        greedy.observe(observation=0, **wrong)
    assert greedy.nonfinite_steps == before
    greedy.observe(observation=0, reward=np.float64(1.0), terminated=np.bool_(False), truncated=0)
    greedy.act(0)
    assert greedy.memory.pulls.sum() == 1


def test_numbers_of_a_box_may_miss_its_bounds_by_rounding_and_may_not_be_finite():
    subject = subject_of("trace_agent every 2 on corridor")
    actor = qs.Actor(subject.agent, subject.params)
    for seen in ([1.0, 0.5], [1.00001, 0.0], np.array([-1.0, 1.0]), [1, 0], [float("nan"), 0.0], [float("inf"), 0.0]):
        actor.begin()
        actor.act(seen)
    for seen in ([1.5, 0.0], [0.0, -0.1], [0.0], [[0.0, 0.0]], ["a", "b"], [float("nan"), 7.0]):
        with pytest.raises(SpecError, match=r"element of Box\("):
            actor.act(seen) if actor.begin() is None else None


@pytest.mark.parametrize("backend", ["jax", "numpy"])
def test_an_environment_may_write_the_next_observation_into_the_array_of_the_last(backend):
    subject = subject_of("rl2 gru 8 on corridor")
    actors = [qs.Actor(subject.agent, subject.params, backend=backend) for _ in range(2)]
    drawn = np.random.default_rng(0).uniform(0, 1, (8, 2)).astype(np.float32)
    array = np.empty(2, np.float32)
    for before, after in itertools.pairwise(drawn):
        array[:] = before
        assert actors[0].act(array) == actors[1].act(before.copy())
        array[:] = after
        actors[0].observe(reward=1.0, observation=array)
        actors[1].observe(reward=1.0, observation=after.copy())
        array[:] = -1
    assert_close(actors[0].session, actors[1].session)


def test_what_is_not_finite_reaches_no_memory_and_is_counted(greedy):
    greedy.begin()
    before = greedy.nonfinite_steps
    greedy.act(0)
    assert not greedy.decision.extras["nonfinite_steps"]["steps"]
    greedy.observe(reward=float("nan"), observation=0)
    greedy.act(0)
    assert not greedy.memory.pulls.any()
    assert greedy.decision.extras["nonfinite_steps"]["steps"] == 1
    greedy.observe(reward=1.0, observation=0)
    greedy.act(0)
    assert greedy.memory.pulls.sum() == 1
    assert greedy.nonfinite_steps == before + 1


def test_a_lifetime_ends_unless_it_is_endless(greedy):
    greedy.begin()
    assert greedy.memory is None is greedy.decision
    for _ in range(3):
        greedy.act(0)
        greedy.observe(reward=0.0, observation=0)
    with pytest.raises(UsageError, match="begin\\(\\) a new task"):
        greedy.act(0)
    endless = qs.Actor(greedy.agent, (), endless=True)
    for _ in range(5):
        endless.act(0)
        endless.observe(reward=0.0, observation=0)
    assert endless.act(0) in (0, 1)


def test_tasks_and_seeds_have_randomness_of_their_own():
    bandits = qs.tasks.make("bernoulli-bandit", arms=100, pulls=2)
    agent = bandits.baselines["random"]()

    def arms(seed):
        actor, drawn = qs.Actor(agent, (), seed=seed), []
        for _ in range(3):
            actor.begin()
            drawn.append(actor.act(0))
        return drawn

    assert arms(0) == arms(0) != arms(1)
    assert len(set(arms(0))) > 1


def test_it_learns_from_the_action_that_was_taken(greedy):
    greedy.begin()
    decided = greedy.act(0)
    for wrong in (2, -1, "left", [0]):
        with pytest.raises(SpecError, match=r"an action must be an element of Discrete\(2\)"):
            greedy.observe(reward=1.0, observation=0, action=wrong)
    greedy.observe(reward=1.0, observation=0, action=1 - decided)
    assert int(greedy.decision.action) == 1 - decided
    greedy.act(0)
    assert greedy.memory.pulls.tolist() == [decided, 1 - decided]


@pytest.mark.parametrize("waits", [False, True])
def test_a_state_goes_on_where_it_was_taken(greedy, waits):
    greedy.begin()
    greedy.act(0)
    greedy.observe(reward=1.0, observation=0)
    if waits:
        greedy.act(0)
    state = greedy.state_dict()
    assert all(isinstance(array, np.ndarray) for array in state.values())
    other = qs.Actor(greedy.agent, ())
    other.load_state_dict(state)
    pulls = []
    for actor in (greedy, other):
        if not waits:
            actor.act(0)
        actor.observe(reward=0.0, observation=0)
        actor.act(0)
        pulls.append((actor.memory.pulls.tolist(), int(actor.decision.action)))
        actor.begin()
    assert pulls[0] == pulls[1]
    np.testing.assert_equal(other.state_dict(), greedy.state_dict())  # the next task has the same randomness


def test_memory_can_be_changed_and_what_does_not_fit_changes_nothing(greedy):
    greedy.begin()
    greedy.act(0)
    greedy.observe(reward=0.0, observation=0)
    state = greedy.state_dict()
    name = "memory.memory.successes"
    assert name in state
    greedy.load_state_dict(state | {name: np.array([3, 9], state[name].dtype)})
    greedy.act(0)
    assert greedy.memory.successes.tolist() == [3, 9]
    for wrong, named in (
        ({name: np.zeros(3, state[name].dtype)}, r"memory\.memory\.successes of the state must be .+\[2\]; came .+\[3\]"),
        ({"memory.memory.hidden": np.zeros(2)}, r"Missing: nothing; not known: memory\.memory\.hidden"),
    ):
        with pytest.raises(SpecError, match=named):
            greedy.load_state_dict(state | wrong)
    with pytest.raises(SpecError, match="Missing: slot"):
        greedy.load_state_dict({name: array for name, array in state.items() if name != "slot"})
    assert greedy.memory.successes.tolist() == [3, 9]
