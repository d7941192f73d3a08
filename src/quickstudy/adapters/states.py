"""The state of a `Bandit` as JSON: arms, and the rows of every group."""

import json
import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from jaxtyping import PyTree

from quickstudy.adapters.agents import actions_of
from quickstudy.adapters.arms import Arms
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.records import Spec
from quickstudy.protocol.task_distribution import task_hash

FORMAT = 1


def written_state(
    params: PyTree, *, arms: Arms, rows: Mapping[Hashable, list], steps: int | None, seed: int, spec: Spec
) -> str:
    """A state as JSON.

    Args:
      params: of the agent; their digest is stored.
      arms: with those that were removed.
      rows: of every group.
      steps: as of `Bandit`.
      seed: as of `Bandit`.
      spec: of the agent.
    Raises:
      UsageError: a name that JSON does not keep apart from others.
    """
    for name in (*arms.names, *rows):
        if not (name is None or isinstance(name, str | int)):
            raise UsageError(f"JSON keeps arms and groups that are text, whole numbers or None; came {name!r:.80}.")
    _, first = actions_of(spec)
    groups = [
        [
            group,
            {
                "arms": [arms.names[action - first] for _, action, _ in told],
                "rewards": [reward if math.isfinite(reward) else None for _, _, reward in told],
                "contexts": [_numbers_or_none(seen) for seen, _, _ in told],
            },
        ]
        for group, told in rows.items()
    ]
    state = {
        "format": FORMAT,
        "parameters_sha256": task_hash(params),
        "arms": list(arms.names),
        "removed": [name for name in arms.names if name in arms.removed],
        "steps": steps,
        "seed": seed,
        "groups": groups,
    }
    return json.dumps(state, ensure_ascii=False, allow_nan=False)


def read_state(text: str, params: PyTree) -> dict[str, Any]:
    """A state as `written_state` gave it; rewards that were not known are NaN.

    Args:
      text: the JSON.
      params: of the agent that goes on from it.
    Raises:
      UsageError: no such state, or one of other parameters.
    """
    try:
        state = json.loads(text)
        known = state["format"]
        names, removed = state["arms"], state["removed"]
        if not isinstance(names, list) or not set(removed) < set(names):
            raise ValueError("arms must be a list, and removed a part of it")
        arms = Arms(names=tuple(names), removed=frozenset(removed))
        groups = [(group, _read_rows(rows)) for group, rows in state["groups"]]
        stored = {"arms": arms, "groups": groups, "steps": state["steps"], "seed": int(state["seed"])}
        digest = state["parameters_sha256"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"this is no state of a Bandit: {type(error).__name__}: {error!s:.120}. Give what to_json gave."
        ) from error
    if known != FORMAT:
        raise UsageError(f"the state has format {known!r:.40}; this version reads format {FORMAT}.")
    if digest != task_hash(params):
        raise UsageError("the state belongs to an agent with other parameters. Give the bundle that it was made with.")
    return stored


def _numbers_or_none(seen: np.ndarray) -> Any:
    """An observation as JSON has it: None where a number is not finite. The guard of agents masks all of these alike."""
    numbers = seen.astype(object)
    numbers[~np.isfinite(seen)] = None
    return numbers.tolist()


def _read_rows(rows: Mapping[str, list]) -> dict[str, list]:
    """The columns of a group; None of a reward or a context is NaN."""
    return {
        "arms": list(rows["arms"]),
        "rewards": [math.nan if reward is None else reward for reward in rows["rewards"]],
        "contexts": [np.asarray(seen, np.float64) for seen in rows["contexts"]],
    }
