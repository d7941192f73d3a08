"""Meta-training throughput on this machine, beside a plain trainer of the same network and beside bare matrix products.

    make bench        or        python benchmarks/throughput.py --hidden-sizes 64 128 256

Environment steps per second of the whole update (living and learning, compilation excluded), on Bernoulli bandits. Package and
plain trainer (`plain_ppo.py`) take turns, each in a process of its own with the whole machine, and the best time of all turns
counts, so that other work on the machine disturbs both alike. `share of the product rate` is the arithmetic of training per
second, over that of h @ U inside a scan on the same devices. Each run adds a line to `benchmarks/history.jsonl`.
"""

import dataclasses
import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import tyro
from jax.sharding import PartitionSpec as P

HISTORY = Path(__file__).with_name("history.jsonl")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is timed."""

    hidden_sizes: tuple[int, ...] = (64, 128, 256)
    arms: int = 5
    pulls: int = 100
    lifetimes: int = 512
    minibatches: int = 4
    epochs: int = 4
    turns: int = 3
    """Processes of each kind, in alternation."""
    updates: int = 6
    """Timed updates in each process."""
    only: str = ""
    """Time one thing in this process and print it: package, plain or products. For the program's own use."""


def best_seconds(function, *, repeats):
    """The least of several timed calls, after one that is not timed."""
    function()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(function())
        taken.append(time.perf_counter() - began)
    return min(taken)


def time_package(settings, hidden_size):
    """Seconds of one update and of compilation."""
    from quickstudy import algorithms, tasks, use_whole_machine
    from quickstudy.training.sources import source_for
    from quickstudy.training.update import initial_state, update_program

    use_whole_machine()
    jax.config.update("jax_enable_compilation_cache", False)  # what is read from a cache was not compiled
    distribution = tasks.make("bernoulli-bandit", arms=settings.arms, pulls=settings.pulls)
    shape = {name: getattr(settings, name) for name in ("lifetimes", "minibatches", "epochs")}
    algorithm = algorithms.make("rl2", distribution.spec, cell="gru", hidden_size=hidden_size, **shape)
    roots = jax.vmap(jax.random.key)(jnp.arange(1))
    source = source_for(algorithm, distribution, tasks=1)
    state = initial_state(algorithm, source, roots)
    began = time.perf_counter()
    program = update_program(algorithm, source).lower(state, (), roots, jnp.uint32(0), jnp.float32(0)).compile()
    compiling = time.perf_counter() - began
    return timed_updates(lambda state: program(state, (), roots, jnp.uint32(0), jnp.float32(0))[0], state, settings), compiling


def time_plain(settings, hidden_size):
    """The same for the plain trainer."""
    from plain_ppo import trainer

    shape = {name: getattr(settings, name) for name in ("arms", "pulls", "lifetimes", "minibatches", "epochs")}
    begin, train = trainer(hidden_size=hidden_size, **shape)
    state = begin(jax.random.key(0))
    began = time.perf_counter()
    program = train.lower(state, jax.random.key(0), jnp.float32(0)).compile()
    compiling = time.perf_counter() - began
    return timed_updates(lambda state: program(state, jax.random.key(1), jnp.float32(0))[0], state, settings), compiling


def timed_updates(update, state, settings):
    """The least seconds of an update."""
    box = [state]

    def once():
        box[0] = jax.block_until_ready(update(box[0]))

    return best_seconds(once, repeats=settings.updates)


def time_products(settings, hidden_size):
    """Seconds of h @ U within a scan as long as a lifetime, each device on its share of a minibatch."""
    from quickstudy import use_whole_machine

    use_whole_machine()
    mesh = jax.make_mesh((jax.local_device_count(),), ("lifetimes",), axis_types=(jax.sharding.AxisType.Auto,))
    weight = jnp.ones((hidden_size, 3 * hidden_size)) / hidden_size

    def scan(hidden):
        step = lambda h, _: ((h @ weight)[:, :hidden_size], None)  # noqa: E731
        return jax.lax.scan(step, hidden, length=settings.pulls)[0]

    program = jax.jit(jax.shard_map(scan, mesh=mesh, in_specs=P("lifetimes"), out_specs=P("lifetimes")))
    hidden = jnp.ones((settings.lifetimes // settings.minibatches, hidden_size))
    return best_seconds(lambda: program(hidden), repeats=10 * settings.updates), 0.0


def arithmetic_per_step(settings, hidden_size):
    """Multiplications and additions per environment step: one pass to live, three (forward and back) in each epoch."""
    inputs, outputs = settings.arms + 4, settings.arms + 1
    one_pass = 2 * hidden_size * (3 * (inputs + hidden_size) + hidden_size + 1 + outputs)
    return one_pass * (1 + 3 * settings.epochs)


def in_a_process(kind, settings, hidden_size):
    """What `--only` prints, from a new process."""
    flags = [f"--{name.replace('_', '-')}={getattr(settings, name)}" for name in ("arms", "pulls", "lifetimes", "updates")]
    flags += [f"--minibatches={settings.minibatches}", f"--epochs={settings.epochs}"]
    command = [sys.executable, __file__, "--only", kind, "--hidden-sizes", str(hidden_size), *flags]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def compared(settings, hidden_size):
    """Package, plain trainer and products in turns, with their ratios."""
    kinds = ("package", "plain", "products")
    runs = {kind: [] for kind in kinds}
    for _ in range(settings.turns):
        for kind in kinds:
            runs[kind].append(in_a_process(kind, settings, hidden_size))
    seconds = {kind: min(run["seconds"] for run in runs[kind]) for kind in kinds}
    steps = settings.lifetimes * settings.pulls
    products = 2 * 3 * hidden_size**2 * settings.lifetimes // settings.minibatches * settings.pulls / seconds["products"]
    training = steps * arithmetic_per_step(settings, hidden_size) / seconds["package"]
    return {
        "hidden_size": hidden_size,
        "steps_per_second": round(steps / seconds["package"]),
        "plain_steps_per_second": round(steps / seconds["plain"]),
        "times_the_plain_trainer": round(seconds["plain"] / seconds["package"], 2),
        "gflops_of_training": round(training / 1e9, 1),
        "gflops_of_products_in_a_scan": round(products / 1e9, 1),
        "share_of_the_product_rate": round(training / products, 2),
        "compile_seconds": round(min(run["compiling"] for run in runs["package"]), 1),
        "peak_memory_mb": max(run["peak_memory_mb"] for run in runs["package"]),
    }


def main():
    """Times everything, prints it as a table, and adds it to the history."""
    settings = tyro.cli(Settings, description=__doc__)
    if settings.only:
        timed = {"package": time_package, "plain": time_plain, "products": time_products}[settings.only]
        seconds, compiling = timed(settings, settings.hidden_sizes[0])
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps({"seconds": seconds, "compiling": compiling, "peak_memory_mb": memory}))
        return
    results = []
    for hidden_size in settings.hidden_sizes:
        results.append(compared(settings, hidden_size))
        print(json.dumps(results[-1], indent=2), flush=True)
    line = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
        "jax": jax.__version__,
        "settings": dataclasses.asdict(settings) | {"only": None},
        "results": results,
    }
    with HISTORY.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
