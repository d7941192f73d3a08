"""The devices that share the lifetimes of an update."""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, MetaAlgorithm


def device_mesh(algorithm: MetaAlgorithm) -> Mesh:
    """The devices that share the lifetimes of one update evenly: as many as possible, and equally many of each process.

    Raises:
      UsageError: several processes cannot share the lifetimes evenly.
    """
    processes = jax.process_count()
    devices = [jax.local_devices(process) for process in range(processes)]
    least = processes * algorithm.share_multiple
    fitting = [n for n in range(1, min(map(len, devices)) + 1) if algorithm.lifetimes % (n * least) == 0]
    if processes > 1 and not fitting:
        raise UsageError(
            f"{processes} processes cannot share {algorithm.lifetimes} lifetimes evenly. "
            f"Set --lifetimes to a multiple of {least}."
        )
    chosen = [device for of_process in devices for device in of_process[: max(fitting, default=1)]]
    return Mesh(np.asarray(chosen), (LIFETIMES_AXIS,), axis_types=(AxisType.Auto,))
