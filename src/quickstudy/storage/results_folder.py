"""Where results go, looked at before they are measured."""

import os
from pathlib import Path

from quickstudy.protocol.errors import UsageError


def check_results_folder(folder: str | Path) -> None:
    """Raises UsageError for a folder that results cannot be written to; creates nothing.

    Args:
      folder: it may not be there yet, and neither may the folders above it.
    """
    folder = Path(folder)
    nearest = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    if not nearest.is_dir():
        raise UsageError(f"results cannot go to {folder}: {nearest} is not a folder. Name another with --folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"results cannot go to {folder}: {nearest} cannot be written. Name another with --folder.")
