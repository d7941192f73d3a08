"""Rules for A/B tests by hand, and against the figures that are known of them."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from quickstudy import tasks
from quickstudy.baselines.decisions.allocation import discounted_allocation_agent, windowed_allocation_agent
from quickstudy.baselines.decisions.expected_loss import expected_loss_agent
from quickstudy.baselines.decisions.mixture_tests import confidence_sequence_agent, mixture_test_agent
from quickstudy.baselines.decisions.stopping import (
    fixed_size_agent,
    obrien_fleming_agent,
    peeking_agent,
    pocock_agent,
    rule_agent,
)
from quickstudy.baselines.decisions.stopping_programme import bayes_loss, stopping_programme_agent
from quickstudy.baselines.models.ab_test import Experiment, observed, standardised
from quickstudy.baselines.models.gate import after_look, agrees, closed_gate, distances, evidence
from quickstudy.baselines.models.lift_belief import expected_gap, lift_belief, ranked
from quickstudy.numerics.group_sequential import boundary_constant
from quickstudy.protocol.errors import SpecError
from quickstudy.rollout.compiled import run_lifetime

KEY = jax.random.key(0)
CONTINUE, KEEP, SHIP_1 = 0, 3, 4


@functools.cache
def distribution(objective="regret"):
    """The tests of docs/ab-tests.md: every lift differs from 0."""
    return tasks.make("ab-test", null_share=0.0, objective=objective)


def experiment(look, control, treatment, *, users=None):
    """A test of two arms at a look with these conversions; 500 users a look and arm unless given."""
    users = [500.0 * look] * 2 if users is None else users
    return Experiment(
        look=jnp.float32(look),
        left=jnp.float32(200_000 - sum(users)),
        users=jnp.float32(users),
        conversions=jnp.float32([control, treatment]),
        distance=jnp.zeros(1),
    )


def chosen(agent, shown):
    seen = observed(shown, looks=40)
    return int(agent.act((), agent.begin((), KEY), seen, KEY).action)


def test_z_by_hand():
    # Rates of 5 % and 6 % among 2,000 each: pooled 5.5 %, standard error √(0.055 · 0.945 · 2 / 2000) = 0.00721.
    assert float(standardised(experiment(4, 100, 120))[1]) == pytest.approx(0.01 / 0.0072093, rel=1e-4)


def test_stopping_rules_stop_where_z_is_beyond_their_boundary():
    spec = distribution().spec
    # At look 10, 5,000 users an arm and 250 conversions: one standard error is 21.8 conversions.
    bounds = {
        peeking_agent: 1.96,
        pocock_agent: boundary_at(0.0, 10),
        obrien_fleming_agent: boundary_at(0.5, 10),
    }
    for make, bound in bounds.items():
        agent = make(spec)
        for sign, ships in ((1, SHIP_1), (-1, KEEP)):
            inside, outside = (conversions_at(sign * z) for z in (bound - 0.05, bound + 0.05))
            assert chosen(agent, experiment(10, 250, inside)) == CONTINUE
            assert chosen(agent, experiment(10, 250, outside)) == ships
    fixed = fixed_size_agent(spec)
    assert chosen(fixed, experiment(10, 250, 400)) == CONTINUE
    assert [chosen(fixed, experiment(40, 1000, end)) for end in (1020, 1100, 900)] == [KEEP, SHIP_1, KEEP]
    one_side = obrien_fleming_agent(spec, both_sides=False)
    assert chosen(one_side, experiment(10, 250, 60)) == CONTINUE


def boundary_at(power, look):
    """The boundary of a rule at a look of 40."""
    return boundary_constant(40, 0.05, power) * (40 / look) ** power


def conversions_at(z):
    """Conversions of the treatment at look 10 at which z is this, by bisection on the formula."""
    low, high = 1.0, 1200.0
    for _ in range(60):
        middle = (low + high) / 2
        pooled = (250 + middle) / 10_000
        at = (middle - 250) / 5000 / math.sqrt(pooled * (1 - pooled) * 2 / 5000)
        low, high = (middle, high) if at < z else (low, middle)
    return round(low)


def test_a_fixed_size_follows_from_the_smallest_lift():
    # p = 0.05: 2 (1.96 + 0.84)² / (0.3² · 0.05 · 0.95) = 3,673 users of each arm, so it ends at the eighth look.
    agent = fixed_size_agent(distribution().spec, smallest_lift=0.3)
    assert chosen(agent, experiment(7, 175, 175)) == CONTINUE
    assert chosen(agent, experiment(8, 200, 200)) == KEEP


def test_the_mixture_ratio_by_hand():
    # d = 0.02, v = 2 · 0.06 · 0.94 / 2000 = 5.64e-5, τ = 0.15 · 0.06 · 0.94 = 0.00846: Λ = 0.664 · e^1.98 = 4.81 < 20.
    agent = mixture_test_agent(distribution().spec)
    assert chosen(agent, experiment(4, 100, 140)) == CONTINUE
    # d = 0.03: pooled 0.065, v = 6.08e-5, τ = 0.00912: Λ = 0.650 · e^4.27 = 46.7 ≥ 20.
    assert chosen(agent, experiment(4, 100, 160)) == SHIP_1
    assert chosen(agent, experiment(4, 160, 100)) == KEEP
    assert chosen(confidence_sequence_agent(distribution().spec), experiment(4, 100, 110)) == CONTINUE
    assert chosen(confidence_sequence_agent(distribution().spec), experiment(4, 100, 180)) == SHIP_1


def test_the_belief_is_that_of_a_sum_over_lifts():
    shown = experiment(10, 250, 290)
    belief = lift_belief(shown, lift_deviation=0.15, null_share=0.6)
    unit = 0.15 * (540.5 / 10_001) * (1 - 540.5 / 10_001)
    error = math.sqrt(0.054 * 0.946 * 2 / 5000) / unit
    lifts = np.linspace(-8, 8, 40_001)
    slab = 0.4 * stats.norm.pdf(lifts) * stats.norm.pdf(0.008 / unit, lifts, error) * (lifts[1] - lifts[0])
    null = 0.6 * stats.norm.pdf(0.008 / unit, 0, error)
    assert float(belief.null[0]) == pytest.approx(null / (null + slab.sum()), rel=1e-3)
    whole = slab / (null + slab.sum())
    best, loss = ranked(belief)
    assert int(best) == 1
    assert float(loss) == pytest.approx(unit * (whole * np.maximum(-lifts, 0)).sum(), rel=1e-3)
    assert float(expected_gap(belief)) == pytest.approx(unit * (whole * np.abs(lifts)).sum(), rel=1e-3)


def test_rules_with_a_prior_ship_what_is_clear_and_wait_for_what_is_not():
    for make in (expected_loss_agent, stopping_programme_agent):
        agent = make(distribution().spec, null_share=0.0)
        assert chosen(agent, experiment(10, 250, 330)) == SHIP_1
        assert chosen(agent, experiment(10, 330, 250)) == KEEP
        assert chosen(agent, experiment(2, 50, 52)) == CONTINUE
    assert chosen(stopping_programme_agent(distribution().spec), experiment(40, 1000, 1010)) == SHIP_1


def test_the_programme_of_one_look_ahead_by_hand():
    # One look of 100 users an arm and 200 users in all: shipping at once and going on both lose 100 E|δ| = 100 √(2/π).
    mean_size = math.sqrt(2 / math.pi)
    found = bayes_loss(1.0, looks=1, null_share=0.0, users_per_look=100, horizon_users=200)
    assert found == pytest.approx(100 * mean_size, rel=1e-2)
    # With 10,200 users in all, the look pays. It moves u to N(0, 1/2), and what is lost after it is (E|δ| - E|u|) / 2 a user.
    found = bayes_loss(1.0, looks=1, null_share=0.0, users_per_look=100, horizon_users=10_200)
    assert found == pytest.approx(100 * mean_size + 10_000 * mean_size * (1 - math.sqrt(0.5)) / 2, rel=1e-2)


def test_the_programme_is_for_two_arms():
    with pytest.raises(SpecError, match="2 arms"):
        stopping_programme_agent(tasks.make("ab-test", arms=3).spec)
    with pytest.raises(SpecError, match="spaces of ab-test"):
        rule_agent(tasks.make("bernoulli-bandit").spec, lambda experiment, key: jnp.zeros(5))


def test_the_gate_of_one_look_is_a_test_of_its_level():
    # 40 conversions in equal parts: variance 10, standard deviation 3.16; the boundary is 1.96 of them, or 26.2 conversions.
    for treatment, agreed in ((26, False), (27, True)):
        conversions = jnp.float32([40 - treatment, treatment])
        gate = after_look(closed_gate(1), jnp.full(2, 100.0), conversions, look=jnp.float32(1), looks=1)
        assert bool(agrees(gate)[0]) is agreed


def test_the_gate_is_a_supermartingale_and_stays_open():
    """The mean of u over all outcomes of a look, given the conversions of both arms, is at most u before."""
    users, gate = jnp.full(2, 500.0), closed_gate(1)
    gate = after_look(gate, users, jnp.float32([20, 30]), look=jnp.float32(1), looks=10)
    assert 0.05 < float(gate.chance[0]) < 1
    assert float(evidence(gate)[0]) == pytest.approx(float(gate.chance[0]) / 0.05)
    outcomes = np.arange(51)
    after = jax.vmap(lambda x: after_look(gate, users, jnp.stack([50 - x, x]), look=jnp.float32(2), looks=10).chance[0])
    chances = np.asarray(after(jnp.float32(outcomes)))
    mean = (stats.hypergeom.pmf(outcomes, 1000, 50, 500) * chances).sum()
    assert mean <= float(gate.chance[0])
    assert (np.diff(chances) >= 0).all()
    opened = after_look(gate, users, jnp.float32([0, 60]), look=jnp.float32(2), looks=10)
    assert bool(agrees(opened)[0])
    assert float(distances(opened)[0]) == 0.0
    assert bool(agrees(after_look(opened, users, jnp.float32([90, 0]), look=jnp.float32(3), looks=10))[0])
    unseen = after_look(closed_gate(1), users, jnp.zeros(2), look=jnp.float32(1), looks=10)
    assert float(unseen.chance[0]) == pytest.approx(0.05)


def test_rules_that_forget_count_what_they_say():
    task = distribution().sample("test", KEY)
    for make, expected in (
        (lambda spec: discounted_allocation_agent(spec, keep=0.5), lambda looks: 0.5 * looks[0] + looks[1]),
        (lambda spec: windowed_allocation_agent(spec, window=1), lambda looks: looks[1][None]),
    ):
        agent = make(distribution().spec)
        lifetime, _ = run_lifetime(agent, distribution(), (), task, KEY)
        first = jax.tree.map(lambda leaf: leaf[:1], lifetime)
        memory = agent.adapt((), agent.begin((), KEY), first, KEY)
        seen = np.stack([np.asarray(x)[0, 4:8] for x in (first.observation, first.outcome.observation)])
        counts = np.stack([seen[0], seen[1] - seen[0]]).reshape(2, 2, 2) * np.float32([[10_000], [500]])
        np.testing.assert_allclose(memory, expected(counts), rtol=1e-4)


# Regret on tests of `test` without nulls, from simulations by other code; their standard errors are about 1.
KNOWN = {"fixed size": 189, "peeking": 63, "O'Brien-Fleming": 81, "mixture SPRT": 81, "expected loss": 55.5}


@pytest.mark.slow
def test_rules_lose_what_is_known_of_them():
    count, found = 3000, {}
    drawn = distribution().sample_tasks("test", jax.random.key(3), tasks=count)
    for name, known in KNOWN.items():
        agent = distribution().baselines[name]()
        run = jax.jit(
            jax.vmap(lambda task, key, a=agent: run_lifetime(a, distribution(), (), task, key)[0].outcome.reward.sum())
        )
        found[name] = -np.asarray(run(drawn, jax.random.split(KEY, count)))
        error = found[name].std() / count**0.5
        print(f"{name:20} {found[name].mean():6.1f} ± {error:.1f}   known {known}")
        assert abs(found[name].mean() - known) < 4 * math.hypot(error, 1.0), name
    ahead = found["peeking"] - found["expected loss"]
    assert ahead.mean() > 2 * ahead.std() / count**0.5


@pytest.mark.slow
def test_no_rule_ships_more_than_five_in_a_hundred_without_a_lift():
    """Peeking ships whenever it may: with the gate, the rate of false ships keeps its level."""
    count, inference = 4000, distribution("inference")
    drawn = inference.sample_tasks("ood:null", jax.random.key(4), tasks=count)
    eager = rule_agent(inference.spec, lambda experiment, key: jnp.float32([1, 0, 0, 0, 2]))
    run = jax.jit(jax.vmap(lambda task, key: run_lifetime(eager, inference, (), task, key)[0]))
    lifetimes = run(drawn, jax.random.split(KEY, count))
    last = np.asarray(lifetimes.valid).sum(1) - 1
    shipped = np.asarray(lifetimes.decision.action)[np.arange(count), last] == SHIP_1
    print(f"false ships {shipped.mean():.4f}")
    assert shipped.mean() < 0.05 + 3 * math.sqrt(0.05 * 0.95 / count)
    assert shipped.mean() > 0.02  # the gate is no wall
