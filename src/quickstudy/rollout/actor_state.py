"""The state of an `Actor` as named NumPy arrays, to be stored, looked at and changed.

The names are those of `Session`: `memory.memory.hidden` is a part of the agent's own memory, below that of the guard. Two more
arrays are counts: `tasks`, which determines the randomness of the next task, and `nonfinite_steps`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.host_distribution import named_leaves
from quickstudy.rollout.session import Session

_MOST_NAMED = 5


@dataclasses.dataclass(frozen=True, kw_only=True)
class ActorState:
    """What an `Actor` must know to go on.

    Args:
      session: the session under way.
      tasks: begun so far, the present one included.
      nonfinite_steps: over all tasks.
    """

    session: Session
    tasks: int
    nonfinite_steps: int

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it by name. The arrays are copies."""
        counts = {"tasks": self.tasks, "nonfinite_steps": self.nonfinite_steps}
        numbers = {name: np.asarray(count, np.int64) for name, count in counts.items()}
        return {name: np.array(leaf) for name, leaf in named_leaves(self.session).items()} | numbers

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], *, like: Session) -> "ActorState":
        """The inverse of `arrays`.

        Args:
          arrays: by name.
          like: shapes and types of a session of the agent.
        Raises:
          SpecError: an array is missing, is not known, or has another shape or a type that cannot be cast without loss.
        """
        wanted = named_leaves(like)
        counts = {
            "tasks": jax.ShapeDtypeStruct((), np.dtype(np.int64)),
            "nonfinite_steps": jax.ShapeDtypeStruct((), np.dtype(np.int64)),
        }
        known = wanted | counts
        missing, extra = [name for name in known if name not in arrays], [name for name in arrays if name not in known]
        if missing or extra:
            raise SpecError(
                f"the state is not one of this agent. Missing: {_some(missing)}; not known: {_some(extra)}. Give what "
                "state_dict() of an Actor with the same agent gave, with changed numbers only. Nothing was changed."
            )
        cast = {name: _cast(name, arrays[name], leaf) for name, leaf in known.items()}
        session = jax.tree.unflatten(jax.tree.structure(like), [jnp.array(cast[name]) for name in wanted])
        return cls(session=session, tasks=int(cast["tasks"]), nonfinite_steps=int(cast["nonfinite_steps"]))


def _cast(name: str, came: Any, like: Any) -> np.ndarray:
    array = np.asarray(came)
    if array.shape != like.shape or not np.can_cast(array.dtype, like.dtype, "same_kind"):
        raise SpecError(
            f"{name} of the state must be {like.dtype}{list(like.shape)}; came {array.dtype}{list(array.shape)}. Nothing was "
            "changed."
        )
    return array.astype(like.dtype)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{', '.join(map(str, names[:_MOST_NAMED])) or 'nothing'}{more}"
