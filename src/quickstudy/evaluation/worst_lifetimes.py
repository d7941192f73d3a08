"""Lifetimes of an agent on the tasks of a split with its lowest returns, kept for people to look at."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping

from quickstudy.evaluation.example_lifetime import DIGITS, ExampleLifetime
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.printable import file_word
from quickstudy.storage.atomic import write_atomically
from quickstudy.storage.plain import from_document, read_object, to_document

FORMAT = 1
MOST = 10
"""Tasks of a split whose lifetimes are kept."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorstLifetimes:
    """Lifetimes of one agent on tasks of one split.

    Args:
      agent: name of the contender; its first seed acted in them.
      split: of the tasks.
      tasks, seed: length and seed of the list that the tasks are of.
      lifetimes: by the number of the task in that list, as text.
    """

    agent: str
    split: str
    tasks: int
    seed: int
    lifetimes: Mapping[str, ExampleLifetime]

    def save(self, folder: str | os.PathLike) -> pathlib.Path:
        """Writes `lifetimes-<split>.json` into a folder, whole or not at all, and gives its path."""
        path = lifetimes_path(folder, self.split)
        write_atomically(path, json.dumps(to_document(self, version=FORMAT, digits=DIGITS), allow_nan=False) + "\n")
        return path

    @classmethod
    def load(cls, path: str | os.PathLike) -> "WorstLifetimes":
        """Reads what `save` wrote.

        Raises:
          UsageError: no such file, or one that holds no lifetimes.
        """
        what, remedy = "lifetimes on the worst tasks", "Evaluate again."
        found = from_document(cls, read_object(path, what=what), version=FORMAT, what=what, remedy=remedy)
        for number, lifetime in found.lifetimes.items():
            if not (number.isascii() and number.isdigit() and lifetime.fits):
                raise UsageError(f"{os.fspath(path)}: the lifetime {number!r:.20} does not fit together. {remedy}")
        return found


def lifetimes_path(folder: str | os.PathLike, split: str) -> pathlib.Path:
    """Where the lifetimes of a split are stored in a folder of results."""
    return pathlib.Path(folder) / f"lifetimes-{file_word(split)}.json"
