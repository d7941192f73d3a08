"""Training throughput on XLand-MiniGrid: RL² on the pure driver, beside the suite's environment alone.

    python benchmarks/xland_throughput.py

Environment steps per second of a whole update (living and learning, compilation excluded), of living alone with the same agent,
and of the environment under random actions, in turns in one process on the whole machine; the best of all turns counts, so that
other work on the machine disturbs all alike. Steps are slots of lifetimes: after an episode that ended early the environment
is still stepped. `steps_per_core_second` counts the time that cores worked for this program, whatever else they did; a machine
of two cores without other work makes up to twice as many. Each run adds a line to `benchmarks/xland.jsonl`.
"""

import dataclasses
import datetime
import json
import os
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import tyro
from jax.sharding import PartitionSpec as P

from quickstudy import algorithms, tasks, use_whole_machine
from quickstudy.rollout.compiled import run_lifetime
from quickstudy.training.device_mesh import device_mesh
from quickstudy.training.sources import source_for
from quickstudy.training.update import initial_state, update_program

HISTORY = Path(__file__).with_name("xland.jsonl")
SUITES_OWN = {"128 environments": 6_300, "512 environments": 2_200}
"""Steps per second of the suite's own trainer, the same size of memory, on two cores."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is timed."""

    hidden_size: int = 64
    lifetimes: int = 256
    epochs: int = 1
    """The suite's own trainer passes once over what was lived."""
    minibatches: int = 16
    horizon: int = 80
    episodes: int = 4
    turns: int = 5
    only: str = ""
    """Time one of these alone: update, living, environment."""


def programs(settings):
    """By name, a function without arguments that does everything once."""
    distribution = tasks.make("xland-minigrid", horizon=settings.horizon, episodes=settings.episodes)
    shape = {name: getattr(settings, name) for name in ("hidden_size", "lifetimes", "epochs", "minibatches")}
    algorithm = algorithms.make("rl2", distribution.spec, **shape)
    roots = jax.vmap(jax.random.key)(jnp.arange(1))
    source = source_for(algorithm, distribution, tasks=1)
    box = [initial_state(algorithm, source, roots)]
    params = jax.tree.map(lambda leaf: jnp.array(leaf[0]), algorithm.params(box[0].train))
    update = update_program(algorithm, source)
    random = distribution.baselines["random"]()

    def learn():
        box[0], metrics = update(box[0], (), roots, jnp.uint32(0), jnp.float32(0))
        return metrics

    keys = jax.random.split(jax.random.key(1), settings.lifetimes)
    return {
        "update": learn,
        "living": living(algorithm, algorithm.agent, distribution, params, keys),
        "environment": living(algorithm, random, distribution, (), keys),
    }


def living(algorithm, agent, distribution, params, keys):
    """All lifetimes lived once, shared among the devices as in an update; only their returns leave the program."""

    def one(key):
        task = distribution.sample("train", key)
        return run_lifetime(agent, distribution, params, task, key)[0].outcome.reward.sum()

    mesh = device_mesh(algorithm)
    axis = P("lifetimes")
    # The suite's branches mix what differs between devices and what does not.
    program = jax.jit(jax.shard_map(jax.vmap(one), mesh=mesh, in_specs=axis, out_specs=axis, check_vma=False))
    return lambda: program(keys)


def main():
    """Times everything in turns, prints it, and adds it to the history."""
    settings = tyro.cli(Settings, description=__doc__)
    use_whole_machine()
    timed = {name: program for name, program in programs(settings).items() if settings.only in ("", name)}
    seconds, core_seconds = ({name: [] for name in timed} for _ in range(2))
    for program in timed.values():
        jax.block_until_ready(program())
    for _ in range(settings.turns):
        for name, program in timed.items():
            began, busy = time.perf_counter(), time.process_time()
            jax.block_until_ready(program())
            seconds[name].append(time.perf_counter() - began)
            core_seconds[name].append(time.process_time() - busy)
    steps = settings.lifetimes * settings.horizon * settings.episodes
    line = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "settings": dataclasses.asdict(settings),
        "steps_per_second": {name: round(steps / min(taken)) for name, taken in seconds.items()},
        "median_steps_per_second": {name: round(steps / sorted(taken)[len(taken) // 2]) for name, taken in seconds.items()},
        "steps_per_core_second": {name: round(steps / min(taken)) for name, taken in core_seconds.items()},
        "suites_own_trainer": SUITES_OWN,
    }
    print(json.dumps(line, indent=2))
    if not settings.only:
        with HISTORY.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
