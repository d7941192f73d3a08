"""Where results go, looked at before they are measured."""

import os
import shutil
from pathlib import Path

from quickstudy.protocol.errors import UsageError


def check_results_folder(folder: str | Path, *, flag: str = "--folder") -> None:
    """Raises UsageError for a folder that results cannot be written to; creates nothing.

    Args:
      folder: it may not be there yet, and neither may the folders above it.
      flag: of the command that names another folder, for the message.
    """
    folder = Path(folder)
    nearest = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    if not nearest.is_dir():
        raise UsageError(f"results cannot go to {folder}: {nearest} is not a folder. Name another with {flag}.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"results cannot go to {folder}: {nearest} cannot be written. Name another with {flag}.")


_MEASURED = (
    "evaluation-*.json", "example-lifetime.json", "tasks-*.json", "lifetimes-*.json", "videos",
    "speed-*.json", "speed-*.svg", "speed-*.png", "calibration.json",
    "readout.safetensors", "belief.*", "surprise.*", "adaptation.*", "report.html", "pictures",
)  # fmt: skip


def set_aside(folder: str | Path, parameters_sha256: str) -> Path | None:
    """Moves everything that was measured of an agent out of the way, when other parameters take its place.

    Args:
      folder: of the run.
      parameters_sha256: of the parameters that were measured.
    Returns:
      The folder that holds it now, `results-of-` and the beginning of the digest; None where nothing was measured.
    Raises:
      OSError: the folder cannot be written.
    """
    folder = Path(folder)
    measured = sorted({path for pattern in _MEASURED for path in folder.glob(pattern)})
    if not measured:
        return None
    aside = folder / f"results-of-{parameters_sha256[:12]}"
    aside.mkdir(exist_ok=True)
    for path in measured:
        if (aside / path.name).is_dir():  # moved half, by a process that was killed
            shutil.rmtree(aside / path.name)
        path.replace(aside / path.name)
    return aside
