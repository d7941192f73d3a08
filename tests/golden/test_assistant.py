"""Returns of the rules of the assistant, and its ceiling, against an independent simulation.

The simulation is plain NumPy, in float64, and shares no code with the package but the favourites of the clusters. It ran on
users and moments of its own: 4,000 users of the plain rules, and 100 to 600 of the rules with a posterior.
"""

import jax
import numpy as np
import pytest

from quickstudy.rollout.compiled import run_lifetime
from quickstudy.tasks.decisions.assistant import assistant

# Mean of 60 moments and its standard error, by split.
INDEPENDENT = {
    "test": {
        "ceiling": (28.999, 0.084),
        "always ask": (-16.212, 0.092),
        "ask first": (7.303, 0.136),
        "situation LinUCB": (-4.124, 0.145),
        "expected value": (11.623, 0.398),
        "value of information": (19.052, 0.774),
    },
    "ood:outside-clusters": {
        "ceiling": (29.664, 0.083),
        "always ask": (-15.917, 0.092),
        "ask first": (7.455, 0.138),
        "situation LinUCB": (-4.447, 0.147),
        "expected value": (2.230, 0.284),
        "careful value of information": (8.740, 1.039),
    },
    "ood:inverted": {"always ask": (-24.591, 0.056), "ask first": (-1.513, 0.068), "situation LinUCB": (-20.685, 0.090)},
    "ood:two-people": {"always ask": (-16.163, 0.089), "ask first": (-1.698, 0.077), "situation LinUCB": (-13.698, 0.104)},
    "ood:impatient": {"always ask": (-27.795, 0.033), "ask first": (3.897, 0.091), "situation LinUCB": (-4.798, 0.151)},
    "ood:fickle": {"always ask": (-16.259, 0.086), "ask first": (-5.442, 0.046), "situation LinUCB": (-18.636, 0.066)},
}


def runner_of(distribution, names):
    """A function of users and keys: what each rule earned of each user, with common random numbers, and the ceiling."""
    agents = {name: distribution.baselines[name]() for name in names}

    def play(task, key):
        lifetimes = {name: run_lifetime(agent, distribution, (), task, key)[0] for name, agent in agents.items()}
        return {name: one.outcome.reward.sum() for name, one in lifetimes.items()} | {"ceiling": distribution.ceiling(task)}

    # Compiling takes longer than running here, and half as long at this level.
    return jax.jit(jax.vmap(play), compiler_options={"xla_backend_optimization_level": 1})


def check(distribution, run, splits, *, users):
    keys = jax.random.split(jax.random.key(0), users)
    for split in splits:
        measured = run(distribution.sample_tasks(split, jax.random.key(3), tasks=users), keys)
        for name, (known, known_error) in INDEPENDENT[split].items():
            if name in measured:
                values = np.asarray(measured[name])
                error = np.hypot(values.std(ddof=1) / users**0.5, known_error)
                print(f"{split:22} {name:30} {values.mean():6.2f} ± {error:.2f}   independent {known}")
                assert abs(values.mean() - known) < 4 * error, (split, name)


@pytest.mark.slow
def test_plain_rules_and_the_ceiling():
    distribution = assistant()
    run = runner_of(distribution, ("always ask", "ask first", "situation LinUCB"))
    check(distribution, run, INDEPENDENT, users=1000)


@pytest.mark.slow
def test_rules_with_a_posterior():
    distribution = assistant()
    names = ("expected value", "value of information", "careful value of information")
    run = runner_of(distribution, names)
    check(distribution, run, ("test", "ood:outside-clusters"), users=200)
