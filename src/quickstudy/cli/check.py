"""`quickstudy check my_tasks.py:make`: inspects a task distribution and names each fault with its remedy."""

import dataclasses

from quickstudy import tasks
from quickstudy.cli.arguments import parse, positional
from quickstudy.protocol.errors import QuickstudyError, UsageError
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.tasks.checks.check import fault_lines, findings
from quickstudy.tasks.checks.faults import raised

_USAGE = "quickstudy check PATH.py:FUNCTION"


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckArguments:
    """How thoroughly to check."""

    samples: int = 10_000
    """Tasks drawn from each split to find overlaps."""
    seed: int = 0
    """Of everything that is drawn."""
    budget_seconds: float = 10.0
    """About how long to run episodes where environments live outside JAX."""
    collecting: CollectingConfig = CollectingConfig()


def run(arguments: list[str]) -> int:
    """Prints faults and warnings; 1 if there is a fault, 0 otherwise."""
    words, flags = positional(arguments, ("PATH.py:FUNCTION",), usage=_USAGE)
    asked = parse(CheckArguments, flags, program=_USAGE, description="Inspects a task distribution.")
    try:
        distribution = tasks.make(words[0])
    except QuickstudyError:
        raise
    except Exception as error:  # the user's code may raise anything at all
        hint = " It is called without arguments: give every setting a default." if isinstance(error, TypeError) else ""
        raise UsageError(f"{words[0]} raises {raised(error)}.{hint}") from error
    found = findings(
        distribution,
        samples=asked.samples,
        seed=asked.seed,
        budget_seconds=asked.budget_seconds,
        collecting=asked.collecting,
    )
    for line in [found.seen] * bool(found.seen) + fault_lines(found.faults):
        print(line)
    return 1 if any(not fault.warning for fault in found.faults) else 0
