"""Numbered migrations: SQL files that are applied once, in their order, by whoever holds the lock."""

from pathlib import Path

from quickstudy.protocol.errors import UsageError

_FOLDER = Path(__file__).with_name("sql")


def migrations(dialect: str, *, applied: int) -> list[tuple[int, list[str]]]:
    """Numbers and statements of the migrations that a store lacks.

    Args:
      dialect: `sqlite` or `postgres`.
      applied: number of the last one that the store has.
    Raises:
      UsageError: the store was written by a later version of quickstudy.
    """
    known = [(int(file.name[:4]), file) for file in sorted((_FOLDER / dialect).glob("*.sql"))]
    if applied > known[-1][0]:
        raise UsageError(f"this store has format {applied}, which a later version wrote; this one reads format {known[-1][0]}.")
    return [
        (number, [statement.strip() for statement in file.read_text(encoding="utf-8").split(";") if statement.strip()])
        for number, file in known
        if number > applied
    ]
