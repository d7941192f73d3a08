"""How long one meta-iteration of MAML takes, second order, and how much memory: it grows with the number of tasks, not faster.

    python benchmarks/meta_iteration.py

One meta-iteration lives all episodes of all tasks, with inner steps between them, and takes one outer step through them. The
setting is 2-D navigation with 100 steps an episode and two layers of 64; half of a lifetime's episodes are lived before the one
inner step and half after it. For orientation: learn2learn's MAML-TRPO takes about 30 s and 1.2 GB at 20 tasks of 40 episodes on
such a machine. Memory is what the compiled program sets aside, by the compiler's own account, and the most that the process
ever held. Each run adds a line to `benchmarks/meta_iteration.jsonl`.
"""

import dataclasses
import datetime
import json
import os
import platform
import resource
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import tyro

import quickstudy as qs
from quickstudy.training.sources import source_for
from quickstudy.training.update import initial_state, update_program

HISTORY = Path(__file__).with_name("meta_iteration.jsonl")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is timed."""

    tasks: tuple[int, ...] = (10, 20, 40, 80)
    episodes: tuple[int, ...] = (20, 40)
    """Of each task, all in all."""
    algorithms: tuple[str, ...] = ("maml", "promp", "sparse-maml", "reptile")
    """All are timed at 20 tasks, the first alone at the others."""
    iterations: int = 10
    """Timed, after two that are not."""


def time_one(name, *, tasks, episodes, iterations):
    """One setting: seconds to compile, seconds of an iteration, bytes."""
    distribution = qs.tasks.make("point-navigation", reward="distance", episodes=episodes)
    algorithm = qs.algorithms.make(name, distribution.spec, rollouts=episodes // 2, lifetimes=tasks)
    roots = jax.vmap(jax.random.key)(jnp.arange(1))
    source = source_for(algorithm, distribution, tasks=1)
    state, began = initial_state(algorithm, source, roots), time.perf_counter()
    program = update_program(algorithm, source).lower(state, (), roots, jnp.uint32(0), jnp.float32(0)).compile()
    compiled = time.perf_counter() - began
    for update in range(2 + iterations):
        if update == 2:
            began = time.perf_counter()
        state, _ = jax.block_until_ready(program(state, (), roots, jnp.uint32(update), jnp.float32(0)))
    found = {
        "algorithm": name,
        "tasks": tasks,
        "episodes": episodes,
        "seconds": round((time.perf_counter() - began) / iterations, 3),
        "compile_seconds": round(compiled, 1),
        "program_megabytes": round(program.memory_analysis().temp_size_in_bytes / 2**20, 1),
        "peak_process_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(found, flush=True)
    return found


def main():
    """Times everything, prints it, and adds it to the history."""
    settings = tyro.cli(Settings, description=__doc__)
    qs.use_whole_machine()
    cases = [
        (name, tasks, episodes)
        for episodes in settings.episodes
        for tasks in settings.tasks
        for name in (settings.algorithms if tasks == 20 else settings.algorithms[:1])
    ]
    found = [time_one(name, tasks=tasks, episodes=episodes, iterations=settings.iterations) for name, tasks, episodes in cases]
    line = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
        "jax": jax.__version__,
        "found": found,
    }
    with HISTORY.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
