"""`quickstudy video PATH`: the first and the last episode of a trained agent on a new task, side by side."""

import dataclasses
from typing import Annotated

from quickstudy.cli.arguments import parse, positional
from quickstudy.cli.console import Console, progress_bars, say
from quickstudy.evaluation.contenders import algorithm_of
from quickstudy.evaluation.video import adaptation_video
from quickstudy.protocol.setting_values import MOST_WHOLE, Count, Range, Seed
from quickstudy.reports.video_files import write_video
from quickstudy.storage.bundle import load_bundle
from quickstudy.storage.results_folder import check_results_folder

_SAID = "Makes a video of the first and the last episode of a lifetime, side by side. For environments outside JAX."
_USAGE = "quickstudy video RUN_OR_BUNDLE [--task NUMBER] [--flags]"


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoArguments:
    """The task, the agent, and where the video goes."""

    split: str = "test"
    """Split that the task is drawn from."""
    task: Annotated[int, Range(least=0, most=MOST_WHOLE)] = 0
    """Number of the task in the list that an evaluation measures on."""
    tasks: Count = 2000
    """Length of that list."""
    seed: Seed = 0
    """Seed of the tasks and the keys of the lifetimes."""
    seed_of_training: Seed = 0
    """Which of the independently trained agents, from 0."""
    every: Count = 4
    """Steps between two pictures of the video."""
    pictures_per_second: Annotated[float, Range(least=0.1, most=50)] = 10.0
    """Speed of the video."""
    on: str | None = None
    """A task distribution, if not the registered one trained on."""
    algorithm: str | None = None
    """PATH.py:FUNCTION of an agent whose algorithm is not registered."""
    folder: str | None = None
    """Where the video goes; the agent's own folder if not given."""


def run(arguments: list[str]) -> int:
    """Records one lifetime, and writes it as a GIF and as a strip."""
    words, flags = positional(arguments, ("RUN_OR_BUNDLE",), usage=_USAGE)
    asked = parse(VideoArguments, flags, program=_USAGE.partition(" [")[0], description=_SAID)
    check_results_folder(asked.folder or words[0])
    bundle = load_bundle(words[0], algorithm=asked.algorithm)
    distribution = bundle.distribution(asked.on)
    console = Console()
    with progress_bars(console) as bars:
        bar = bars.add_task("recording", total=1.0)
        video = adaptation_video(
            bundle.agent_for(distribution.spec),
            bundle.params_of(asked.seed_of_training),
            distribution,
            split=asked.split,
            task=asked.task,
            tasks=asked.tasks,
            seed=asked.seed,
            every=asked.every,
            name=algorithm_of(bundle),
            progress=lambda share: bars.update(bar, completed=share),
        )
    first, last = video.first[-1], video.last[-1]
    console.print(
        f"{video.title}. First episode: {first.reward:.1f} in {first.step} steps; last, number {video.episodes}: "
        f"{last.reward:.1f} in {last.step}; lifetime: {video.lifetime_return:.1f}.",
        soft_wrap=True,
    )
    written = write_video(video, asked.folder or words[0], pictures_per_second=asked.pictures_per_second)
    say(f"Saved in {written[0].parent}: {' and '.join(path.name for path in written)}")
    return 0
