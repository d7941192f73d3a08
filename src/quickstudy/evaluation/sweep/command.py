"""The `quickstudy train` command of a trial."""

import shlex
from typing import Any

from quickstudy.evaluation.sweep.plan import all_settings
from quickstudy.evaluation.sweep.records import Sweep, Trial
from quickstudy.protocol.printable import printable


def train_command(sweep: Sweep, trial: Trial, *, folder: str | None = None, other_seeds: bool = False) -> str:
    """The command that trains with the settings of a trial; settings with their default value are left out.

    Args:
      sweep: that the trial belongs to.
      trial: whose settings are taken.
      folder: of the run; the usual one if None.
      other_seeds: begin with the seed after those of the trial. The best trial was chosen by its seeds, so only others say
        what its settings are worth.
    """
    wanted = sweep.settings_of(trial)
    if other_seeds:
        wanted["training"]["seed"] = (wanted["training"]["seed"] + wanted["training"]["seeds"]) % 2**32
    usual = all_settings(sweep.algorithm, sweep.distribution)
    flags = [
        word
        for part, settings in wanted.items()
        for name, value in settings.items()
        if name not in usual[part] or usual[part][name] != value or name in sweep.over
        for word in flag(name, value)
    ]
    where = [] if folder is None else ["--folder", folder]
    return shlex.join(map(printable, ["quickstudy", "train", sweep.algorithm, sweep.distribution, *flags, *where]))


def flag(name: str, value: Any) -> list[str]:
    """A setting as words of a command line.

    Example:
      >>> flag("hidden_sizes", [64, 32]), flag("learned_start", False)
      (['--hidden-sizes', '64', '32'], ['--no-learned-start'])
    """
    word = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{word}" if value else f"--no-{word}"]
    if isinstance(value, list | tuple):
        return [f"--{word}", *map(_text, value)]
    text = _text(value)
    return [f"--{word}={text}"] if text.startswith("-") else [f"--{word}", text]


def _text(value: Any) -> str:
    return "None" if value is None else repr(value) if isinstance(value, float) else str(value)
