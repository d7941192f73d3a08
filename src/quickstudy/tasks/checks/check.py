"""Tries the laws of a task distribution on it, and names each fault with its remedy.

`check` looks at behaviour alone: it draws tasks, plays random actions and compares. At last it runs a few lifetimes just as
meta-training runs them. An exception from the user's code is a
fault too, with its cause in one line. Distributions in JAX (`jax_laws.py`) and outside it (`host_laws.py`) each have their own
table of laws; one function tries either.
"""

from collections.abc import Iterable
from typing import NamedTuple

import jax

from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.memory import check_memory, task_bytes
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.tasks.checks.faults import Fault
from quickstudy.tasks.checks.host_check import inspect_host, summary_of
from quickstudy.tasks.checks.host_laws import HOST_LAWS
from quickstudy.tasks.checks.inspection import inspect
from quickstudy.tasks.checks.jax_laws import JAX_LAWS, JaxTrial


class Findings(NamedTuple):
    """Faults, and one sentence about what was drawn and played where that depends on how fast things are; else empty."""

    faults: list[Fault]
    seen: str


def check(
    distribution: AnyDistribution,
    *,
    samples: int = 10_000,
    seed: int = 0,
    budget_seconds: float = 10.0,
    collecting: CollectingConfig = CollectingConfig(),
) -> list[Fault]:
    """Tries every law on a task distribution; an empty list means that nothing was found.

    Args:
      distribution: in JAX or outside it; whatever it does is reported and never raised.
      samples: tasks drawn from every split, to look for tasks that two of them share.
      seed: of the tasks, the actions and the episodes.
      budget_seconds: about how long to play where environments run outside JAX; as many tasks are played as fit.
      collecting: where training would run lifetimes on environments outside JAX. Where no law is broken, `check` runs a few
        lifetimes there too, with the actions of an untrained agent, so that what passes can be trained on.
    Raises:
      UsageError: more samples than fit into memory.
    Returns:
      Faults in the order of the laws, then those that are only warnings.
    Example:
      >>> from quickstudy.tasks.bandits.bernoulli import bernoulli_bandit
      >>> check(bernoulli_bandit(arms=3, pulls=5), samples=1_000)
      []
    """
    return findings(distribution, samples=samples, seed=seed, budget_seconds=budget_seconds, collecting=collecting).faults


def findings(
    distribution: AnyDistribution, *, samples: int, seed: int, budget_seconds: float, collecting: CollectingConfig
) -> Findings:
    """The faults of `check`, and what it drew and played; arguments as of `check`."""
    if distribution.runs_in == "python":
        found, trial = inspect_host(
            distribution, samples=samples, seed=seed, budget_seconds=budget_seconds, collecting=collecting
        )
        return Findings(_ordered(found, HOST_LAWS), summary_of(trial))
    check_memory(
        (len(distribution.splits) + 2) * samples * task_bytes(distribution),
        what=f"drawing {samples:,} tasks from each split",
        remedy="Use fewer --samples.",
    )
    key_tasks, key_play = jax.random.split(jax.random.key(seed))
    faults: list[Fault] = []
    inspect(JaxTrial(distribution=distribution, key=key_play, key_tasks=key_tasks), JAX_LAWS, faults, samples=samples)
    return Findings(_ordered(faults, JAX_LAWS), "")


def fault_lines(faults: Iterable[Fault]) -> list[str]:
    """Faults as lines of text for a terminal: what was seen, and below it the remedy. The last line says if none is a fault."""
    lines, found = [], list(faults)
    for fault in found:
        kind = "warning" if fault.warning else "fault"
        lines += [f"{kind} ({fault.law}): {fault.what}", f"    remedy: {fault.remedy}"]
    if any(not fault.warning for fault in found):
        return lines
    return [*lines, f"no fault found; warnings: {len(found)}" if found else "no fault found"]


def _ordered(found: list[Fault], laws: Iterable[str]) -> list[Fault]:
    order = list(laws)
    return sorted(found, key=lambda fault: (fault.warning, order.index(fault.law)))
