"""`quickstudy sweep ALGORITHM DISTRIBUTION`: trains with many settings, and says which of them matter."""

import dataclasses
import shlex
import time
from types import TracebackType
from typing import Annotated, Self

import tyro
from rich.progress import Progress as Bars

from quickstudy.cli.arguments import parse, positional
from quickstudy.cli.console import Console, progress_bars
from quickstudy.cli.train import command_to_resume, folder_name, parse_run, record_of
from quickstudy.evaluation.numbers import counted, duration
from quickstudy.evaluation.sweep.effects import effects_of
from quickstudy.evaluation.sweep.records import Sweep, SweepConfig, Trial, Winner, best_first
from quickstudy.evaluation.sweep.run import sweep
from quickstudy.evaluation.sweep.summary import settings_in_words, sweep_sentences, trial_return
from quickstudy.protocol.settings import flat_settings
from quickstudy.reports.sweep_page import write_sweep
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.training.loop import TrainingConfig
from quickstudy.training.progress import Progress

_USAGE = "quickstudy sweep ALGORITHM DISTRIBUTION --over NAME=VALUES [--flags]"
_SAID = "Trains with many settings, and says which of them matter and which are the best."


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepArguments:
    """What is varied, and where the sweep goes."""

    over: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """A setting to vary, as in cell=gru,linear or learning_rate=1e-4:1e-2:log; give it once for each setting."""
    folder: str | None = None
    """Folder of the sweep; runs/sweep-ALGORITHM-DISTRIBUTION if not given."""
    resume: bool = False
    """Go on with the sweep in the folder, also with more --trials; trials that have ended are not trained again."""
    overwrite: bool = False
    """Delete the sweep in the folder, and start again."""
    config: str | None = None
    """A TOML file of settings that all trials share. Flags override it."""


def run(arguments: list[str]) -> int:
    """Carries out the trials, draws the page, and prints the best settings as a command."""
    words, flags = positional(arguments, ("ALGORITHM", "DISTRIBUTION"), usage=_USAGE)
    if len(words) < 2:
        print(f"usage: {_USAGE}\n\n`quickstudy list` prints the names.")
        print("If you name both, --help also shows the flags of the algorithm and of the distribution. The general flags:\n")
        general = {"run": SweepArguments, "sweep": SweepConfig, "training": TrainingConfig, "collecting": CollectingConfig}
        parse(record_of("General", general), flags, program="quickstudy sweep", description=_SAID)
    algorithm, distribution = words
    asked = parse_run(
        algorithm, distribution, flags, verb="sweep", description=_SAID, own={"run": SweepArguments, "sweep": SweepConfig}
    )
    going_on = f"Go on with:\n  {command_to_resume('sweep', words, flags)}"
    folder = asked.run.folder or f"runs/sweep-{folder_name(words)}"
    with _Shown() as shown:
        try:
            done = sweep(
                algorithm,
                distribution,
                asked.run.over,
                asked.sweep,
                folder=folder,
                training=asked.training,
                algorithm_settings=flat_settings(asked.algorithm),
                distribution_settings=dataclasses.asdict(asked.distribution),
                collecting=asked.collecting,
                resume=asked.run.resume,
                overwrite=asked.run.overwrite,
                command=shlex.join(["quickstudy", "sweep", *arguments]),
                watcher=shown,
            )
        except KeyboardInterrupt:
            # While it compiles or measures, it cannot end in order. Trials that have ended are saved.
            if shown.begun:
                print(going_on)
            raise
    console = Console()
    if not done.finished:
        console.print(f"Interrupted and saved. {going_on}", soft_wrap=True)
        return 130
    for sentence in sweep_sentences(done, effects_of(done)):
        console.print(sentence, soft_wrap=True)
    page = write_sweep(done, folder=folder)
    console.print(f"Page: {page}. Train the best settings with other seeds:", soft_wrap=True)
    for winner in done.winners:
        console.print(f"  {winner.command}", soft_wrap=True)
    return 0


class _Shown:
    """Shows a sweep on a terminal: a bar for all trials, and a line for each that has ended."""

    def __init__(self) -> None:
        self._console = Console()
        self._bars: Bars = progress_bars(self._console)
        self._bar = self._bars.add_task("planning", total=1.0, start=False)
        self._began, self._here, self._trials = time.monotonic(), 0, 1

    def __enter__(self) -> Self:
        """Opens the bar, if this is a terminal."""
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Takes the bar away."""
        if self._console.is_terminal:
            self._bars.stop()

    @property
    def begun(self) -> bool:
        """Whether a trial has begun."""
        return self._here > 0

    def begin(self, sweep: Sweep, trial: Trial) -> None:
        """Shows which trial is trained."""
        if not self._here:
            seeds = counted(int(sweep.settings["training"]["seeds"]), "seed")
            self._console.print(
                f"{sweep.algorithm} on {sweep.distribution}: {counted(sweep.trials, 'trial')} ({sweep.sampler}), {seeds} and "
                f"a budget of {sweep.settings['training']['budget']} each",
                soft_wrap=True,
            )
        self._here, self._trials = trial.number, sweep.trials
        self._bars.start_task(self._bar)
        self._bars.update(
            self._bar,
            total=float(sweep.trials),
            completed=float(trial.number - 1),
            description=f"trial {trial.number} of {sweep.trials}: {settings_in_words(trial.settings)}",
        )

    def watch(self, progress: Progress) -> None:
        """Shows the spent part of the budget of the present trial."""
        if progress.updates:
            self._bars.update(self._bar, completed=self._here - 1 + progress.update / progress.updates)

    def end(self, sweep: Sweep, trial: Trial) -> None:
        """Prints what came of a trial."""
        best = best_first(sweep.measured)[:1]
        came = f"return {trial_return(trial)}" if trial.fault is None else f"failed: {trial.fault}"
        so_far = f"  best: {trial_return(best[0])} (trial {best[0].number})" if best else ""
        self._console.print(
            f"{duration(time.monotonic() - self._began):>7}  trial {trial.number} of {sweep.trials}  "
            f"{settings_in_words(trial.settings)}  {came}{so_far}",
            soft_wrap=True,
        )

    def measure(self, winner: Winner) -> None:
        """Shows that the best settings are measured."""
        self._bars.update(
            self._bar, completed=float(self._trials), description=f"measuring trial {winner.trial} on the test split"
        )
