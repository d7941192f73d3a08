"""The memory of a run, computed from shapes before anything is allocated, and from the compiled programs before they run."""

from typing import Any

import jax

from quickstudy.protocol.memory import bytes_of, check_memory, fitting, free_bytes_of_devices
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.training.lifetime_source import LifetimeSource


def check_shapes(algorithm: MetaAlgorithm, source: LifetimeSource, *, seeds: int) -> None:
    """Raises UsageError if the arrays that a run certainly needs are larger than the free memory. Allocates nothing.

    They are the train states before and after an update, what the source keeps, and the lifetimes of one update. Learning from
    them needs more, which only the compiled program tells (`check_program`).

    Args:
      algorithm: the algorithm that is trained.
      source: of the lifetimes.
      seeds: trained side by side.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    train = jax.eval_shape(algorithm.init, key)
    states = seeds * (2 * bytes_of(train) + bytes_of(jax.eval_shape(source.initial)))
    of_process = algorithm.lifetimes // jax.process_count()
    lifetimes = seeds * of_process * source.lifetime_bytes(jax.eval_shape(algorithm.params, train))
    check_memory(
        states,
        what=f"training {_seeds(seeds)} (parameters, optimiser, replay store)",
        remedy=_remedy(seeds, states, "a smaller network, or a smaller store"),
        free=free_bytes_of_devices(),
    )
    _check_lifetimes(algorithm, needed=states + lifetimes, seeds=seeds)


def check_program(compiled: Any, algorithm: MetaAlgorithm, *, seeds: int, more: int = 0) -> None:
    """Raises UsageError if a compiled update would need more memory than is free. Its arguments are allocated already.

    Args:
      compiled: the program, as JAX compiled it for all devices.
      algorithm: the algorithm that is trained.
      seeds: trained side by side.
      more: bytes that are needed beside it.
    """
    _check_lifetimes(algorithm, needed=program_bytes(compiled) + more, seeds=seeds)


def program_bytes(compiled: Any) -> int:
    """Bytes that a compiled program takes while it runs, beside its arguments, on all devices of this process.

    They are 0 where JAX does not tell.
    """
    analysed = compiled.memory_analysis()
    if analysed is None:
        return 0
    devices = len(
        {device for sharding in jax.tree.leaves(compiled.output_shardings) for device in sharding.addressable_devices}
    )
    fresh = analysed.output_size_in_bytes - analysed.alias_size_in_bytes
    return max(1, devices) * (analysed.temp_size_in_bytes + max(0, fresh))


def _check_lifetimes(algorithm: MetaAlgorithm, *, needed: int, seeds: int) -> None:
    steps = algorithm.agent.spec.lifetime_steps
    free = free_bytes_of_devices()
    fewer = fitting(algorithm.lifetimes, needed=needed, free=free) if free is not None else 0
    others = [f"--lifetimes {fewer}"] * bool(fewer) + ["shorter lifetimes or smaller tasks"]
    check_memory(
        needed,
        what=f"one update ({algorithm.lifetimes:,} lifetimes of {steps:,} steps for {_seeds(seeds)})",
        remedy=_remedy(seeds, needed, " or ".join(others)),
        free=free,
    )


def _remedy(seeds: int, needed: int, other: str) -> str:
    free = free_bytes_of_devices()
    fewer = fitting(seeds, needed=needed, free=free) if free is not None else 0
    return f"Use {f'--seeds {fewer} or ' if 0 < fewer < seeds else ''}{other}."


def _seeds(seeds: int) -> str:
    return "1 seed" if seeds == 1 else f"{seeds:,} seeds"
