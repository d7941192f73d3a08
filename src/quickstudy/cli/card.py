"""`quickstudy card BUNDLE`: the card of an agent, from what was measured of it."""

import dataclasses

from quickstudy.cli.arguments import parse, positional
from quickstudy.cli.console import say
from quickstudy.reports.agent_card import write_card

_USAGE = "quickstudy card RUN_OR_BUNDLE [--flags]"
_SAID = """Writes the card of an agent: README.md with the metadata of the Hugging Face Hub, results, costs and limits.

Every number on it was stored by a measurement, or is counted from the agent. Nothing is measured now."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CardArguments:
    """Where the card goes, and where stored results are read."""

    out: str | None = None
    """Folder that README.md is written into; that of the bundle if not given."""
    name: str | None = None
    """Name of the agent on the card; that of its folder if not given."""
    results: str | None = None
    """A folder that holds results/rows of the bench; the nearest one above the bundle if not given."""
    algorithm: str | None = None
    """PATH.py:FUNCTION of an agent whose algorithm is not registered."""


def run(arguments: list[str]) -> int:
    """Writes the card and says where."""
    words, flags = positional(arguments, ("RUN_OR_BUNDLE",), usage=_USAGE)
    asked = parse(CardArguments, flags, program=_USAGE.partition(" [")[0], description=_SAID)
    page = write_card(words[0], folder=asked.out, algorithm=asked.algorithm, checkout=asked.results, name=asked.name)
    say(f"Card: {page}")
    return 0
