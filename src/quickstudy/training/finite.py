"""Stops a run in which too many lifetimes or steps are lost, or in which a number is not finite."""

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from quickstudy.protocol.errors import CollectingError, NonFiniteError
from quickstudy.protocol.meta_algorithm import MetaAlgorithm
from quickstudy.rollout.nonfinite import LARGEST_REWARD

_MOST_NONFINITE = 0.5
_MOST_LOST = 0.5
_LARGE_RETURN = 1e15
_SCALE_REWARDS = "Divide the rewards in the task, so that the return of a lifetime stays below a million."


def check_update(
    metrics: Mapping[str, Sequence[float]],
    train: PyTree,
    algorithm: MetaAlgorithm,
    *,
    update: int,
    latest_checkpoint: Callable[[], str],
) -> None:
    """Raises an error at the first number that is not finite, or where too little is left to learn from.

    Args:
      metrics: of the update, each over seeds.
      train: the algorithm's train states `[seeds]` after the update.
      algorithm: the algorithm that is trained.
      update: the number of updates so far.
      latest_checkpoint: describes the newest good checkpoint, for the message.
    Raises:
      CollectingError: more than half of the lifetimes were lost to faults of their environments.
      NonFiniteError: more than half of the steps were not finite, or a metric is not.
    """
    lifetime_steps = algorithm.agent.spec.lifetime_steps
    where = f"update {update} (step {update * algorithm.lifetimes * lifetime_steps})"
    lost = np.mean(metrics.get("lost", 0.0))
    if lost > _MOST_LOST * algorithm.lifetimes:
        raise CollectingError(
            f"{where}: {lost:.0f} of {algorithm.lifetimes} lifetimes were lost to faults of their environment. The faults are "
            "printed above. Look at the environment with `quickstudy check`."
        )
    nonfinite = np.mean(metrics["nonfinite_steps"]) / lifetime_steps
    if nonfinite > _MOST_NONFINITE:
        overflowing = np.mean(metrics.get("overflowing_steps", 0.0)) / lifetime_steps
        what, remedy = "rewards or observations were not finite", "Look at the tasks with `quickstudy check`."
        if overflowing > nonfinite / 2:
            what, remedy = f"rewards overflowed: they were larger than {LARGEST_REWARD:g}", _SCALE_REWARDS
        raise NonFiniteError(
            f"{where}: {what}, on {nonfinite:.0%} of the steps. There is too little left to learn from. {remedy}"
        )
    bad = [name for name, values in metrics.items() if not np.isfinite(values).all()]
    if bad:
        largest = np.max(np.abs(metrics.get("train_return", 0.0)))
        if not largest < _LARGE_RETURN:
            what, remedy = f"rewards overflow: the mean return of a lifetime is {largest:.3g}", _SCALE_REWARDS
        else:
            what, remedy = f"{', '.join(bad)} is not finite", "Try a lower learning rate."
        raise NonFiniteError(f"{where}: {what}; {_first_broken(train)}; {latest_checkpoint()}. {remedy}")


def _first_broken(train: PyTree) -> str:
    for path, leaf in jax.tree_util.tree_leaves_with_path(train):
        if jnp.issubdtype(leaf.dtype, jnp.floating) and not jnp.isfinite(leaf).all():
            return f"first array with it: state{jax.tree_util.keystr(path)}"
    return "the parameters are still finite"
