"""Folders for what can be computed again: they save time, and everything works without them."""

import os
from pathlib import Path

import platformdirs


def cache_folder(name: str) -> Path | None:
    """A folder of the user's cache that can be written; None where there is none, so that nothing is cached.

    There is none for a user without a home, or where the disk is read-only or belongs to somebody else.

    Args:
      name: of the folder within quickstudy's own.
    """
    try:
        folder = Path(platformdirs.user_cache_dir("quickstudy")) / name
        if not folder.is_absolute():  # the user has no home, and "~" stands for nothing
            return None
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError, KeyError):
        return None
    return folder if os.access(folder, os.R_OK | os.W_OK | os.X_OK) else None
