"""A guarded agent: what is left of its actions, what their probabilities are, and when the fallback acts."""

import dataclasses
import functools

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from laws.by_hand import assert_close
from laws.cases import small
from laws.toy_distributions import aiming, corridor, shop
from quickstudy import algorithms
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.protocol.records import Decision, Spec
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.rollout.envelope.guard import with_envelope
from quickstudy.rollout.envelope.reasons import REASONS, guard_words
from quickstudy.rollout.envelope.rules import ActionLimits, Budget, Envelope, ExplorationLimits, SurpriseRule
from quickstudy.rollout.nonfinite import with_nonfinite_guard

HORIZON = 12
BUOY = functools.partial(small, "drifting-control")


def alarming(spec, *, p_values, action=1.0):
    """Takes one action always; its p-value follows a list, a number for each step that it has learned from."""
    table = jnp.asarray(p_values, jnp.float32)

    def act(params, memory, observation, key):
        p_value = table[jnp.minimum(memory, table.size - 1)]
        extras = {"p_values": {"step": p_value}, "log_probability": jnp.float32(0.0)}
        return Decision(action=jnp.full(spec.action_space.shape, action, spec.action_space.dtype), extras=extras)

    return Agent(
        spec=spec,
        init=lambda key: (),
        begin=lambda params, key: jnp.int32(0),
        act=act,
        adapt=lambda params, memory, experience, key: memory + experience.valid.sum().astype(jnp.int32),
    )


def line(horizon=HORIZON):
    """A spec with one real number as its action."""
    box = gymnasium.spaces.Box(-2, 2, (1,), np.float32)
    return Spec(observation_space=box, action_space=box, horizon=horizon, episodes=1)


def still(spec):
    """A fallback that takes zero."""
    return dataclasses.replace(
        alarming(spec, p_values=[1.0]),
        act=lambda *_: Decision(action=jnp.zeros(1), extras={"log_probability": jnp.float32(0.0)}),
    )


def lived_by_hand(agent, *, reward=0.0, steps=HORIZON):
    """Decisions of an agent on a line, where nothing happens."""
    from quickstudy.protocol.records import Transition

    memory, decisions = agent.begin((), jax.random.key(0)), []
    act, adapt, seen = jax.jit(agent.act), jax.jit(agent.adapt), jnp.zeros(1)
    for slot in range(steps):
        decision = act((), memory, seen, jax.random.key(slot))
        decisions.append(jax.device_get(decision))
        step = Transition.of_one_step(seen, decision, reward=reward, successor=seen)
        memory = adapt((), memory, step, jax.random.key(slot))
    return decisions


def reasons(decisions):
    return [REASONS[int(one.extras["guard"]["reason"])] for one in decisions]


def run(agent, distribution, number=0, params=None):
    params = agent.init(jax.random.key(0)) if params is None else params
    task = distribution.sample("train", jax.random.key(number))
    return params, jax.jit(functools.partial(run_lifetime, agent, distribution))(params, task, jax.random.key(7))[0]


@functools.cache
def rl2(make):
    distribution = make()
    return distribution, algorithms.make("rl2", distribution.spec, hidden_size=8).agent


@pytest.mark.parametrize("make", [corridor, aiming])
def test_an_envelope_without_rules_changes_nothing(make):
    distribution, agent = rl2(make)
    params, plain = run(agent, distribution)
    guarded = run(with_envelope(agent, Envelope()), distribution, params=params)[1]
    assert_close(guarded.decision.action, plain.decision.action)
    for name in ("log_probability", "value"):
        assert_close(guarded.decision.extras[name], plain.decision.extras[name])
    assert "policy" in guarded.decision.extras
    assert set(np.asarray(guarded.decision.extras["guard"]["reason"])) == {0}


@pytest.mark.parametrize("rules", [{"mode": "fallback"}, {"holdback": 1.0}], ids=str)
def test_a_lifetime_of_the_fallback_is_that_of_the_baseline(rules):
    distribution = BUOY()
    agent = algorithms.make("rl2", distribution.spec, hidden_size=8).agent
    baseline = distribution.baselines["certainty equivalence"]()
    guarded = with_envelope(agent, Envelope(fallback="certainty equivalence", **rules), fallback=baseline)
    lifetime, meant = run(guarded, distribution)[1], run(baseline, distribution)[1]
    assert_close(lifetime.decision.action, meant.decision.action)
    assert np.asarray(lifetime.decision.extras["guard"]["fallback"]).all()
    assert np.isnan(lifetime.decision.extras["log_probability"]).all()


def test_hysteresis_by_hand():
    p_values = [1, 0.2, 0.005, 0.005, 0.5, 0.005, 0.005, 0.005, 0.5, 0.03, 0.5, 0.5]
    rule = SurpriseRule(p_value="step", enter_below=0.01, enter_steps=3, leave_above=0.1, leave_steps=2)
    agent = alarming(line(), p_values=p_values)
    decisions = lived_by_hand(with_envelope(agent, Envelope(fallback="still", surprise=rule), fallback=still(line())))
    meant = [*[False] * 7, True, True, True, True, False]
    assert [bool(one.extras["guard"]["fallback"]) for one in decisions] == meant
    assert [float(one.action[0]) for one in decisions] == [0.0 if fallback else 1.0 for fallback in meant]
    assert reasons(decisions) == ["surprise" if fallback else "nothing" for fallback in meant]


def test_a_p_value_that_is_not_a_number_is_low_and_a_threshold_of_one_is_for_ever():
    rule = SurpriseRule(p_value="step", enter_below=0.01, enter_steps=1, leave_above=1.0, leave_steps=1)
    agent = alarming(line(), p_values=[1, np.nan, 1, 1])
    decisions = lived_by_hand(with_envelope(agent, Envelope(fallback="still", surprise=rule), fallback=still(line())), steps=4)
    assert reasons(decisions) == ["nothing", "surprise", "surprise", "surprise"]


def test_bounds_and_changes_hold_for_agent_and_fallback():
    limits = ActionLimits(low=-1.0, high=(0.8,), largest_change=0.3)
    guarded = with_envelope(alarming(line(), p_values=[1.0], action=1.5), Envelope(actions=limits))
    actions = np.array([one.action[0] for one in lived_by_hand(guarded, steps=4)])
    np.testing.assert_allclose(actions, 0.8)
    rule = SurpriseRule(p_value="step", enter_below=0.01, enter_steps=1, leave_above=1.0)
    agent = alarming(line(), p_values=[1, 0.001], action=1.5)
    envelope = Envelope(fallback="still", surprise=rule, actions=limits)
    decisions = lived_by_hand(with_envelope(agent, envelope, fallback=still(line())), steps=5)
    np.testing.assert_allclose([one.action[0] for one in decisions], [0.8, 0.5, 0.2, 0, 0], atol=1e-6)
    # An action that was moved to a bound has no known probability; one that was not keeps its own.
    assert np.isnan([float(one.extras["log_probability"]) for one in decisions]).tolist() == [True, True, True, False, False]


def test_a_policy_within_bounds_keeps_its_changes():
    distribution, agent = rl2(aiming)
    limits = ActionLimits(low=(-0.2, 0.1), high=0.4, largest_change=0.2)
    lifetime = run(with_envelope(agent, Envelope(actions=limits)), distribution)[1]
    actions = np.asarray(lifetime.decision.action)
    assert (actions >= np.float32([-0.2, 0.1])).all()
    assert (actions <= np.float32(0.4)).all()
    assert np.abs(np.diff(actions, axis=0)).max() <= 0.2 + 1e-6
    assert np.isfinite(lifetime.decision.extras["log_probability"]).all()
    assert "policy" not in lifetime.decision.extras
    assert set(np.asarray(lifetime.decision.extras["guard"]["reason"])) <= {0, 1}


def test_explored_decisions_are_counted_and_end():
    distribution, agent = rl2(corridor)
    guarded = with_envelope(agent, Envelope(budget=Budget(explored_decisions=2)))
    counts = []
    for number in range(4):
        lifetime = run(guarded, distribution, number)[1]
        explored = np.asarray(lifetime.decision.extras["guard"]["explored"])[np.asarray(lifetime.valid)]
        counts.append(explored.sum())
        after = np.cumsum(explored) - explored >= 2
        certain = np.asarray(lifetime.decision.extras["log_probability"])[np.asarray(lifetime.valid)][after]
        np.testing.assert_allclose(certain, 0, atol=1e-6)
    assert max(counts) == 2


def test_a_spent_cost_gives_the_rest_to_the_fallback():
    agent = alarming(line(), p_values=[1.0])
    guarded = with_envelope(agent, Envelope(fallback="still", budget=Budget(cost=1.0)), fallback=still(line()))
    assert reasons(lived_by_hand(guarded, reward=-0.5, steps=4)) == ["nothing", "nothing", "cost spent", "cost spent"]
    assert reasons(lived_by_hand(guarded, reward=0.5, steps=4)) == ["nothing"] * 4


def test_an_action_that_is_not_finite_is_not_taken():
    guarded = with_envelope(alarming(line(), p_values=[1.0], action=np.nan), Envelope(fallback="still"), fallback=still(line()))
    (decision,) = lived_by_hand(guarded, steps=1)
    assert decision.action == 0
    assert guard_words(int(decision.extras["guard"]["reason"]), fallback=True) == {
        "acted": "fallback",
        "why": "action not finite",
    }


def test_the_key_of_a_lifetime_chooses_who_is_held_back():
    guarded = with_envelope(alarming(line(), p_values=[1.0]), Envelope(fallback="still", holdback=0.25), fallback=still(line()))
    held = jax.vmap(lambda key: guarded.begin((), key).held_back)(jax.random.split(jax.random.key(0), 4000))
    assert abs(float(held.mean()) - 0.25) < 0.03  # four standard errors


def test_a_frozen_agent_learns_nothing_and_its_fallback_does():
    distribution = BUOY()
    agent = distribution.baselines["certainty equivalence"]()
    guarded = with_envelope(agent, Envelope(mode="frozen", fallback="x"), fallback=agent)
    task = distribution.sample("train", jax.random.key(0))
    _, memory = run_lifetime(guarded, distribution, (), task, jax.random.key(1))
    begun = guarded.begin((), jax.random.key(1))
    assert_close(memory.agent, begun.agent, tolerance=0)
    assert not np.array_equal(*(jax.tree.leaves(one.fallback)[0] for one in (memory, begun)))


def test_masked_actions_stay_forbidden_and_guards_nest():
    distribution = shop()
    agent = algorithms.make("rl2", distribution.spec, hidden_size=8).agent
    limits = Envelope(exploration=ExplorationLimits(likeliest_at_least=0.3, each_at_least=0.1))
    lifetime = run(with_nonfinite_guard(with_envelope(agent, limits)), distribution)[1]
    allowed = np.asarray(distribution.spec.allowed(lifetime.observation))
    chosen = np.take_along_axis(allowed, np.asarray(lifetime.decision.action)[..., None], -1)[..., 0]
    assert not allowed.all()
    assert chosen[np.asarray(lifetime.valid)].all()
    assert (np.exp(lifetime.decision.extras["log_probability"]) >= 0.1 - 1e-6).all()


def test_a_gradient_agent_stays_finite_beside_a_fallback_of_unknown_probability():
    distribution = aiming(horizon=2, episodes=2)
    agent = algorithms.make("maml", distribution.spec, hidden_sizes=(8,), rollouts=1).agent
    fallback = dataclasses.replace(random_agent(distribution.spec), act=lambda *_: Decision(action=jnp.zeros(2), extras={}))
    guarded = with_envelope(agent, Envelope(mode="fallback", fallback="x"), fallback=fallback)
    params = agent.init(jax.random.key(0))
    task = distribution.sample("train", jax.random.key(0))
    _, memory = run_lifetime(guarded, distribution, params, task, jax.random.key(1))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(memory.agent) if jnp.issubdtype(leaf.dtype, jnp.floating))


def wrongly(name):
    """An agent and an envelope that do not fit, by what is wrong."""
    _, discrete = rl2(corridor)
    _, continuous = rl2(aiming)
    surprise = SurpriseRule(p_value="task")
    slow = algorithms.make("maml", aiming().spec, hidden_sizes=(8,), rollouts=1).agent
    baseline = random_agent(continuous.spec)
    exploring = ExplorationLimits(likeliest_at_least=0.9, each_at_least=0.2)
    return {
        "no fallback": (continuous, Envelope(fallback="random", holdback=0.5), {}),
        "fallback unasked": (continuous, Envelope(), {"fallback": baseline}),
        "other tasks": (continuous, Envelope(fallback="random"), {"fallback": random_agent(discrete.spec)}),
        "bounds of choices": (discrete, Envelope(actions=ActionLimits(low=0.0)), {}),
        "three numbers": (continuous, Envelope(actions=ActionLimits(low=(0.0, 0.0, 0.0))), {}),
        "no room": (continuous, Envelope(actions=ActionLimits(low=0.5, high=(1.0, 0.25))), {}),
        "slow": (slow, Envelope(actions=ActionLimits(largest_change=0.5)), {}),
        "exploration": (continuous, Envelope(exploration=ExplorationLimits(likeliest_at_least=0.5)), {}),
        "explored": (continuous, Envelope(budget=Budget(explored_decisions=3)), {}),
        "too much": (discrete, Envelope(exploration=exploring), {}),
        "no policy": (random_agent(discrete.spec), Envelope(exploration=ExplorationLimits(each_at_least=0.1)), {}),
        "no p-values": (continuous, Envelope(fallback="random", surprise=surprise), {"fallback": baseline}),
        "slow fallback": (continuous, Envelope(fallback="x"), {"fallback": slow}),
    }[name]


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("no fallback", UsageError, "names the fallback 'random', and none came"),
        ("fallback unasked", UsageError, "names the fallback None, and one came"),
        ("other tasks", SpecError, "the agent was made for other tasks"),
        ("bounds of choices", SpecError, "limits a Box of real numbers"),
        ("three numbers", SpecError, "one for each of the 2 numbers of an action; came 3"),
        ("no room", UsageError, "number 2 of an action must be at least 0.5 and at most 0.25"),
        ("slow", UsageError, "largest_change needs an agent that adapts at every step; this one adapts once in"),
        ("exploration", SpecError, "exploration in the envelope is for Discrete actions"),
        ("explored", SpecError, "budget.explored_decisions in the envelope is for Discrete actions"),
        ("too much", UsageError, "each_at_least must be at most 0.1 for 2 actions"),
        ("no policy", SpecError, "need an agent that gives its policy"),
        ("no p-values", UsageError, "needs the p-value 'task', and the agent's decisions have none. Fit a readout"),
        ("slow fallback", UsageError, "Name a baseline that adapts at every step"),
    ],
)
def test_rules_that_do_not_fit_are_refused(name, error, says):
    agent, envelope, more = wrongly(name)
    with pytest.raises(error, match=says):
        with_envelope(agent, envelope, **more)
