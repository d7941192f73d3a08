"""`quickstudy track RUN --to tensorboard|trackio|mlflow|wandb`: a run in a tracker of experiments."""

import dataclasses
import sys
from typing import Any, Literal

from quickstudy.adapters.trackers import track
from quickstudy.cli.arguments import parse, positional
from quickstudy.cli.console import say
from quickstudy.evaluation.numbers import counted

_USAGE = "quickstudy track RUN [--to tensorboard] [--flags]"
_SAID = """Writes the metrics, settings and evaluations of a run to a tracker of experiments.

Training is not disturbed: the folder of the run is read. Points that the tracker holds already are not written again."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrackArguments:
    """Which tracker, and under which name."""

    to: Literal["tensorboard", "trackio", "mlflow", "wandb"] = "tensorboard"
    """The tracker. None needs a network; wandb writes its offline files."""
    address: str | None = None
    """Folder of the tracker, or sqlite:///PATH for MLflow; in the folder `tracked` if not given."""
    name: str | None = None
    """Name of the run in the tracker; that of its folder if not given."""
    project: str = "quickstudy"
    """Project of trackio and wandb, or experiment of MLflow."""
    follow: bool = False
    """Wait for new metrics until the run ends. Ctrl-C stops, and the same command goes on."""


def run(arguments: list[str]) -> int:
    """Writes a run to a tracker and says where."""
    words, flags = positional(arguments, ("RUN",), usage=_USAGE)
    asked = parse(TrackArguments, flags, program=_USAGE.partition(" [")[0], description=_SAID)

    def begins(tracker: Any) -> None:
        if asked.follow:
            say(f"Following {words[0]}: {tracker.where}. Ctrl-C stops. Show it with: {tracker.shown_by}")
            sys.stdout.flush()  # the end of the run, and so of this command, may be far away

    settings = dataclasses.asdict(asked)
    done = track(words[0], **settings, begins=begins)
    if done.damaged:
        say(f"{counted(done.damaged, 'line')} of metrics.jsonl left out: cut off or damaged.")
    say(f"{counted(done.points, 'new point')} in {', '.join(done.series)}: {done.where}.")
    say(f"Show it with: {done.shown_by}")
    return 0
