"""Every error that quickstudy raises on purpose.

    QuickstudyError                 catch this to catch them all
    ├── UsageError                  what was asked for does not exist or does not fit; exit status 2 on the command line
    │   ├── UnknownNameError        no algorithm, distribution, split, flag of that name
    │   ├── MissingExtraError       an optional package that is not installed; says how to install it
    │   ├── SpecError               a space, a shape or a length that the parts do not share
    │   └── BundleError             an agent on disk that is damaged, or made for something else
    ├── NoProgramError              an agent that cannot be written without JAX; says which part of it cannot
    ├── TaskDistributionError       a task distribution that breaks one of its laws
    ├── CollectingError             lifetimes in environments outside JAX could not be run
    ├── LostProcessError            another process of the same run has ended
    └── NonFiniteError              training or an evaluation met numbers that are not finite, and stopped

A message says what was wrong, what came, what is allowed and what to do next. It is one line, unless it quotes a traceback.
Names in it may come from anybody's file, so control characters are shown in it, not executed by the terminal.
"""

import functools
from collections.abc import Iterable

from quickstudy.protocol.advice import advice
from quickstudy.protocol.printable import printable
from quickstudy.protocol.suggestions import suggestion


class QuickstudyError(Exception):
    """Base of every error that quickstudy raises on purpose."""

    _quotes_lines = False

    def __init__(self, message: object = ""):
        super().__init__(printable(message, lines=self._quotes_lines))


class UsageError(QuickstudyError):
    """What was asked for does not exist or does not fit."""


_LONGEST_NAME = 200
"""Characters of a name that a message quotes."""


class UnknownNameError(UsageError):
    """A name that is not in the list it was looked up in."""

    def __init__(self, kind: str, name: str, allowed: Iterable[str], *, hint: str | None = None):
        allowed = sorted(allowed)
        near = suggestion(name, allowed)
        said = hint or advice(kind, name) or (None if near is None else f"Did you mean {near!r}?")
        came = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]} …"
        super().__init__(f"unknown {kind} {came!r}.{f' {said}' if said else ''} Known: {', '.join(allowed) or 'none'}.")
        self._made_of = (kind, name, allowed, hint)

    def __reduce__(self) -> tuple:
        kind, name, allowed, hint = self._made_of
        return functools.partial(type(self), hint=hint), (kind, name, allowed)


class MissingExtraError(UsageError):
    """An optional package that is needed here and is not installed."""

    def __init__(self, what: str, extra: str):
        super().__init__(f"{what} is not installed. Install it with: pip install 'quickstudy[{extra}]'")
        self._made_of = (what, extra)

    def __reduce__(self) -> tuple:
        return type(self), self._made_of


class SpecError(UsageError):
    """A space, a shape or a length that two parts do not share."""


class BundleError(UsageError):
    """An agent on disk that is damaged, or that was made for something else."""


class TaskDistributionError(QuickstudyError):
    """A task distribution that breaks one of its laws."""


class CollectingError(QuickstudyError):
    """Lifetimes in environments outside the compiled program could not be run."""

    _quotes_lines = True


class LostProcessError(QuickstudyError):
    """Another process of a run over several processes has ended, or cannot be reached."""


class NonFiniteError(QuickstudyError):
    """Training met a NaN or an infinity, or most steps of an agent in an evaluation were not finite."""


class NoProgramError(QuickstudyError):
    """An agent, or a part of it, that cannot be written as a program outside of JAX.

    Args:
      message: in one sentence.
      part: the function of the agent, and what in it stands in the way.
    """

    def __init__(self, message: str, *, part: str):
        super().__init__(message)
        self.part = part
