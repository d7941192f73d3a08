"""The result of collecting: whole lifetimes, their measures, and which of them were lost."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Bool, Float, Float32, PyTree

from quickstudy.protocol.host_distribution import Reduction
from quickstudy.protocol.records import Transition


@dataclasses.dataclass(kw_only=True)
class CollectedBatch:
    """Lifetimes as NumPy arrays, time-major.

    Args:
      lifetimes: `[T, lifetimes]`; no slot of a lost lifetime is valid. None where rewards alone were asked for.
      reward: `[T, lifetimes]`, reward units; zero where a slot did not happen.
      valid: `[T, lifetimes]`, whether a slot happened.
      nonfinite: `[T, lifetimes]`, slots that happened and whose reward or observations are not finite, or whose reward
        overflows. They are still as they came, and `valid`.
      measures: what environments measured beside the reward, by name, `[T, lifetimes]`; NaN in slots that did not happen, and
        where the environment gave none.
      lost: `[lifetimes]`, those that an environment or a process broke off.
      steps: environment steps that were taken, including those of lost lifetimes.
      seconds: time spent, by purpose.
      faults: the first different exceptions that environments raised, as tracebacks, with their counts.
    """

    lifetimes: Transition | None
    reward: Float32[np.ndarray, "T lifetimes"]
    valid: Bool[np.ndarray, "T lifetimes"]
    nonfinite: Bool[np.ndarray, "T lifetimes"]
    measures: dict[str, Float32[np.ndarray, "T lifetimes"]]
    lost: Bool[np.ndarray, " lifetimes"]
    steps: int
    seconds: dict[str, float]
    faults: dict[str, int]


def joined(parts: Sequence[CollectedBatch]) -> CollectedBatch:
    """The parts of one batch as a whole, in their order."""
    if len(parts) == 1:
        return parts[0]
    along = lambda *leaves: np.concatenate(leaves, axis=1)  # noqa: E731
    names = sorted({name for part in parts for name in part.seconds})
    return CollectedBatch(
        lifetimes=jax.tree.map(along, *(part.lifetimes for part in parts)),
        reward=along(*(part.reward for part in parts)),
        valid=along(*(part.valid for part in parts)),
        nonfinite=along(*(part.nonfinite for part in parts)),
        measures=jax.tree.map(along, *(part.measures for part in parts)),
        lost=np.concatenate([part.lost for part in parts]),
        steps=sum(part.steps for part in parts),
        # Workers run at the same time, so the mean of their seconds is the time of the whole.
        seconds={name: float(np.mean([part.seconds[name] for part in parts if name in part.seconds])) for name in names},
        faults=dict(sum((Counter(part.faults) for part in parts), Counter())),
    )


def fill_gaps(tree: PyTree, valid: Bool[np.ndarray, "T lifetimes"]) -> PyTree:
    """Leaves `[T, lifetimes, ...]` in which a slot that did not happen repeats the last slot before it that did.

    Zeros would not do: trainers compute with what stands there before they mask it, and the logarithm of a zero scale is not
    finite. A lifetime without any step repeats the first slot of one that has some.
    """
    if valid.all():
        return tree
    slots = np.where(valid, np.arange(len(valid))[:, None], 0)
    rows = np.maximum.accumulate(slots, axis=0)
    columns = np.where(valid.any(axis=0), np.arange(valid.shape[1]), int(valid.any(axis=0).argmax()))
    return jax.tree.map(lambda leaf: leaf[rows[:, columns], columns], tree)


def with_lost_lifetimes(batch: CollectedBatch, rows: Sequence[int], *, lifetimes: int) -> CollectedBatch:
    """A batch of `lifetimes` lifetimes, of which these rows are those of `batch`; the others are lost."""
    if len(rows) == lifetimes:
        return batch
    others = sorted(set(range(lifetimes)) - set(rows))
    whole = joined([batch, lost_lifetimes(batch, lifetimes=len(others))])
    order = np.argsort([*rows, *others])
    part = lambda leaf: leaf[:, order]  # noqa: E731
    return dataclasses.replace(
        whole,
        lifetimes=jax.tree.map(part, whole.lifetimes),
        reward=part(whole.reward),
        valid=part(whole.valid),
        nonfinite=part(whole.nonfinite),
        measures=jax.tree.map(part, whole.measures),
        lost=whole.lost[order],
    )


def lost_lifetimes(like: CollectedBatch, *, lifetimes: int) -> CollectedBatch:
    """A number of lost lifetimes, in the shapes of another batch."""
    no = np.zeros((len(like.valid), lifetimes), bool)
    zero: Any = no.astype(np.float32)
    blank = None
    if like.lifetimes is not None:
        blank = jax.tree.map(lambda leaf: np.repeat(leaf[:, :1], lifetimes, axis=1), like.lifetimes)
        outcome = dataclasses.replace(blank.outcome, reward=zero, terminated=no, truncated=no)
        blank = dataclasses.replace(blank, outcome=outcome, valid=no)
    return CollectedBatch(
        lifetimes=blank,
        reward=zero,
        valid=no,
        nonfinite=no,
        measures={name: np.full(no.shape, np.nan, np.float32) for name in like.measures},
        lost=np.ones(lifetimes, bool),
        steps=0,
        seconds={},
        faults={},
    )


def judged(
    steps: Float[np.ndarray, "*lifetimes episodes horizon"], reduction: Reduction
) -> Float[np.ndarray, "*lifetimes episodes"]:
    """One number of each episode from an environment's measure at each of its steps.

    Args:
      steps: NaN in slots that did not happen, and where nothing was measured. Axes before `episodes` are free: `[lifetimes]` or
        `[seeds, tasks]`, for example.
      reduction: `"any"` gives 1 where one step is above zero, else 0. `"sum"` adds the steps. `"last"` is the last step that
        was measured: environments may measure at the end of an episode alone.
    Returns:
      One number of each episode. If no step of it was measured, `"last"` gives NaN, and the other two give 0.
    """
    if reduction == "any":
        return (np.nan_to_num(steps) > 0).any(-1).astype(np.float32)
    if reduction == "sum":
        return np.nansum(steps, -1)
    last = steps.shape[-1] - 1 - np.argmax(~np.isnan(steps[..., ::-1]), axis=-1)
    return np.take_along_axis(steps, last[..., None], -1)[..., 0]


def unmeasured(batch: CollectedBatch) -> list[str]:
    """The measures that no environment gave in any step of a batch."""
    return [name for name, measured in batch.measures.items() if batch.valid.any() and np.isnan(measured).all()]
