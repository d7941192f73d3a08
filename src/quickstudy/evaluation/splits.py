"""An evaluation on each of several splits, and the note of it in the bundle that was measured."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from quickstudy.evaluation.contenders import Contender
from quickstudy.evaluation.controls import Controls
from quickstudy.evaluation.evaluate import evaluate
from quickstudy.evaluation.raw_returns import RawReturns
from quickstudy.evaluation.results import Evaluation
from quickstudy.evaluation.sizes import check_tasks
from quickstudy.protocol.errors import UnknownNameError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.storage.bundle import add_results
from quickstudy.storage.plain import to_plain


def chosen_splits(distribution: AnyDistribution, splits: Sequence[str] = ()) -> tuple[str, ...]:
    """The splits to measure on: those that are named, else all but `train`.

    Raises:
      UnknownNameError: no such split.
    """
    for split in splits:
        if split not in distribution.splits:
            raise UnknownNameError("split", split, distribution.splits)
    return tuple(splits) or tuple(split for split in distribution.splits if split != "train")


def evaluate_splits(
    contenders: Mapping[str, Contender],
    distribution: AnyDistribution,
    *,
    splits: Sequence[str] = (),
    tasks: int = 2000,
    seed: int = 0,
    collecting: CollectingConfig = CollectingConfig(),
    progress: Callable[[str, str, float], None] | None = None,
    command: str = "",
    raw: RawReturns | None = None,
    controls: bool = True,
    decision_times: bool = True,
) -> Iterator[Evaluation]:
    """One evaluation for each split, each given as soon as it is done.

    Args:
      contenders: by the name that they are shown under.
      distribution: that the tasks come from.
      splits: of the distribution; all but `train` if none is named.
      tasks, seed, collecting, command, raw, decision_times: as of `evaluate`, the same for every split.
      controls: measure the controls beside the contenders, which show whether an agent adapts (`controls.py`).
      progress: called with the split, a contender's name and the fraction of the split's work that is done.
    Raises:
      UnknownNameError: no such split, before anything is measured.
      UsageError, SpecError, CollectingError: as of `evaluate`.
    """
    chosen = chosen_splits(distribution, splits)
    # The controls run the agent already, so memory is computed before them.
    seeds = [one.seeds for one in contenders.values()]
    check_tasks(distribution, tasks, seed=seed, seeds=seeds, steps=distribution.spec.lifetime_steps)
    beside = Controls(contenders, distribution, seed=seed) if controls else None
    for split in chosen:
        yield evaluate(
            contenders if beside is None else {**contenders, **beside.on(split)},
            distribution,
            split=split,
            tasks=tasks,
            seed=seed,
            collecting=collecting,
            progress=None if progress is None else functools.partial(progress, split),
            command=command,
            raw=raw,
            decision_times=decision_times,
        )


def note_results(bundle: str | Path, evaluations: Sequence[Evaluation], *, parameters_sha256: str | None = None) -> None:
    """Writes the lifetime return of each evaluation, with the digest of its task list, into a bundle's card.

    Args:
      bundle: its folder.
      evaluations: of the bundle's agent, which is the first trained contender.
      parameters_sha256: of the parameters that were measured; None does not compare them.
    Raises:
      BundleError: the folder holds no bundle, or one with other parameters by now.
    """
    for evaluation in evaluations:
        ours = next(result for result in evaluation.results.values() if result.trained)
        measured = {
            "tasks": evaluation.tasks,
            "task_hash": evaluation.task_hash,
            "lifetime_return": to_plain(ours.lifetime_return),
            "command": evaluation.command,
        }
        add_results(bundle, evaluation.split, measured, parameters_sha256=parameters_sha256)
