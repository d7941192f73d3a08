"""What the contract of an exported agent says of its graph, where its form is one graph."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from quickstudy.rollout.step_programs import StepPrograms

STATE, NEXT = "state.", "next_state."
"""What names of the state begin with, where it goes in and where it comes out."""
_BEGINS = (
    "begins is true at the first step of a lifetime, and only there. The graph then starts from its initial memory. It reads "
    "nothing of feedback, and of state only what is drawn at the start; give zeros of the right shapes. Every output "
    "next_state.X goes back in as state.X. The graph does not check whole numbers against their ranges. It does not check "
    "that actions are finite either."
)


def graph_terms(programs: StepPrograms, contract: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of the contract that differ from those of other forms, and those that only graphs have.

    Args:
      programs: of the agent.
      contract: of the agent, as other forms have it.
    """
    state = contract["state"] | {"initial_memory": "in the graph; see `graph`"}
    return {"state": state, "graph": {"says": _BEGINS} | _ports(programs, contract)}


def _ports(programs: StepPrograms, contract: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Names, types and shapes of what goes into the graph and comes out. State has no axes of length one."""
    feedback, observation = contract["feedback"], contract["observation"]
    inputs, memory = programs.take_in.inputs, list(programs.memory)
    state: list[tuple[Any, ...]] = [(name, inputs[name].dtype, inputs[name].shape) for name in memory]
    state += [("observation", inputs["observation"].dtype, observation["shape"]), ("slot", np.int32, ())]
    given = [(name, inputs[name].dtype, feedback[name]["shape"]) for name in feedback]
    taken = [*((STATE + name, *rest) for name, *rest in state), ("begins", np.bool_, ()), *given]
    taken += [("observation", inputs["observation"].dtype, observation["shape"])]
    made = [(NEXT + name, *rest) for name, *rest in state]
    made += [(one["name"], one["dtype"], one["shape"]) for one in contract["decision"]]
    plain = lambda ports: [{"name": n, "dtype": np.dtype(t).name, "shape": list(s)} for n, t, s in ports]  # noqa: E731
    return {"inputs": plain(taken), "outputs": plain(made)}
