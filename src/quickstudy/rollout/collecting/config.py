"""Where lifetimes on host distributions are run: the settings."""

import dataclasses
import re
from typing import Annotated

from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.setting_values import Range, Seconds
from quickstudy.protocol.settings import check_above_zero

_KINDS = re.compile(r"inline|processes|ray(:auto|:(//)?[^/\s]+:\d+)?")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CollectingConfig:
    """How environments outside JAX are run. Tasks that are written in JAX ignore these settings.

    Raises:
      UsageError: a setting out of its range, or two that exclude each other.
    """

    collectors: str = "processes"
    """`inline` (in this process), `processes`, or a Ray cluster: `ray`, `ray:auto`, `ray:HOST:PORT`, `ray://HOST:PORT`."""
    workers: Annotated[int, Range(least=0, most=65_536)] = 0
    """Worker processes or Ray actors; 0 is one for each core of this machine, or of the Ray cluster."""
    parallel_environments: int = 64
    """Lifetimes that each worker runs side by side, each with an environment of its own."""
    worker_python: str = ""
    """A Python interpreter for worker processes, if environments need packages that this interpreter cannot have."""
    patience_seconds: Seconds = 120.0
    """Seconds after which a worker that sends nothing is replaced."""

    def __post_init__(self) -> None:
        check_above_zero(self, "parallel_environments", "patience_seconds")
        if not _KINDS.fullmatch(self.collectors):
            raise UsageError(
                "collectors must be inline, processes, ray, ray:auto, ray:HOST:PORT or ray://HOST:PORT; "
                f"came {self.collectors!r}."
            )
        if self.worker_python and self.collectors != "processes":
            raise UsageError(f"worker_python is for worker processes; came {self.worker_python!r} with {self.collectors!r}.")
