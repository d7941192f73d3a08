"""`quickstudy demo`: meta-trains an agent on bandits, and compares it with classical methods on new ones."""

import dataclasses
import shlex
import time
from pathlib import Path

from quickstudy import algorithms, tasks
from quickstudy.cli.arguments import parse
from quickstudy.cli.console import say
from quickstudy.cli.evaluations import evaluate_and_show
from quickstudy.cli.progress_panel import Panel
from quickstudy.evaluation.contenders import Contender, baselines_of
from quickstudy.evaluation.sizes import check_tasks
from quickstudy.evaluation.splits import note_results
from quickstudy.protocol.setting_values import Count
from quickstudy.reports.run_report import report_on
from quickstudy.training.loop import TrainingConfig
from quickstudy.training.train_and_save import train_and_save


@dataclasses.dataclass(frozen=True, kw_only=True)
class DemoArguments:
    """The size of the demonstration."""

    budget: str = "90s"
    """How long to train, as for `quickstudy train`."""
    arms: Count = 5
    """Arms of each bandit."""
    pulls: Count = 100
    """Pulls in one lifetime."""
    tasks: Count = 4000
    """Held-out bandits per split."""
    folder: str = "runs/demo"
    """Folder for the run and its page."""
    overwrite: bool = False
    """Start again if the folder holds a run already."""


def run(arguments: list[str]) -> int:
    """Trains RL² on Bernoulli bandits, evaluates it on every held-out split, draws the page."""
    asked = parse(
        DemoArguments,
        arguments,
        program="quickstudy demo",
        description="Trains an agent on bandits, evaluates it on new ones, and draws a page.",
    )
    began = time.monotonic()
    command = shlex.join(["quickstudy", "demo", *arguments])
    distribution = tasks.make("bernoulli-bandit", arms=asked.arms, pulls=asked.pulls)
    algorithm = algorithms.make("rl2", distribution.spec)
    config = TrainingConfig(budget=asked.budget)
    # What is evaluated after training is checked before it.
    counts = [1] * (1 + len(distribution.baselines) + 2)  # two controls, beside random actions
    check_tasks(distribution, asked.tasks, seeds=counts, steps=distribution.spec.lifetime_steps)
    with Panel(algorithm, distribution, config) as panel:
        # The baselines are measured below, on more tasks.
        trained = train_and_save(
            algorithm, distribution, config, folder=asked.folder, overwrite=asked.overwrite, command=command,
            measure_baselines=False, watcher=panel,
        )  # fmt: skip
    if not trained.finished:
        say(f"Interrupted. Start again with:\n  {command}{'' if asked.overwrite else ' --overwrite'}")
        return 130
    contenders = {"rl2": Contender(agent=algorithm.agent, params=trained.params, trained=True)}
    contenders |= baselines_of(distribution)
    evaluations = evaluate_and_show(contenders, distribution, folder=asked.folder, tasks=asked.tasks, command=command)
    note_results(Path(asked.folder) / "bundle", evaluations)
    page = report_on(asked.folder)
    say(f"Done in {time.monotonic() - began:.0f} s. The page, with pictures: {Path(page).absolute()}")
    return 0
