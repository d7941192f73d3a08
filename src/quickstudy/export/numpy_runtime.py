"""Runs an exported agent with NumPy alone.

    agent = Agent("folder")
    state = agent.begin()
    state, decision = agent.step(state, None, observation)
    ...                                                     # act, and see what follows
    state, decision = agent.step(state, Feedback(action, reward, successor, terminated, truncated), observation)

`contract.json` beside this file says what goes in and what comes out.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Feedback(NamedTuple):
    """What followed the last decision.

    `reward` is NaN where it is not known. `successor` is the observation that followed: at the end of an episode its true last
    one, and not the first of the next. `terminated`: the task ended the episode. `truncated`: something else did.
    """

    action: Any
    reward: float
    successor: Any
    terminated: bool = False
    truncated: bool = False


class State(NamedTuple):
    """Everything that a lifetime has written: `memory`, the number of the next step, and the last observation."""

    memory: tuple
    slot: int
    observation: Any


class Agent:
    """An exported agent.

    Args:
      folder: that holds `contract.json` and `weights.npz`.
    """

    def __init__(self, folder: str | Path, programs: Any):
        self.contract = json.loads((Path(folder) / "contract.json").read_text(encoding="utf-8"))
        with np.load(Path(folder) / "weights.npz") as file:
            weights = {name: file[name] for name in file.files}
        self._take_in, self._decide = programs(weights)
        self._initial = tuple(weights[f"initial {number}"] for number in range(len(self.contract["state"]["memory"])))
        action = self.contract["feedback"]["action"]
        self._read_observation = _reader(self.contract["observation"], "observation")
        self._read_successor = _reader(self.contract["observation"], "successor")
        self._read_action, self._continuous = _reader(action, "action"), action["kind"] != "Discrete"
        self._horizon = self.contract["horizon"]
        self._names = [(one["name"], tuple(one["shape"])) for one in self.contract["decision"]]
        self._plain = [shape == _short(shape) for _, shape in self._names]

    def begin(self, **drawn: Any) -> State:
        """The state at the start of a lifetime.

        Args:
          drawn: random words for the parts of memory that the contract names under `drawn_at_start`; dots in a name are
            written as underlines.
        """
        return _begun(self.contract, list(self._initial), drawn)

    def step(self, state: State, feedback: Feedback | None, observation: Any) -> tuple[State, dict[str, Any]]:
        """Takes in what followed the last decision, and decides.

        Args:
          state: from `begin` or from the last step; it is not changed.
          feedback: what followed the last decision; None at the first step of a lifetime.
          observation: that is acted on now.
        Returns:
          The next state, and numbers of the policy, value and belief by the names of the contract.
        Raises:
          ValueError: a length or a whole number that the contract does not allow, or nothing was decided that `feedback` could
            follow.
        """
        with np.errstate(all="ignore"):  # huge numbers overflow and are cut, here as in JAX, which does not warn
            return self._step(state, feedback, observation)

    def _step(self, state: State, feedback: Feedback | None, observation: Any) -> tuple[State, dict[str, Any]]:
        seen = self._read_observation(observation)
        memory, slot = state.memory, state.slot
        if feedback is not None:
            if state.observation is None:
                raise ValueError("nothing was decided yet, so nothing can have followed. Give feedback=None at the first step.")
            action = self._read_action(feedback.action)
            if self._continuous and not np.isfinite(action).all():
                raise ValueError("an action must be finite, since somebody has taken it.")
            successor = self._read_successor(feedback.successor)
            terminated = bool(feedback.terminated)
            truncated = not terminated and (bool(feedback.truncated) or slot % self._horizon == self._horizon - 1)
            memory = self._take_in(
                *memory,
                state.observation,
                action,
                float(feedback.reward),
                successor,
                terminated,
                truncated,
                slot // self._horizon,
            )
            slot = (slot // self._horizon + 1) * self._horizon if terminated or truncated else slot + 1
        numbers = self._decide(*memory, seen)
        decision = {
            name: number if plain else np.reshape(number, shape)
            for (name, shape), plain, number in zip(self._names, self._plain, numbers, strict=True)
        }
        return State(memory, slot, seen), decision


def _begun(contract: dict, memory: list, drawn: dict[str, Any]) -> State:
    """The state at the start of a lifetime, with some parts of the memory as they were drawn; their dots are underlines."""
    for number, part in enumerate(contract["state"]["memory"]):
        name = part["name"].replace(".", "_")
        if name in drawn:
            memory[number] = _reader(part, part["name"])(drawn.pop(name))
    if drawn:
        raise ValueError(f"no part of the memory is called {', '.join(drawn)}.")
    return State(tuple(memory), 0, None)


def _short(shape: Any) -> tuple:
    return tuple(length for length in shape if length != 1)


def _reader(part: dict, name: str) -> Callable[[Any], Any]:
    """A function that gives numbers as programs take them: checked, and without axes of length one.

    Args:
      part: of the contract.
      name: for messages.
    """
    if part.get("kind") == "Discrete":
        first, last = part["start"], part["start"] + part["n"] - 1

        def whole(given: Any) -> int:
            if isinstance(given, np.generic):
                given = given.item()
            number = given if type(given) is int else np.asarray(given).item() if np.size(given) == 1 else None
            if number is None or not first <= number <= last or number % 1:
                raise ValueError(f"{name} must be a whole number from {first} to {last}; came {given!r}.")
            return int(number)

        return whole
    dtype, shape = part["dtype"], tuple(part["shape"])
    short = _short(shape)
    least, most = _whole_range(part)

    def numbers(given: Any) -> Any:
        array = np.asarray(given, dtype if least is None else None)
        if array.shape != shape:
            raise ValueError(f"{name} must have the shape {shape}; came {array.shape}.")
        if least is not None:
            if not ((least <= array) & (array <= most) & (array % 1 == 0)).all():
                raise ValueError(f"{name} must hold whole numbers within the bounds of its space; came {array!r}.")
            array = array.astype(dtype)
        return array if short == shape and shape else array.reshape(short)[()]

    return numbers


def _whole_range(part: dict) -> tuple:
    """The least and the largest of each number, where they are whole numbers; else (None, None)."""
    kind = part.get("kind")
    if kind == "MultiDiscrete":
        least = np.asarray(part["start"])
        return least, least + np.asarray(part["nvec"]) - 1
    if kind == "MultiBinary":
        return np.zeros(part["shape"], int), np.ones(part["shape"], int)
    if kind == "Box" and not part["dtype"].startswith("float"):
        least, most = (np.reshape([int(number) for number in part[side]], part["shape"]) for side in ("low", "high"))
        return least, most
    return None, None


def replay(agent: Any, vectors: dict[str, np.ndarray]) -> dict[str, tuple[float, float]]:
    """The largest deviation from recorded steps of each number of a decision, by name: in proportion, and as it is.

    In proportion means divided by the size of the number. Means and deviations of actions are divided by half the range of the
    action where that is larger, all other numbers by one: a number that is close to zero has no useful size of its own.

    Args:
      agent: the exported agent.
      vectors: what `vectors.npz` holds.
    """
    starts = {
        name.removeprefix("memory_at_start."): array for name, array in vectors.items() if name.startswith("memory_at_start.")
    }
    feedback = [vectors[f"feedback.{name}"] for name in Feedback._fields]
    sizes = {one["name"]: np.reshape(one["size"], one["shape"]) for one in agent.contract["decision"] if "size" in one}
    worst = {name.removeprefix("decision."): (0.0, 0.0) for name in vectors if name.startswith("decision.")}
    state = agent.begin()
    for row, begins in enumerate(vectors["begins"]):
        if begins:
            state = agent.begin(**{name.replace(".", "_"): array[row] for name, array in starts.items()})
        after = None if begins else Feedback(*(array[row] for array in feedback))
        state, decision = agent.step(state, after, vectors["observation"][row])
        for name, so_far in worst.items():
            apart = _apart(decision[name], vectors[f"decision.{name}"][row], sizes.get(name, 1.0))
            worst[name] = (max(so_far[0], apart[0]), max(so_far[1], apart[1]))
    return worst


def _apart(came: Any, expected: np.ndarray, sizes: Any) -> tuple[float, float]:
    """The largest deviation of some numbers, in proportion and as it is; infinite where one of them is no number."""
    came, expected = np.asarray(came, np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        difference = np.where(came == expected, 0.0, np.abs(came - expected))
    difference = np.where(np.isnan(difference), np.inf, difference)
    in_proportion = difference / np.maximum(np.where(np.isfinite(expected), np.abs(expected), 0.0), sizes)
    return float(in_proportion.max(initial=0.0)), float(difference.max(initial=0.0))


def main(open_agent: Callable[[Path], Any]) -> int:
    """Replays `vectors.npz` beside this file, and prints the largest deviations.

    Args:
      open_agent: gives the agent in a folder.
    """
    folder = Path(sys.argv[0]).resolve().parent
    with np.load(folder / "vectors.npz") as file:
        agent = open_agent(folder)
        worst = replay(agent, {name: file[name] for name in file.files})
    for name, (apart, absolute) in worst.items():
        print(f"{name}: largest deviation {apart:.3g}, absolute {absolute:.3g}")
    return 0 if max(apart for apart, _ in worst.values()) <= agent.contract["weights"].get("largest_deviation", 1e-4) else 1
