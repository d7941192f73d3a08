"""`quickstudy doctor`: what this installation offers, and what to do where something is missing."""

from collections import Counter

from quickstudy.cli.arguments import parse_nothing
from quickstudy.cli.console import say
from quickstudy.evaluation.numbers import counted
from quickstudy.protocol.errors import QuickstudyError
from quickstudy.storage.installation import findings

_SAID = """Shows versions, devices, memory, folders and extras, and what to do where something is missing.

It fails if something is missing that every user needs."""


def run(arguments: list[str]) -> int:
    """Prints one line for everything that was looked at; returns 0 if what every user needs is there.

    Raises:
      QuickstudyError: a part that every user needs is missing; every line is printed before.
    """
    parse_nothing(arguments, program="quickstudy doctor", description=_SAID)
    found = findings()
    width = max(len(one.what) for one in found)
    for one in found:
        say(f"{one.state:8} {one.what:{width}}  {one.found}{f'. Fix: {one.fix}' if one.fix else ''}")
    counts = Counter(one.state for one in found)
    if counts["fault"]:
        raise QuickstudyError(
            f"{counted(counts['fault'], 'part')} that every user needs failed. Do what the lines `fault` say."
        )
    say(f"Everything that every user needs is there. Extras that are not installed: {counts['missing']}.")
    return 0
