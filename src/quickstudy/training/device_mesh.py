"""The devices that share the lifetimes of an update."""

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from quickstudy.protocol.meta_algorithm import LIFETIMES_AXIS, MetaAlgorithm


def device_mesh(algorithm: MetaAlgorithm) -> Mesh:
    """As many of the local devices as can share the lifetimes of one update evenly."""
    devices = jax.local_devices()
    fitting = [n for n in range(1, len(devices) + 1) if algorithm.lifetimes % (n * algorithm.share_multiple) == 0]
    return Mesh(np.asarray(devices[: max(fitting, default=1)]), (LIFETIMES_AXIS,), axis_types=(AxisType.Auto,))
