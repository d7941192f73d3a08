"""Meta-training throughput on this machine, as a share of what its matrix products reach.

    make bench        or        python benchmarks/throughput.py --hidden-size 128

Prints steps per second of the whole training program (living and learning, compilation excluded), the rate of a bare recurrent
matrix product inside a scan on the same devices in the same run, and the ratio of the two in arithmetic per second.
"""

import dataclasses
import json
import time

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax.sharding import PartitionSpec as P

from quickstudy import algorithms, tasks, use_whole_machine
from quickstudy.meta_algorithm import LIFETIMES_AXIS
from quickstudy.networks import encode
from quickstudy.outer_program import device_mesh, initial_state, train_program


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is timed."""

    arms: int = 5
    pulls: int = 100
    hidden_size: int = 64
    lifetimes: int = 512
    minibatches: int = 4
    epochs: int = 4
    repeats: int = 7


def seconds(function, *arguments, repeats):
    """The median of several timed calls, after one that is not timed."""
    jax.block_until_ready(function(*arguments))
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        taken.append(time.perf_counter() - began)
    return float(np.median(taken))


def products_in_a_scan(mesh, settings):
    """Arithmetic operations per second of h @ U within a scan, each device on its share of a minibatch."""
    share, size = settings.lifetimes // settings.minibatches // mesh.size, settings.hidden_size
    weight = jnp.ones((size, 3 * size)) / size

    def scan(hidden):
        step = lambda h, _: (jnp.tanh((h @ weight)[:, :size]), None)  # noqa: E731
        return jax.lax.scan(step, hidden, length=settings.pulls)[0]

    program = jax.jit(jax.shard_map(scan, mesh=mesh, in_specs=P(LIFETIMES_AXIS), out_specs=P(LIFETIMES_AXIS)))
    hidden = jnp.ones((share * mesh.size, size))
    operations = 2 * hidden.shape[0] * size * 3 * size * settings.pulls
    return operations / seconds(program, hidden, repeats=5 * settings.repeats)


def operations_per_step(settings, distribution):
    """Multiplications and additions per environment step: one pass to live, three (forward and back) in each epoch."""
    size = settings.hidden_size
    seen = encode(jnp.int32(0), distribution.spec.observation_space).size
    inputs, outputs = 2 * seen + settings.arms + 2, settings.arms + 1
    one_pass = 2 * (3 * size * (inputs + size) + size * (size + seen) + size * outputs)
    return one_pass * (1 + 3 * settings.epochs)


def main():
    """Times the training program and bare products, and prints both with their ratio as JSON."""
    settings = tyro.cli(Settings, description=__doc__)
    use_whole_machine()
    distribution = tasks.make("bernoulli-bandit", arms=settings.arms, pulls=settings.pulls)
    algorithm = algorithms.make(
        "rl2",
        distribution.spec,
        hidden_size=settings.hidden_size,
        lifetimes=settings.lifetimes,
        minibatches=settings.minibatches,
        epochs=settings.epochs,
    )
    roots = jax.vmap(jax.random.key)(jnp.arange(1))
    state = initial_state(algorithm, roots)
    began = time.perf_counter()
    program = train_program(algorithm, distribution).lower(state, roots, jnp.uint32(0), jnp.float32(0)).compile()
    compiling = time.perf_counter() - began
    taken = []
    for update in range(settings.repeats + 1):
        began = time.perf_counter()
        state, _ = jax.block_until_ready(program(state, roots, jnp.uint32(update), jnp.float32(0)))
        taken.append(time.perf_counter() - began)
    rate = settings.lifetimes * settings.pulls / float(np.median(taken[1:]))
    products = products_in_a_scan(device_mesh(algorithm), settings)
    reached = rate * operations_per_step(settings, distribution)
    result = dataclasses.asdict(settings) | {
        "devices": device_mesh(algorithm).size,
        "compile_seconds": round(compiling, 1),
        "steps_per_second": round(rate),
        "gflops_of_products_in_a_scan": round(products / 1e9, 1),
        "gflops_of_training": round(reached / 1e9, 1),
        "share_of_the_product_rate": round(reached / products, 3),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
