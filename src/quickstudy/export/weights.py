"""The known arrays of an agent's two programs: their names in exported files, and their bytes."""

from collections.abc import Mapping

import numpy as np

from quickstudy.programs.program import Constant
from quickstudy.rollout.step_programs import StepPrograms


def constant_names(programs: StepPrograms) -> dict[Constant, str]:
    """A name for every constant; arrays that are equal have one name, so that both programs share them."""
    names: dict[Constant, str] = {}
    same: dict[tuple, str] = {}
    for constant in (*programs.take_in.constants, *programs.decide.constants):
        key = (constant.shape, constant.dtype.str, constant.array.tobytes())
        names[constant] = same.setdefault(key, f"w{len(same)}")
    return names


def weight_bytes(programs: StepPrograms, initial: Mapping[str, np.ndarray]) -> int:
    """Bytes of all arrays that an exported agent holds and never changes; numbers in the code are not counted.

    Args:
      programs: of the agent.
      initial: memory at the start of a lifetime; parts of it that are all zeros need no bytes.
    """
    arrays = {name: constant.array for constant, name in constant_names(programs).items() if constant.shape}
    starts = sum(array.nbytes for array in initial.values() if array.any())
    return starts + sum(array.nbytes for array in arrays.values())
