"""What a port of an agent must know, as plain data: `contract.json`."""

import re
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np

from quickstudy.numerics.distributions import TruncatedNormal
from quickstudy.protocol.records import Spec, blank_observation
from quickstudy.protocol.spaces import describe_space
from quickstudy.rollout.step_programs import StepPrograms

_TEXTS = {
    "call": "step(state, feedback, observation) gives the next state and a decision. feedback is what followed the last "
    "decision; there is none at the first step of a lifetime. The agent adapts to feedback first. Then it decides on "
    "observation.",
    "end_of_episode": "Set terminated or truncated in feedback; successor is the true last observation of the episode, and "
    "observation is the first of the next. The state goes on: what was learned in one episode is known in the next. After "
    "`horizon` steps an episode is truncated in any case.",
    "end_of_lifetime": "The agent was trained and measured for `lifetime_steps` slots on one task. Begin a new state for a new "
    "task. A state may be used longer, but nobody has measured how well the agent decides there.",
    "not_finite": "A step with a reward or an observation that is not finite counts as a step that did not happen: it changes "
    "no memory of the task. A reward that is not known is NaN. In an observation that is decided on, the last finite number "
    "takes the place of each number that is not finite.",
    "refused": "A wrong length, a whole number outside its range, an action that is not finite, and feedback before the first "
    "decision are refused; the state is unchanged then. Bounds of numbers with a fraction are not checked.",
    "randomness": "There is none in the agent. The caller draws an action from the numbers of the policy, or takes the "
    "likeliest.",
}
_POLICIES = {
    "Categorical": "logits: natural logarithms of the probabilities of the actions, in their order; the first action has the "
    "number `start`. The likeliest action is at the largest.",
    "Categoricals": "logits: for each number of an action, natural logarithms of the probabilities of its values, the lowest "
    "value first. Numbers with fewer values than the largest have logits of about -1e9 behind them. Each number is drawn by "
    "itself. The likeliest value is at the largest.",
    "TruncatedNormal": "mean and deviation of independent normal distributions that are cut to the bounds of the action space, "
    "in action units. The likeliest action is the mean. Where actions are whole numbers, bounds lie half a number further out, "
    "and what is drawn is rounded.",
}
_WEIGHTS = {
    None: ("float32", "as the agent was trained."),
    "int8": (
        "int8",
        "matrices are whole numbers from -127 to 127 with a scale for each row. What a row is multiplied with is multiplied by "
        "its scale first. Everything else is float32: what is added, what is computed, and the memory. So policies differ from "
        "those of the agent as it was trained. The recorded steps are those of this form.",
    ),
    "fp16": (
        "float16",
        "matrices are numbers of 16 bits. Everything else is float32: what is added, what is computed, and the memory. So "
        "policies differ from those of the agent as it was trained. The recorded steps are those of this form.",
    ),
}
_ROUNDED = (
    " What a matrix is multiplied with is rounded to 8 bits too, at each step anew. The recorded steps are without that. So "
    "this form repeats them only to `largest_deviation`."
)
_DEVIATION_OF_ROUNDED = 0.5
_UNITS = {
    "value": "expected remaining return of the lifetime, reward units",
    "regret": "how much more an agent that knows the task is expected to earn in what remains, reward units",
}


def contract(
    programs: StepPrograms,
    spec: Spec,
    *,
    bundle: dict[str, Any],
    seed: int,
    memory_bytes: int,
    weights: dict[str, Any],
    products: int,
) -> dict[str, Any]:
    """The contract of an exported agent.

    Args:
      programs: of the agent.
      spec: its spaces and lengths.
      bundle: name, algorithm and digest of the bundle.
      seed: which of the trained agents of the bundle.
      memory_bytes: of one session.
      weights: what they are held in, and their bytes.
      products: multiplications of one step.
    """
    observation = _element(spec.observation_space, blank_observation(spec).dtype)
    kind = type(programs.policy).__name__
    return {
        "format": 2,
        "bundle": bundle,
        "seed": seed,
        **_TEXTS,
        "horizon": spec.horizon,
        "episodes": spec.episodes,
        "lifetime_steps": spec.lifetime_steps,
        "observation": observation,
        "feedback": {
            "action": _element(spec.action_space, programs.take_in.inputs["action"].dtype),
            "reward": {"shape": [], "dtype": "float32", "unit": "that of the tasks the agent was trained on; NaN if not known"},
            "successor": observation,
            "terminated": {"shape": [], "dtype": "bool"},
            "truncated": {"shape": [], "dtype": "bool"},
        },
        "state": {
            "memory": [_array(name, leaf) for name, leaf in programs.memory.items()],
            "initial_memory": "the arrays `initial 0`, `initial 1`, ... of weights.npz, in this order",
            "drawn_at_start": sorted(programs.drawn_at_start),
            "slot": "number of the next step; 0 at the start. A new episode starts at the next multiple of `horizon`",
            "observation": "the last one that was decided on",
        },
        "policy": {"kind": kind, "says": _POLICIES.get(kind, "see the names of the decision")},
        "decision": [_array(name, leaf) | _size(name, programs.policy) for name, leaf in programs.decision.items()],
        "weights": weights,
        "memory_bytes": memory_bytes,
        "multiplications_per_step": products,
    }


def weights_term(quantise: str | None, bytes_: int, *, rounds_factors: bool = False) -> dict[str, Any]:
    """What the contract says of the weights: their type, what that changes, and their bytes.

    Args:
      quantise: `"int8"`, `"fp16"`, or None where weights are as trained.
      bytes_: of all arrays that never change.
      rounds_factors: whether the form also rounds to 8 bits what a matrix is multiplied with.
    """
    numbers, says = _WEIGHTS[quantise]
    term = {"matrices": numbers, "says": says, "bytes": bytes_}
    if rounds_factors:
        says = says.replace(" The recorded steps are those of this form.", _ROUNDED)
        term |= {"says": says, "largest_deviation": _DEVIATION_OF_ROUNDED}
    return term


def whole_range(element: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
    """The least and the largest of each number of an element, where they are whole numbers; else None.

    Args:
      element: as the contract describes it, any but Discrete.
    """
    if element["kind"] == "MultiDiscrete":
        least = np.asarray(element["start"])
        return least, least + np.asarray(element["nvec"]) - 1
    if element["kind"] == "MultiBinary":
        return np.zeros(element["shape"], np.int64), np.ones(element["shape"], np.int64)
    if element["dtype"].startswith("float"):
        return None
    least, most = (np.reshape([int(x) for x in element[side]], element["shape"]) for side in ("low", "high"))
    return least, most


def _array(name: str, leaf: Any) -> dict[str, Any]:
    unit = {"unit": _UNITS[name]} if name in _UNITS else {}
    return {"name": name, "shape": list(leaf.shape), "dtype": np.dtype(leaf.dtype).name} | unit


def in_a_comment(text: str) -> str:
    """A name as a comment of a program can hold it: nothing in it ends a comment or a text. Names may come from anybody."""
    return re.sub(r"[^\w ().,:/+-]", "_", text)


def sizes_of(contract: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """By name of a number that is decided, the sizes in which deviations from it are measured, in its shape."""
    return {
        one["name"]: np.reshape(np.asarray(one["size"], np.float32), one["shape"])
        for one in contract["decision"]
        if "size" in one
    }


def _size(name: str, policy: Any) -> dict[str, Any]:
    """For means and deviations of actions half the range of each action; 1 elsewhere, which is not written down."""
    if not isinstance(policy, TruncatedNormal) or name not in ("policy.mean", "policy.deviation"):
        return {}
    return {"size": [(high - low) / 2 or 1.0 for low, high in zip(policy.low, policy.high, strict=True)]}


def _element(space: gymnasium.Space, dtype: Any) -> dict[str, Any]:
    """One element of a space: how it is given, and how its numbers are checked. The agent encodes it itself."""
    described = describe_space(space)  # type: ignore[arg-type]
    if described["kind"] == "Discrete":
        return described | {"shape": [], "dtype": "int32"}
    return described | {"shape": list(space.shape or ()), "dtype": np.dtype(dtype).name}
