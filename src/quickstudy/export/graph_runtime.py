"""Runs an exported agent whose form is one graph.

The part below the mark goes into `agent.py` of an exported folder, beside `Feedback`, `State` and the checks of
`numpy_runtime.py`, and beside `open_graph` of the runtime that runs the graph.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy.export.numpy_runtime import Feedback, State, _begun, _reader
from quickstudy.export.onnx_runtime import open_graph  # in the file, that of its own runtime

# The agent.

_TRUTHS = (np.asarray(False), np.asarray(True))


class Agent:
    """An exported agent.

    Args:
      folder: that holds `contract.json` and the graph.
    """

    def __init__(self, folder: str | Path):
        self.contract = json.loads((Path(folder) / "contract.json").read_text(encoding="utf-8"))
        self._run = open_graph(Path(folder))
        self._ports = {one["name"]: (one["dtype"], tuple(one["shape"])) for one in self.contract["graph"]["inputs"]}
        self._nothing = [np.zeros(shape, dtype) for dtype, shape in self._ports.values()]
        self._parts = len(self.contract["state"]["memory"])
        self._decided = [one["name"] for one in self.contract["decision"]]
        action, observation = self.contract["feedback"]["action"], self.contract["observation"]
        self._read_action = self._reader(action, "action")
        self._read_successor, self._read_observation = (
            self._reader(observation, name) for name in ("successor", "observation")
        )
        self._continuous = action["kind"] != "Discrete"

    def begin(self, **drawn: Any) -> State:
        """The state at the start of a lifetime.

        Args:
          drawn: random words for the parts of memory that the contract names under `drawn_at_start`; dots in a name are
            written as underlines.
        """
        return _begun(self.contract, self._nothing[: self._parts], drawn)

    def step(self, state: State, feedback: Feedback | None, observation: Any) -> tuple[State, dict[str, Any]]:
        """Takes in what followed the last decision, and decides.

        Args:
          state: from `begin` or from the last step; it is not changed.
          feedback: what followed the last decision; None at the first step of a lifetime, and only there.
          observation: that is acted on now.
        Returns:
          The next state, and numbers of the policy, value and belief by the names of the contract.
        Raises:
          ValueError: a length or a whole number that the contract does not allow, nothing was decided that `feedback` could
            follow, or `feedback` is missing.
        """
        seen = self._read_observation(observation)
        if (state.observation is None) != (feedback is None):
            raise ValueError(
                "nothing was decided yet, so nothing can have followed. Give feedback=None at the first step."
                if state.observation is None
                else "feedback is missing: only the first step of a lifetime has none."
            )
        # In the order of the contract.
        if feedback is None:
            feeds = [*state.memory, *self._nothing[self._parts :]]
            feeds[self._parts + 2], feeds[-1] = _TRUTHS[True], seen
        else:
            action = self._read_action(feedback.action)
            if self._continuous and not np.isfinite(action).all():
                raise ValueError("an action must be finite, since somebody has taken it.")
            reward, successor = np.asarray(feedback.reward, np.float32), self._read_successor(feedback.successor)
            ends = _TRUTHS[bool(feedback.terminated)], _TRUTHS[bool(feedback.truncated)]
            slot = np.asarray(state.slot, np.int32)
            feeds = [*state.memory, state.observation, slot, _TRUTHS[False], action, reward, successor, *ends, seen]
        results, parts = self._run(feeds), self._parts
        decision = dict(zip(self._decided, results[parts + 2 :], strict=True))
        return State(tuple(results[:parts]), results[parts + 1], results[parts]), decision

    def _reader(self, part: dict, name: str) -> Callable[[Any], Any]:
        """A function that gives what a caller gives as the graph takes it, and checks it."""
        check, (dtype, shape) = _reader(part, name), self._ports[name]
        return lambda given: np.asarray(check(given), dtype).reshape(shape)
