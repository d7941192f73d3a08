"""A lifetime to draw; no agent has lived it."""

import numpy as np

from quickstudy.evaluation.example_lifetime import ExampleLifetime


def rows(steps, numbers):
    return tuple(map(tuple, np.random.default_rng(0).uniform(0, 1, (steps, numbers)).tolist()))


STEPS = 12
LIFETIME = ExampleLifetime(
    agent="rl2",
    split="test",
    task={"probability": "0.2 0.8"},
    horizon=4,
    choices=2,
    slots=tuple(range(STEPS)),
    actions=tuple((float(step % 2),) for step in range(STEPS)),
    rewards=(1.0,) * STEPS,
    beliefs={"task": rows(STEPS, 2)},
    deviations={"task": rows(STEPS, 2)},
    probabilities=rows(STEPS, 2),
)
