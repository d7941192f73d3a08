"""Five small sets of classified rows, from installed packages, and the features that a bandit sees of them.

    set               rows    columns   classes   package
    breast-cancer     569     30        2         scikit-learn
    digits            1,797   64        10        scikit-learn
    image-segments    2,310   18        7         river
    phishing          1,250   9         2         river
    wine              178     13        3         scikit-learn

They are read from the installed packages when they are needed. Nothing is downloaded.
"""

import dataclasses
import functools
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int

from quickstudy.protocol.errors import MissingExtraError
from quickstudy.tasks.suites.suite import CLASSIFICATION_SETS

SetName = Literal["breast-cancer", "digits", "image-segments", "phishing", "wine"]
SET_NAMES: tuple[SetName, ...] = get_args(SetName)
TRAIN_SHARE = 0.4
"""Share of the rows that tasks of training have; 60 % of the smallest set still fill a lifetime of 100 steps."""
_FARTHEST = 4.0
_OF_RIVER = {"image-segments": "ImageSegments", "phishing": "Phishing"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationTable:
    """`columns` `[rows, columns]`, as they are in the set; `labels` `[rows]`, from 0; `classes`: how many there are."""

    name: str
    columns: Float[np.ndarray, "rows columns"]
    labels: Int[np.ndarray, " rows"]
    classes: int

    @property
    def trains(self) -> Bool[np.ndarray, " rows"]:
        """Which rows tasks of training have, at random and always the same ones."""
        chosen = np.zeros(len(self.labels), bool)
        order = np.random.default_rng(0).permutation(len(chosen))
        chosen[order[: round(TRAIN_SHARE * len(chosen))]] = True
        return chosen


@functools.cache
def read_table(name: SetName) -> ClassificationTable:
    """A set.

    Args:
      name: of `SET_NAMES`.
    Raises:
      MissingExtraError: scikit-learn or river is not installed.
    """
    try:
        columns, labels = _of_river(_OF_RIVER[name]) if name in _OF_RIVER else _of_scikit_learn(name)
    except ImportError as error:
        raise MissingExtraError(CLASSIFICATION_SETS.title, CLASSIFICATION_SETS.extra) from error
    classes, numbers = np.unique(labels, return_inverse=True)
    return ClassificationTable(
        name=name, columns=np.asarray(columns, np.float64), labels=numbers.astype(np.int32), classes=len(classes)
    )


def whitened(table: ClassificationTable, *, features: int) -> Float[np.ndarray, "rows features"]:
    """The first principal components of all rows, each with mean 0 and deviation 1 over the rows of training.

    Means, deviations and directions are those of the rows of training. Labels are not used. Numbers beyond 4 are set to 4, so
    that no row is far from what agents were trained on. Where a set has too few columns, the last features are 0.

    Args:
      table: the set.
      features: how many.
    """
    known = table.columns[table.trains]
    varies = known.std(0) > 0
    scaled = (table.columns[:, varies] - known[:, varies].mean(0)) / known[:, varies].std(0)
    _, sizes, directions = np.linalg.svd(scaled[table.trains], full_matrices=False)
    kept = np.flatnonzero(sizes > 1e-6 * sizes[0])[:features]
    deviations = sizes[kept] / len(known) ** 0.5
    components = scaled @ directions[kept].T / deviations
    return np.pad(components.clip(-_FARTHEST, _FARTHEST), ((0, 0), (0, features - len(kept))))


def _of_scikit_learn(name: str) -> tuple[Any, Any]:
    """Columns and labels."""
    from sklearn import datasets

    read = {"breast-cancer": datasets.load_breast_cancer, "digits": datasets.load_digits, "wine": datasets.load_wine}[name]
    return read(return_X_y=True)


def _of_river(name: str) -> tuple[Any, Any]:
    """Columns and labels."""
    from river import datasets

    rows = list(getattr(datasets, name)())
    return [list(row.values()) for row, _ in rows], [label for _, label in rows]
