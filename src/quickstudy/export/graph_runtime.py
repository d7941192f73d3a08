"""Runs an exported agent whose form is one graph.

The part below the mark goes into `agent.py` of an exported folder, beside `Lived`, `State` and the checks of
`numpy_runtime.py`, and beside `open_graph` of the runtime that runs the graph.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from quickstudy.export.numpy_runtime import Lived, State, _begun, _reader
from quickstudy.export.onnx_runtime import open_graph  # in the file, that of its own runtime

# The agent.


class Agent:
    """An exported agent.

    Args:
      folder: that holds `contract.json` and the graph.
    """

    def __init__(self, folder: str | Path):
        self.contract = json.loads((Path(folder) / "contract.json").read_text(encoding="utf-8"))
        self._run = open_graph(Path(folder))
        self._ports = self.contract["graph"]["inputs"]
        self._nothing = {one["name"]: np.zeros(one["shape"], one["dtype"]) for one in self._ports}
        self._memory = [f"state.{part['name']}" for part in self.contract["state"]["memory"]]
        self._decided = [one["name"] for one in self.contract["decision"]]
        action, observation = self.contract["lived"]["action"], self.contract["observation"]
        self._checks = {
            "action": _reader(action, "action"),
            "successor": _reader(observation, "successor"),
            "observation": _reader(observation, "observation"),
        }
        self._continuous = action["kind"] != "Discrete"

    def begin(self, **drawn: Any) -> State:
        """The state at the start of a lifetime.

        Args:
          drawn: random words for the parts of memory that the contract names under `drawn_at_start`; dots in a name are
            written as underlines.
        """
        return _begun(self.contract, [self._nothing[name] for name in self._memory], drawn)

    def step(self, state: State, lived: Lived | None, observation: Any) -> tuple[State, dict[str, Any]]:
        """Takes in what followed the last decision, and decides.

        Args:
          state: from `begin` or from the last step; it is not changed.
          lived: what followed the last decision; None at the first step of a lifetime, and only there.
          observation: that is acted on now.
        Returns:
          The next state, and numbers of the policy, value and belief by the names of the contract.
        Raises:
          ValueError: a length or a whole number that the contract does not allow, nothing was decided that `lived` could
            follow, or `lived` is missing.
        """
        feeds = self._nothing | dict(zip(self._memory, state.memory, strict=True))
        feeds["observation"] = self._read("observation", observation)
        begins = state.observation is None
        if begins != (lived is None):
            raise ValueError(
                "nothing was decided yet, so nothing can have followed. Give lived=None at the first step."
                if begins
                else "lived is missing: only the first step of a lifetime has none."
            )
        if lived is None:
            feeds["begins"] = np.asarray(True)
        else:
            feeds |= {"state.observation": state.observation, "state.slot": np.asarray(state.slot, np.int32)}
            feeds["action"] = self._read("action", lived.action)
            if self._continuous and not np.isfinite(feeds["action"]).all():
                raise ValueError("an action must be finite, since somebody has taken it.")
            feeds["reward"], feeds["successor"] = np.asarray(lived.reward, np.float32), self._read("successor", lived.successor)
            feeds |= {name: np.asarray(getattr(lived, name), bool) for name in ("terminated", "truncated")}
        results = self._run(feeds)
        parts = len(self._memory)
        decision = dict(zip(self._decided, results[parts + 2 :], strict=True))
        return State(tuple(results[:parts]), results[parts + 1], results[parts]), decision

    def _read(self, name: str, given: Any) -> Any:
        """What a caller gives, checked, and as the graph takes it."""
        blank = self._nothing[name]
        return np.asarray(self._checks[name](given), blank.dtype).reshape(blank.shape)
