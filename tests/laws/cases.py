"""Every agent that must keep the laws: all baselines of all registered distributions, all registered algorithms, and toys.

A new registered name joins by itself, with its default settings unless small ones are named here.
"""

import functools
import importlib.util

import jax
import pytest

from laws.by_hand import compiled
from laws.hidden_goal_problem import problem_of_hidden_goal
from laws.toy_agents import tally_agent, trace_agent
from laws.toy_distributions import aiming, corridor, shown_as_image, shown_as_symbols
from quickstudy import algorithms, tasks
from quickstudy.baselines.mdps.bayes_adaptive import bayes_adaptive_agent, sampled_plan_agent
from quickstudy.baselines.models.hidden_goal import HiddenGoal
from quickstudy.baselines.random import random_agent
from quickstudy.evaluation.belief_probe.fit import ReadoutConfig, fit_readout
from quickstudy.evaluation.belief_probe.probe import with_readout
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.rollout.sensor_faults import with_sensor_faults

SUITE_MODULES = {"locomotion": "mujoco", "meta_world": "metaworld", "procgen": "envpool", "xland": "xminigrid"}
PURE = [name for name in tasks.DISTRIBUTIONS if name not in tasks.SUITES]
SMALL_DISTRIBUTIONS = {
    "arrival-mdp": {"states": 3, "horizon": 2, "episodes": 2},
    "bernoulli-bandit": {"arms": 3, "pulls": 6},
    "cart-pole": {"horizon": 4, "episodes": 2},
    "dark-room": {"size": 3, "horizon": 4, "episodes": 2},
    "dependent-bandit": {"pulls": 6},
    "drifting-control": {"horizon": 4, "episodes": 2},
    "grid-navigation": {"size": 3, "horizon": 4, "episodes": 2},
    "half-circle": {"horizon": 8, "episodes": 2},
    "low-rank-bandit": {"arms": 3, "size": 4, "pulls": 6},
    "pendulum": {"horizon": 4, "episodes": 2},
    "point-navigation": {"horizon": 8, "episodes": 2},
    "tabular-mdp": {"states": 3, "actions": 2, "horizon": 3, "episodes": 4},
    "metaworld-ml1": {"horizon": 8, "episodes": 2},
    "metaworld-ml10": {"horizon": 8, "episodes": 2},
    "metaworld-ml45": {"horizon": 8, "episodes": 2},
    "procgen": {"horizon": 8, "episodes": 2},
    "xland-minigrid": {"size": 7, "horizon": 6, "episodes": 2, "rulesets": 10_000},
}
SMALL_ALGORITHMS = {
    "energy": [{"hidden_size": 8, "ridges": 4, "particles": 4, "witness_sizes": (8,), "moments": 2}],
    "hybrid": [{"hidden_size": 8}],
    "maml": [{"hidden_sizes": (8,), "rollouts": 1}, {"hidden_sizes": (8,), "rollouts": 1, "adapts": "context"}],
    "multi-task": [{"hidden_sizes": (8,), "rollouts": 1, "epochs": 2, "minibatches": 1}],
    "pearl": [{"hidden_sizes": (8,), "lifetimes": 4, "room": 8, "gradient_steps": 2, "replayed": 4, "steps": 4}],
    "promp": [{"hidden_sizes": (8,), "rollouts": 1}],
    "reptile": [{"hidden_sizes": (8,), "rollouts": 1}],
    "sparse-maml": [{"hidden_sizes": (8, 8), "rollouts": 1, "adapted_fraction": 0.3}],
    "varibad": [{"hidden_size": 8, "decoder_size": 8, "decoded_beliefs": 2, "decodes": "both"}],
    "rl2": [
        {"cell": "gru", "hidden_size": 8},
        {"cell": "lstm", "hidden_size": 8},
        {"cell": "linear", "hidden_size": 8},
        {"cell": "gru", "hidden_size": 8, "reward_change": True},
    ],
}
EPISODIC = ("corridor", "aiming")
TOYS = {"maml": EPISODIC, "multi-task": EPISODIC, "sparse-maml": EPISODIC, "promp": ("corridor",), "reptile": ("corridor",)}
"""Inner steps on single pulls are refused; of agents that are another algorithm's, looked at there, one toy is enough."""
LIFETIMES = 6


def with_suites():
    """Every registered distribution; those of suites are marked so, and skipped where the suite is not installed."""
    return [*PURE, *(pytest.param(name, marks=[pytest.mark.suites, needs(name)]) for name in tasks.SUITES)]


def needs(name):
    """Skips a distribution whose suite is not installed."""
    module = next(module for part, module in SUITE_MODULES.items() if part in tasks.SUITES[name])
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


def small(name):
    """A registered distribution, in its smallest form."""
    return tasks.make(name, **SMALL_DISTRIBUTIONS.get(name, {}))


def read_out(spec):
    """An agent with a readout that is hardly fitted."""
    distribution = small("drifting-control")
    agent = distribution.baselines["certainty equivalence"]()
    hardly = ReadoutConfig(tasks=40, updates=1, batch=8, hidden_sizes=(4,))
    return with_readout(agent, fit_readout(agent, (), distribution, hardly))


def hidden_goal_of(spec):
    """The problem of the smallest grid, as one of finitely many hypotheses."""
    lengths = {"horizon": spec.horizon, "episodes": spec.episodes}
    return problem_of_hidden_goal(HiddenGoal(size=3, start=0, goals=(2, 5, 6, 7, 8), reward_elsewhere=-0.1, **lengths))


def agent_makers():
    """Pairs of functions by id: one makes the distribution, one the agent for it."""
    makers, seen = {}, set()
    for name in PURE:
        for baseline, make in small(name).baselines.items():
            # A method that several distributions offer is looked at once.
            kind = getattr(make, "func", make)
            if kind not in seen:
                makers[f"{baseline} on {name}"] = (functools.partial(small, name), lambda spec, make=make: make())
            seen.add(kind)
    makers["random on aiming"] = (aiming, random_agent)
    # Discrete and Box, episodes that end early, many steps, one step: what a meta-trained agent can meet.
    toys = {"corridor": corridor, "aiming": aiming, "bandit": functools.partial(small, "bernoulli-bandit")}
    for toy, distribution in toys.items():
        for name in algorithms.ALGORITHMS:
            for config in SMALL_ALGORITHMS.get(name, [{}]) if toy in TOYS.get(name, toys) else []:
                label = " ".join([name, *(str(value) for value in config.values()), "on", toy])
                makers[label] = (
                    distribution,
                    lambda spec, name=name, config=config: algorithms.make(name, spec, **config).agent,
                )
    # Observations that an encoder reads first.
    for toy, shown in {"symbols": shown_as_symbols, "images": shown_as_image}.items():
        for name in ("rl2", "varibad", "hybrid"):
            config = SMALL_ALGORITHMS[name][0] | {"image_channels": (2, 2, 2)}
            make = lambda spec, name=name, config=config: algorithms.make(name, spec, **config).agent  # noqa: E731
            makers[f"{name} on a corridor of {toy}"] = (shown, make)
    for kind in (bayes_adaptive_agent, sampled_plan_agent):
        grid = functools.partial(small, "grid-navigation")
        makers[f"{kind.__name__} of hypotheses on grid-navigation"] = (grid, lambda spec, kind=kind: kind(hidden_goal_of(spec)))
    # Agents within agents: their memory holds the other's.
    makers["quarantined tally_agent every 4 on corridor"] = (
        corridor,
        lambda spec: with_nonfinite_guard(tally_agent(spec, cadence=4)),
    )
    makers["impaired trace_agent every 2 on corridor"] = (
        corridor,
        lambda spec: with_sensor_faults(trace_agent(spec, cadence=2), missing=0.5),
    )
    makers["readout of certainty equivalence on drifting-control"] = (functools.partial(small, "drifting-control"), read_out)
    # Within an episode, as long as one, and two episodes long.
    for kind, cadences in ((tally_agent, (1, 4)), (trace_agent, (1, 2, 8))):
        for cadence in cadences:
            makers[f"{kind.__name__} every {cadence} on corridor"] = (corridor, functools.partial(kind, cadence=cadence))
    return makers


MAKERS = agent_makers()


class Case:
    """An agent, its distribution, and some lifetimes that it lived, each thing made once."""

    def __init__(self, name):
        make_distribution, make_agent = MAKERS[name]
        self.distribution = make_distribution()
        self.agent = make_agent(self.distribution.spec)
        self.params = jax.jit(self.agent.init)(jax.random.key(1))
        self.keys = jax.random.split(jax.random.key(2), LIFETIMES)
        self.tasks = self.distribution.sample_tasks("train", jax.random.key(3), tasks=LIFETIMES)

    @functools.cached_property
    def live_all(self):
        """The driver over many tasks, compiled: `(params, tasks, keys) -> (lifetimes, memories)`."""
        one = functools.partial(run_lifetime, self.agent, self.distribution)
        return jax.jit(jax.vmap(one, (None, 0, 0)))

    @functools.cached_property
    def host(self):
        """The agent and the distribution with every function compiled for itself."""
        return compiled(self.agent, ("begin", "act", "adapt", "step", "unroll")), compiled(self.distribution, ("reset", "step"))

    @functools.cached_property
    def lived(self):
        return self.live_all(self.params, self.tasks, self.keys)

    def one(self, number=0):
        """Task, key, lifetime and last memory of one lifetime."""
        pick = lambda tree: jax.tree.map(lambda leaf: leaf[number], tree)  # noqa: E731
        return pick(self.tasks), self.keys[number], pick(self.lived[0]), pick(self.lived[1])


@functools.cache
def case(name):
    return Case(name)
