"""The files that functions are defined in, and their digests."""

import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import quickstudy


def file_digests(values: Iterable[Any]) -> dict[str, str]:
    """SHA-256 of the files that functions among these values are defined in, by path."""
    files = {source_file(value) for value in values if callable(value)}
    return {file: _digest(Path(file)) for file in sorted(file for file in files if file)}


def user_files(*records: Any) -> dict[str, str]:
    """SHA-256 of the files outside this package that the functions of these records are defined in, by the file's name.

    Args:
      records: a distribution and an algorithm. If one has a name of the form `PATH.py:FUNCTION`, that file is among them.
    """
    home = Path(quickstudy.__file__).parent
    values = [getattr(record, field.name) for record in records for field in dataclasses.fields(record)]
    files = {source_file(value) for value in values if callable(value)} | {record.name.rpartition(":")[0] for record in records}
    paths = {Path(file) for file in files if file and file.endswith(".py")}
    return {path.name: _digest(path) for path in sorted(paths) if path.is_file() and not path.is_relative_to(home)}


def source_file(function: Callable) -> str | None:
    """The path of the file that a function is defined in; None where it has none."""
    while isinstance(function, functools.partial):
        function = function.func
    try:
        return inspect.getsourcefile(inspect.unwrap(function))
    except (TypeError, OSError):
        return None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
