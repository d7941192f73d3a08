"""The columns of a log, checked and cast: what `replay` reads."""

import dataclasses
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Self

import gymnasium
import jax
import numpy as np
from jaxtyping import Bool, Float32, Int, PyTree

from quickstudy.protocol.casting import Elements, host_flag, host_number
from quickstudy.protocol.errors import QuickstudyError, SpecError, UnknownNameError, UsageError
from quickstudy.protocol.given_actions import GivenActions, check_allowed
from quickstudy.protocol.records import Spec
from quickstudy.protocol.spaces import COMPOSITE, ActionSpace

NEEDED = ("observation", "action", "reward")
OPTIONAL = ("next_observation", "terminated", "truncated", "lifetime")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LogColumns:
    """The rows of a log as arrays `[rows, ...]` with the types of a spec.

    Args:
      observation, successor: `[rows, ...]`.
      action: leaves `[rows, ...]`.
      reward: `[rows]`, reward units; NaN where it is not known.
      terminated, truncated: `[rows]`, as they were logged.
      lifetime: `[rows]`, the number of a row's lifetime.
      step: `[rows]`, the number of a row within its lifetime.
      lifetimes: the names of the lifetimes.
    """

    observation: np.ndarray
    action: PyTree
    reward: Float32[np.ndarray, " rows"]
    successor: np.ndarray
    terminated: Bool[np.ndarray, " rows"]
    truncated: Bool[np.ndarray, " rows"]
    lifetime: Int[np.ndarray, " rows"]
    step: Int[np.ndarray, " rows"]
    lifetimes: list[Hashable]

    @classmethod
    def of(cls, rows: Mapping[str, Any] | Sequence[Mapping[str, Any]], spec: Spec) -> Self:
        """Rows as they were given, see `replay`.

        Raises:
          UsageError: no rows, a column that is missing or not known, or columns of different lengths.
          SpecError: a value that is no element of its space. Names the row.
        """
        given = _columns(rows)
        count = len(given["reward"])
        lifetime, lifetimes = _numbered(given.get("lifetime", [0] * count))
        elements, actions = Elements(spec.observation_space), GivenActions(spec.action_space)
        observation = _observations("observation", given, elements)
        action = _actions(given["action"], actions, spec.action_space)
        if spec.action_mask:
            _each("action", range(count), lambda row: check_allowed(action[row], observation[row], spec))
        flags = {name: _flags(name, given, count) for name in ("terminated", "truncated")}
        if "next_observation" in given:
            successor = _observations("next_observation", given, elements)
        else:
            successor = _following(observation, lifetime, ends=_ends(lifetime, spec, **flags))
        return cls(
            observation=observation,
            action=action,
            reward=_rewards(given["reward"]),
            successor=successor,
            **flags,
            lifetime=lifetime,
            step=_steps(lifetime),
            lifetimes=lifetimes,
        )


def _columns(rows: Any) -> dict[str, Sequence[Any]]:
    """The columns by name; each as a sequence of as many values as there are rows."""
    if isinstance(rows, Sequence) and not isinstance(rows, str):
        names = list(rows[0]) if rows and isinstance(rows[0], Mapping) else []
        ragged = [number for number, row in enumerate(rows) if not isinstance(row, Mapping) or set(row) != set(names)]
        if ragged:
            raise UsageError(f"row {ragged[0]} has other columns than row 0, or is no dict. Give every row the same columns.")
        rows = {name: [row[name] for row in rows] for name in names}
    names = list(rows)
    for name in names:
        if name not in (*NEEDED, *OPTIONAL):
            raise UnknownNameError("column", str(name), (*NEEDED, *OPTIONAL))
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise UsageError(
            f"the rows lack {', '.join(missing)}. They need {', '.join(NEEDED)}, and may have {', '.join(OPTIONAL)}."
        )
    found = {name: _values(rows[name]) for name in names}
    lengths = {name: len(column) for name, column in found.items()}
    if len(set(lengths.values())) > 1 or not lengths["reward"]:
        raise UsageError(
            "all columns must have the same number of rows, 1 or more; came "
            f"{', '.join(f'{name} {length}' for name, length in lengths.items())}."
        )
    return found


def _values(column: Any) -> Any:
    """The values of a column: an array, a list, a column of a table; a tuple or dict of these for actions of several parts."""
    if isinstance(column, Mapping):
        return [dict(zip(column, each, strict=True)) for each in zip(*map(_values, column.values()), strict=True)]
    if isinstance(column, tuple):
        return list(zip(*map(_values, column), strict=True))
    return column if isinstance(column, np.ndarray | list) else list(column)


def _observations(name: str, given: Mapping[str, Sequence[Any]], elements: Elements) -> np.ndarray:
    found = _in_bulk(given[name], elements.space)
    return np.stack(_each(name, given[name], elements.cast)) if found is None else found


def _actions(values: Sequence[Any], actions: GivenActions, space: ActionSpace) -> PyTree:
    found = None if isinstance(space, (*COMPOSITE, gymnasium.spaces.MultiBinary)) else _in_bulk(values, space)
    return jax.tree.map(lambda *each: np.stack(each), *_each("action", values, actions.cast)) if found is None else found


def _rewards(values: Sequence[Any]) -> Float32[np.ndarray, " rows"]:
    numbers = values if _is_plain(values, "fiub") else _each("reward", values, lambda value: host_number("a reward", value))
    with np.errstate(over="ignore"):  # an infinite reward is masked, as a large one is
        return np.asarray(numbers, np.float32)


def _flags(name: str, given: Mapping[str, Sequence[Any]], count: int) -> Bool[np.ndarray, " rows"]:
    if name not in given:
        return np.zeros(count, bool)
    values = given[name]
    return np.array(values if _is_plain(values, "b") else _each(name, values, lambda value: host_flag(name, value)), bool)


def _is_plain(values: Sequence[Any], kinds: str) -> bool:
    return isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in kinds


def _in_bulk(values: Sequence[Any], space: Any) -> np.ndarray | None:
    """A column of elements of a space at once; None where it holds anything that has to be looked at row by row."""
    shape, kind = (len(values), *(space.shape or ())), Elements(space).kind
    if not isinstance(values, np.ndarray) or values.shape != shape or values.dtype.kind not in "fiub":
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        cast = values.astype(kind)
    if kind.kind != "f" and not np.array_equal(cast, values):
        return None
    if isinstance(space, gymnasium.spaces.Box):
        low, high = space.low, space.high
    else:
        low = np.asarray(space.start, np.int64)
        high = low + (space.n if isinstance(space, gymnasium.spaces.Discrete) else space.nvec) - 1
    return cast if ((cast >= low) & (cast <= high)).all() else None


def _each(name: str, values: Sequence[Any], cast: Callable[[Any], Any]) -> list[Any]:
    """The cast values of a column.

    Raises:
      SpecError: one cannot be cast; names its row.
    """
    found = []
    for row, value in enumerate(values):
        try:
            found.append(cast(value))
        except (QuickstudyError, ValueError) as error:
            raise SpecError(f"row {row} of the log, column {name!r}: {error}") from error
    return found


def _numbered(names: Sequence[Hashable]) -> tuple[Int[np.ndarray, " rows"], list[Hashable]]:
    """The number of each row's lifetime, and the lifetimes in the order of their first rows."""
    known: dict[Hashable, int] = {}
    plain = names.tolist() if isinstance(names, np.ndarray) else names
    numbers = np.array([known.setdefault(name, len(known)) for name in plain], np.int64)
    return numbers, list(known)


def _steps(lifetime: Int[np.ndarray, " rows"]) -> Int[np.ndarray, " rows"]:
    """The number of each row within its lifetime."""
    order = np.argsort(lifetime, kind="stable")
    counts = np.bincount(lifetime)
    steps = np.empty_like(lifetime)
    steps[order] = np.concatenate([np.arange(count) for count in counts])
    return steps


def _ends(
    lifetime: Int[np.ndarray, " rows"],
    spec: Spec,
    *,
    terminated: Bool[np.ndarray, " rows"],
    truncated: Bool[np.ndarray, " rows"],
) -> Bool[np.ndarray, " rows"]:
    """Whether each row is the last one of an episode: it says so, or the horizon does."""
    ends, since = terminated | truncated, np.zeros(int(lifetime.max()) + 1, np.int64)
    for row, number in enumerate(lifetime.tolist()):
        since[number] += 1
        ends[row] |= since[number] == spec.horizon
        since[number] *= not ends[row]
    return ends


def _following(observation: np.ndarray, lifetime: Int[np.ndarray, " rows"], *, ends: Bool[np.ndarray, " rows"]) -> np.ndarray:
    """The observation of the next row of the same lifetime; where there is none, or an episode ends, that of the row itself."""
    order = np.argsort(lifetime, kind="stable")
    row, following = order[:-1], order[1:]
    goes_on = (lifetime[row] == lifetime[following]) & ~ends[row]
    successor = observation.copy()
    successor[row[goes_on]] = observation[following[goes_on]]
    return successor
