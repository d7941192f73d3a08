"""`quickstudy check my_tasks.py:make`: inspects a task distribution and names each fault with its remedy."""

import dataclasses

from quickstudy import tasks
from quickstudy.cli.arguments import parse, positional
from quickstudy.cli.console import say
from quickstudy.protocol.setting_values import Count, Seconds, Seed
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.tasks.checks.check import fault_lines, findings

_USAGE = "quickstudy check PATH.py:FUNCTION"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckArguments:
    """How thoroughly to check."""

    samples: Count = 10_000
    """Tasks drawn from each split, to find tasks that two splits share."""
    seed: Seed = 0
    """Seed of all random numbers."""
    budget_seconds: Seconds = 10.0
    """About how many seconds to run episodes, if environments run outside JAX."""
    collecting: CollectingConfig = CollectingConfig()


def run(arguments: list[str]) -> int:
    """Prints faults and warnings; 1 if there is a fault, 0 otherwise."""
    words, flags = positional(arguments, ("PATH.py:FUNCTION",), usage=_USAGE)
    asked = parse(
        CheckArguments, flags, program=_USAGE, description="Inspects a task distribution, and names each fault with its remedy."
    )
    distribution = tasks.make(words[0])
    found = findings(
        distribution,
        samples=asked.samples,
        seed=asked.seed,
        budget_seconds=asked.budget_seconds,
        collecting=asked.collecting,
    )
    for line in [found.seen] * bool(found.seen) + fault_lines(found.faults):
        say(line)
    return 1 if any(not fault.warning for fault in found.faults) else 0
