"""How long one decision takes: an agent that acts and adapts one step at a time, in Python, through `quickstudy.Actor`.

    python benchmarks/latency.py

Microseconds from the call of `act` until the action is a number in Python, at batch 1: with the network's arithmetic, the
sampling of the action, and all that crosses between Python and the compiled program. `crossing` is the same for a compiled
program that does nothing, which no agent can be faster than. Each run adds a line to `benchmarks/latency.jsonl`.
"""

import dataclasses
import datetime
import json
import os
import platform
import time
from pathlib import Path

import jax
import numpy as np
import tyro

import quickstudy as qs

HISTORY = Path(__file__).with_name("latency.jsonl")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is timed."""

    cells: tuple[str, ...] = ("gru", "lstm", "linear")
    hidden_sizes: tuple[int, ...] = (64, 256)
    decisions: int = 10_000
    """Timed decisions of each agent, after a tenth as many that are not timed."""


def microseconds(function, *, calls):
    """Median and 99th percentile of a call."""
    taken = []
    for number in range(calls + calls // 10):
        began = time.perf_counter()
        function()
        if number >= calls // 10:
            taken.append(time.perf_counter() - began)
    return {"median": round(1e6 * float(np.median(taken)), 1), "p99": round(1e6 * float(np.percentile(taken, 99)), 1)}


def time_actor(cell, settings, hidden_size):
    """One agent on bandits of five arms."""
    spec = qs.tasks.make("bernoulli-bandit", arms=5, pulls=100).spec
    agent = qs.algorithms.make("rl2", spec, cell=cell, hidden_size=hidden_size).agent
    actor = qs.Actor(agent, agent.init(jax.random.key(0)), endless=True)
    taken = []
    for _ in range(settings.decisions + settings.decisions // 10):
        began = time.perf_counter()
        actor.act(0)
        taken.append(time.perf_counter() - began)
        actor.observe(reward=1.0, observation=0)
    taken = 1e6 * np.asarray(taken[settings.decisions // 10 :])
    return {"median": round(float(np.median(taken)), 1), "p99": round(float(np.percentile(taken, 99)), 1)}


def time_crossing(settings):
    """A compiled program that returns one of the numbers it is given."""
    program, given = jax.jit(lambda numbers: numbers[0]), np.zeros(8, np.int32)
    return microseconds(lambda: int(np.asarray(program(given))), calls=settings.decisions)


def main():
    """Times everything, prints it, and adds it to the history."""
    settings = tyro.cli(Settings, description=__doc__)
    results = {"crossing": time_crossing(settings)}
    for hidden_size in settings.hidden_sizes:
        for cell in settings.cells:
            results[f"{cell} {hidden_size}"] = time_actor(cell, settings, hidden_size)
    print(json.dumps(results, indent=2))
    line = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
        "jax": jax.__version__,
        "microseconds": results,
    }
    with HISTORY.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
