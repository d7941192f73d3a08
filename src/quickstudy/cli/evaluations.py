"""What the verbs show while they evaluate, and of an evaluation that is done."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quickstudy.cli.console import Console, progress_bars
from quickstudy.evaluation.adaptation import adaptation_sentences
from quickstudy.evaluation.contenders import Contender
from quickstudy.evaluation.example_lifetime import example_lifetime
from quickstudy.evaluation.raw_returns import RawReturns
from quickstudy.evaluation.results import Evaluation
from quickstudy.evaluation.splits import evaluate_splits
from quickstudy.evaluation.summary import subject, summary_sentences
from quickstudy.evaluation.summary import table as table_of
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.reports.wording import Wording
from quickstudy.rollout.collecting.config import CollectingConfig


def show_evaluation(console: Console, evaluation: Evaluation, wording: Wording = Wording()) -> None:
    """Prints the table of an evaluation and its summary, with other words for the agent, the reward and a step."""
    shown, say = wording.of(evaluation)
    console.print(table_of(shown, width=max(80, console.width), say=say))
    for line in [*adaptation_sentences(shown, subject(shown)), *summary_sentences(shown)]:
        console.print(say(line), soft_wrap=True)
    console.print()


def evaluate_and_show(
    contenders: Mapping[str, Contender],
    distribution: AnyDistribution,
    *,
    folder: str | Path,
    splits: Sequence[str] = (),
    raw: str | None = None,
    example: bool = True,
    wording: Wording = Wording(),
    **asked: Any,
) -> list[Evaluation]:
    """`evaluate_splits` below a bar of progress; each evaluation is printed and saved in the folder as soon as it is done.

    Args:
      contenders, distribution, splits, **asked: as of `evaluate_splits`.
      folder: that evaluations are saved in.
      raw: the file of the raw returns of all splits so far; None writes none.
      example: save one lifetime of the first trained contender, on the first split, for the page.
      wording: other words for the agent, the reward and a step in what is printed; files keep the usual ones.
    Raises:
      UsageError: another contender has the agent's new name.
    """
    wording.check(contenders)
    console, evaluations = Console(), []
    table = None if raw is None else RawReturns()
    with progress_bars(console) as bars:
        bar = bars.add_task("", total=1.0)

        def show(split: str, contender: str, share: float) -> None:
            bars.update(bar, completed=share, description=f"{split}: {contender}")

        for evaluation in evaluate_splits(contenders, distribution, splits=splits, progress=show, raw=table, **asked):
            evaluation.save(folder)
            if table is not None and raw is not None:
                table.save(raw)
            show_evaluation(console, evaluation, wording)
            evaluations.append(evaluation)
        trained = next((name for name, one in contenders.items() if one.trained), None)
        if example and trained is not None and evaluations:
            bars.update(bar, description=f"one lifetime of {trained}")
            collecting = asked.get("collecting", CollectingConfig())
            _save_example(trained, contenders[trained], distribution, evaluations[0], folder, collecting)
    return evaluations


def _save_example(
    name: str,
    one: Contender,
    distribution: AnyDistribution,
    evaluation: Evaluation,
    folder: str | Path,
    collecting: CollectingConfig,
) -> None:
    split, tasks, seed = evaluation.split, evaluation.tasks, evaluation.seed
    lifetime = example_lifetime(name, one, distribution, split=split, tasks=tasks, seed=seed, collecting=collecting)
    if lifetime is not None:
        lifetime.save(folder)
