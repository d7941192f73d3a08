"""The memory that a measurement needs, computed before it begins."""

from collections.abc import Iterable

from jaxtyping import PyTree

from quickstudy.numerics.statistics import RESAMPLES
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.memory import bytes_of, check_memory, free_bytes, in_words, task_bytes
from quickstudy.protocol.setting_values import Count, Seed, checked_value

_BYTES_OF_STEP = 25
"""Of one step of one lifetime: reward, whether it happened, and what the measures make of them at the same time."""
_BYTES_OF_EPISODE = 40


def check_tasks(
    distribution: AnyDistribution, tasks: int, *, seed: int = 0, seeds: Iterable[int] = (), steps: int = 0, episodes: int = 0
) -> None:
    """Raises UsageError if a measurement on this many tasks needs more memory than is free. Nothing is allocated.

    Lifetimes are run in blocks that fit. What remains of all of them is kept: the tasks, every reward, and how often each
    resample of the bootstrap drew each task.

    Args:
      distribution: of the tasks.
      tasks: at least 1.
      seed: of the tasks.
      seeds: of every contender, how many agents it holds; empty where only the tasks are drawn.
      steps: of one lifetime whose rewards are kept step by step.
      episodes: of one lifetime whose returns are kept episode by episode.
    """
    checked_value("tasks", Count, tasks)
    checked_value("seed", Seed, seed)
    counts = list(seeds)
    each = 2 * task_bytes(distribution) + 32
    if counts:
        each += 4 * RESAMPLES + _BYTES_OF_STEP * steps * max(counts) + (16 + _BYTES_OF_EPISODE * episodes) * sum(counts)
    free = free_bytes()
    fit = 0 if free is None else free // each
    remedy = f"At most {fit:,} fit: --tasks {fit}." if fit else f"One task needs {in_words(each)}: use shorter lifetimes."
    check_memory(tasks * each, what=f"measuring on {tasks:,} tasks", remedy=remedy, free=free)


def check_arrays(shapes: PyTree, *, copies: int, what: str, remedy: str) -> None:
    """Raises UsageError if several copies of arrays of these shapes need more memory than is free.

    Args:
      shapes: a tree as `jax.eval_shape` gives it.
      copies: of the arrays, that are needed at the same time.
      what, remedy: as of `check_memory`.
    """
    check_memory(copies * bytes_of(shapes), what=what, remedy=remedy)
