"""Rules of the assistant: the posterior against a sum over all users, and what each rule does next."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from quickstudy import tasks
from quickstudy.baselines.decisions.assistant_belief import UserModel
from quickstudy.baselines.decisions.assistant_posterior import (
    expected_value_agent,
    information_agent,
    own_information_agent,
    wish_sampling_agent,
)
from quickstudy.baselines.decisions.assistant_rules import (
    always_ask_agent,
    always_silent_agent,
    ask_first_agent,
    situation_ucb_agent,
)
from quickstudy.baselines.models.assistant import (
    ASK,
    DISMISSED,
    KEPT,
    NOTHING_SEEN,
    SILENT,
    UNDONE,
    WISH,
    Assistant,
    Moment,
    expected_values,
    observed,
)
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Decision, Outcome, Transition

KEY = jax.random.key(0)
MAKERS = [
    always_silent_agent,
    always_ask_agent,
    ask_first_agent,
    situation_ucb_agent,
    wish_sampling_agent,
    expected_value_agent,
    own_information_agent,
    information_agent,
]
# Two situations and two things to do. Cluster 0 likes 1 and 2; cluster 1 likes 2 and to be left alone.
SMALL = Assistant(situations=2, actions=2, clusters=2, steps=5, own=0.3, drift_chance=0.6, favourites=(1, 2, 2, 0))
LONG = Assistant(situations=2, actions=2, clusters=2, steps=60, drift_chance=0.0, favourites=(1, 2, 2, 0))
COSTLY = dataclasses.replace(LONG, steady=1.0, wrong=3.0, question=1.0, patience_low=0.9, steps=10)
STEPS = 5
# Situation, action, and what came of it.
SEEN = [(0, ASK, WISH + 1), (0, 2, UNDONE), (1, SILENT, NOTHING_SEEN), (1, ASK, DISMISSED)]


def moment(step, situation, *, rest=3, came=-1):
    return Moment(step=jnp.int32(step), rest=jnp.int32(rest), situation=jnp.int32(situation), came=jnp.int32(came))


def evidence_of(model, seen):
    evidence = model.begin()
    for step, (situation, action, came) in enumerate(seen):
        evidence = model.after(evidence, moment(step, situation), jnp.int32(action), jnp.int32(came))
    return evidence


def experience(seen, prior, *, rewards=()):
    """These moments as a recorded part of a lifetime of `STEPS` slots; what follows them did not happen."""
    unseen = STEPS - len(seen)
    padded = [*seen, *[(0, 2, KEPT)] * unseen]
    before = [observed(moment(step, situation), prior) for step, (situation, _, _) in enumerate(padded)]
    after = [observed(moment(step + 1, 0, came=came), prior) for step, (_, _, came) in enumerate(padded)]
    no = jnp.zeros(STEPS, bool)
    return Transition(
        observation=jnp.stack(before),
        decision=Decision(action=jnp.int32([action for _, action, _ in padded]), extras={}),
        outcome=Outcome(
            observation=jnp.stack(after),
            reward=jnp.float32([*rewards, *[0.0] * (len(seen) - len(rewards)), *[np.nan] * unseen]),
            terminated=no,
            truncated=no,
        ),
        episode=jnp.zeros(STEPS, jnp.int32),
        valid=jnp.arange(STEPS) < len(seen),
    )


@functools.cache
def runner(make, prior):
    """A compiled function of experience and an observation: the memory after the one, and the decision at the other."""
    agent = make(prior.spec, prior=prior)

    def run(lived, now):
        memory = agent.adapt((), agent.begin((), KEY), lived, KEY)
        return memory, agent.act((), memory, now, KEY)

    return jax.jit(run, compiler_options={"xla_backend_optimization_level": 0})


def chosen(make, seen, situation, *, prior=LONG, rewards=()):
    now = observed(moment(len(seen), situation), prior)
    return runner(make, prior)(experience(seen, prior, rewards=rewards), now)[1]


def all_users(prior, outside):
    """Every favourites of one user with their probability."""
    rows = prior.cluster_favourites
    for favourites in itertools.product(range(prior.wishes), repeat=prior.situations):
        inside = [np.prod([0.3 / 3 + 0.7 * (f == row[c]) for c, f in enumerate(favourites)]) for row in rows]
        yield favourites, (1 - outside) * np.mean(inside) + outside / prior.wishes**prior.situations


def likelihood(prior, favourite, action, came):
    wish = lambda w: 0.8 if w == favourite else 0.1  # noqa: E731
    if came >= WISH and action == ASK:
        return 0.95 * wish(came - WISH) + 0.05 / 2 * (1 - wish(came - WISH))
    if came in (KEPT, UNDONE):
        return wish(action - 1) if came == KEPT else 1 - wish(action - 1)
    return wish(came - WISH) if came >= WISH else 1.0


@pytest.mark.parametrize("outside", [0.0, 0.4, 1.0])
def test_the_posterior_is_a_sum_over_all_users_and_times_of_a_change(outside):
    seen = [*SEEN[:2], (1, SILENT, WISH), SEEN[3]]
    table = np.zeros((2, 3))
    users = list(all_users(SMALL, outside))
    changes = [(step, 0.6 / 4) for step in range(1, 5)] + [(5, 0.4)]
    for (first, p), (second, q), (change, chance) in itertools.product(users, users, changes):
        weight = p * q * chance
        for step, (situation, action, came) in enumerate(seen):
            weight *= likelihood(SMALL, (second if step >= change else first)[situation], action, came)
        for situation, favourite in enumerate(second if len(seen) >= change else first):
            table[situation, favourite] += weight
    model = UserModel(SMALL, outside=outside)
    found = model.posterior(evidence_of(model, seen))
    np.testing.assert_allclose(found.mean, table / table.sum(1, keepdims=True), atol=1e-5)


@pytest.mark.slow
def test_few_times_of_a_change_are_close_to_all():
    prior = Assistant(steps=40, drift_chance=0.6)
    seen = [(0, 2, KEPT)] * 10 + [(0, 2, UNDONE)] * 6
    found = [m.posterior(evidence_of(m, seen)).mean for m in (UserModel(prior), UserModel(prior, changes=39))]
    np.testing.assert_allclose(found[0], found[1], atol=0.1)
    assert float(found[0][0, 1]) < 0.1  # a single user without a change would like it still


def test_one_more_row_is_one_more_moment():
    model = UserModel(SMALL)
    evidence = evidence_of(model, SEEN)
    rows = jnp.stack([model.log_seen[2], model.log_undone[1]])
    tables = model.after_each(evidence, model.posterior(evidence), jnp.int32(1), rows)
    # A row is added to what was seen, and no moment passes.
    for table, row in zip(tables, rows, strict=True):
        known = (model.times <= evidence.step).astype(jnp.float32)
        added = evidence.likelihood.at[:, 1].add(known[:, None] * row[None])
        more = model.posterior(type(evidence)(**{**vars(evidence), "likelihood": added})).mean
        np.testing.assert_allclose(table, more, atol=1e-5)


def test_patience_is_learned_from_answers_alone():
    model = UserModel(LONG)
    grid = np.linspace(0.3, 0.95, 15)
    weights = grid * (1 - grid) * (1 - 0.5 * grid)
    evidence = model.begin()
    for rest, came in ((3, WISH), (3, DISMISSED), (0, DISMISSED)):
        evidence = model.after(evidence, moment(0, 0, rest=rest), jnp.int32(ASK), jnp.int32(came))
    evidence = model.after(evidence, moment(0, 0), jnp.int32(2), jnp.int32(KEPT))
    assert float(model.patience(evidence).mean[0]) == pytest.approx((weights * grid).sum() / weights.sum(), rel=1e-4)


def test_what_the_rules_do_next():
    kept = [(0, 2, KEPT)] * 4
    assert int(chosen(always_silent_agent, kept, 0).action) == SILENT
    assert int(chosen(always_ask_agent, kept, 0).action) == ASK
    # An answer in one situation, none in the other; then three dismissed questions in a row.
    assert int(chosen(ask_first_agent, [(0, ASK, WISH + 2)], 0).action) == 3
    assert int(chosen(ask_first_agent, [(0, ASK, WISH + 2)], 1).action) == ASK
    assert int(chosen(ask_first_agent, [(0, ASK, WISH)], 0).action) == SILENT
    assert int(chosen(ask_first_agent, [(0, ASK, WISH + 2), (0, 3, UNDONE)], 0).action) == ASK
    assert int(chosen(ask_first_agent, [(1, ASK, DISMISSED)] * 3, 0).action) == SILENT
    # What was kept is done again. By the clusters, the same user likes 2 in the other situation.
    for make in (expected_value_agent, information_agent, wish_sampling_agent):
        assert int(chosen(make, kept, 0).action) == 2, make
    assert int(chosen(expected_value_agent, kept, 1).action) == 3
    assert int(chosen(own_information_agent, kept, 1).action) == ASK
    # Nothing is known, and to act costs much if it is wrong. A question costs more than it earns now, but it teaches.
    assert int(chosen(expected_value_agent, [], 0, prior=COSTLY).action) == SILENT
    assert int(chosen(information_agent, [], 0, prior=COSTLY).action) == ASK


def test_linucb_by_hand():
    # After one reward of 1 for action 2 in situation 0: 1/2 + 0.5 √(1/2) = 0.85 against 0.5 for the others, and 0.5 elsewhere.
    one = [(0, 2, KEPT)]
    assert int(chosen(situation_ucb_agent, one, 0, rewards=[1.0]).action) == 2
    assert int(chosen(situation_ucb_agent, one, 1, rewards=[1.0]).action) == 0
    assert int(chosen(situation_ucb_agent, [(0, 0, NOTHING_SEEN)], 0, rewards=[0.0]).action) == 1


def test_at_the_last_moment_nothing_is_asked_in_order_to_learn():
    agents = [make(SMALL.spec, prior=SMALL) for make in (information_agent, expected_value_agent)]
    model = UserModel(SMALL)
    evidence = evidence_of(model, SEEN)
    wishes = model.posterior(evidence).mean[1] @ model.wish_chances
    known = expected_values(SMALL, wishes, model.patience(evidence).mean[0])
    for agent in agents:
        last = agent.act((), evidence, observed(moment(4, 1), SMALL), KEY)
        np.testing.assert_allclose(last.extras["scores"], known, atol=1e-6)


def test_the_belief_has_the_names_of_the_tasks():
    belief = chosen(expected_value_agent, SEEN, 0).extras["belief"]
    task = tasks.make("assistant", situations=2, actions=2).sample_tasks("test", KEY, tasks=1)
    described = tasks.make("assistant").describe(jax.tree.map(lambda leaf: leaf[0], task))
    assert set(belief.parts) <= set(described)
    assert float(belief.mean["favourite in situation 1"].sum()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("make", MAKERS)
def test_what_did_not_happen_teaches_nothing(make):
    run, now = runner(make, LONG), observed(moment(2, 0), LONG)
    two = experience(SEEN[:2], LONG, rewards=[1.0, np.nan])
    after, _ = run(dataclasses.replace(two, valid=jnp.arange(STEPS) < 1), now)
    only, _ = run(experience(SEEN[:1], LONG, rewards=[1.0]), now)
    for one, other in zip(jax.tree.leaves(after), jax.tree.leaves(only), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("make", MAKERS)
def test_rules_refuse_other_tasks(make):
    with pytest.raises(SpecError, match="an assistant needs actions"):
        make(tasks.make("bernoulli-bandit").spec)
    with pytest.raises(SpecError, match="Give the prior"):
        make(Assistant(situations=3, actions=2).spec, prior=SMALL)
