"""`quickstudy demo`: meta-trains an agent on bandits, and compares it with classical methods on new ones.

In addition, a shipped agent recommends items to new visitors: a task that takes longer to train than this demonstration.
"""

import dataclasses
import shlex
import time
from pathlib import Path

from quickstudy import algorithms, tasks
from quickstudy.cli.arguments import parse
from quickstudy.cli.console import Console, progress_bars, say
from quickstudy.cli.evaluations import evaluate_and_show
from quickstudy.cli.progress_panel import Panel
from quickstudy.evaluation.contenders import Contender, baselines_of
from quickstudy.evaluation.new_visitors import BUNDLE, FOLDER, SEEDS, measure_new_visitors
from quickstudy.evaluation.sizes import check_tasks
from quickstudy.evaluation.splits import note_results
from quickstudy.protocol.setting_values import Count
from quickstudy.reports.run_report import report_on
from quickstudy.reports.visitors_section import HEADING, visitors_sentences
from quickstudy.storage.shipped import shipped_bundle
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
    visitors: Count = 300
    """New visitors per split that a shipped agent recommends items to."""
    folder: str = "runs/demo"
    """Folder for the run and its page."""
    overwrite: bool = False
    """Start again if the folder holds a run already."""


def run(arguments: list[str]) -> int:
    """Trains RL² on Bernoulli bandits and evaluates it, evaluates a shipped agent on new visitors, and draws the page."""
    asked = parse(
        DemoArguments,
        arguments,
        program="quickstudy demo",
        description="Trains an agent on bandits, evaluates it on new ones, and draws a page.",
    )
    began = time.monotonic()
    command = shlex.join(["quickstudy", "demo", *arguments])
    distribution = tasks.make("bernoulli-bandit", arms=asked.arms, pulls=asked.pulls)
    algorithm = algorithms.make("rl2", distribution.spec, subtract_ceiling=True, mean_rewards=True)
    config = TrainingConfig(budget=asked.budget)
    # What is evaluated after training is checked before it.
    counts = [1] * (1 + len(distribution.baselines) + 2)  # two controls, beside random actions
    check_tasks(distribution, asked.tasks, seeds=counts, steps=distribution.spec.lifetime_steps)
    shop = tasks.make("recommendation")
    check_tasks(shop, asked.visitors, seeds=SEEDS, steps=shop.spec.lifetime_steps)
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
    _show_new_visitors(asked, command)
    page = report_on(asked.folder)
    say(f"Done in {time.monotonic() - began:.0f} s. The page, with pictures: {Path(page).absolute()}")
    return 0


def _show_new_visitors(asked: DemoArguments, command: str) -> None:
    """Measures the shipped agent on new visitors, saves the results in the run's folder, and prints them."""
    bundle = shipped_bundle(BUNDLE)
    if bundle is None:
        say(f"This installation has no bundle {BUNDLE}, so the page has no part on recommendations to new visitors.")
        return
    console, evaluations = Console(), []
    with progress_bars(console) as bars:
        bar = bars.add_task("new visitors", total=1.0)

        def show(split: str, contender: str, share: float) -> None:
            bars.update(bar, completed=share, description=f"new visitors, {split}: {contender}")

        for evaluation in measure_new_visitors(bundle, visitors=asked.visitors, command=command, progress=show):
            evaluation.save(Path(asked.folder) / FOLDER)
            evaluations.append(evaluation)
    console.print(f"{HEADING}:", style="bold")
    for line in visitors_sentences(evaluations):
        console.print(line, soft_wrap=True)
    console.print()
