"""Real classified rows as tasks with the spec of `contextual-variants`: a row arrives, and one of its classes is to be named.

At step t a row of a set arrives. The agent names a class by pulling the arm of that class. It is told whether that was right,
and not which class would have been. Such bandits from classified sets are an old protocol (Dudík et al. 2011): the rows are
real, and what every arm would have paid is known. So nothing has to be estimated.

- Drawn once per lifetime: the set, which of its classes take part, which arm each of them has, the order of the rows, and the
  order and the signs of the features. At most as many classes take part as there are arms.
- Observation `[8 + 3 + 5]`, as in `contextual-variants`: 8 features of the row, sine and cosine of a season, the clock, which
  arms are allowed. The season tells nothing here. Arms without a class are never allowed.
- Action: the arm. Reward: 1 for the right class, else 0.

Features are the first principal components of the columns, of mean 0 and deviation 1 over the rows of training
(`classification_tables.whitened`). Directions and deviations come from these rows alone, and no label is used for them.

Splits are disjoint by construction: 40 % of the rows of each set belong to `train`, and the others to `test`. Where a set has
fewer rows than the lifetime has steps, they come again in the same order. Some rows of `phishing` are equal, since its columns
have three values each.

`floor` and `ceiling` are exact: the floor names a class at random, and the ceiling knows every label. No policy that is linear
in 8 features can reach the ceiling. `benchmarks/classification_sets.py` prints what a linear classifier reaches that was
fitted to all labels of the training rows.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.baselines.models.contextual_variants import ContextualVariants
from quickstudy.protocol.records import Outcome, record
from quickstudy.protocol.setting_values import Count, Range
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.tasks.decisions.contextual_variants import site_experts, site_observation
from quickstudy.tasks.suites.classification_tables import SET_NAMES, ClassificationTable, SetName, read_table, whitened
from quickstudy.tasks.suites.suite import CLASSIFICATION_SETS

SUITE = CLASSIFICATION_SETS
SPLITS = ("train", "test")


@record
class RowOrder:
    """A set in one order.

    `which` `[]`: the set. `classes` `[arms]`: the class of each arm; beyond the arms with a class, numbers without meaning.
    `arms` `[]`: arms with a class. `rows` `[steps]`: places of the rows. `components` `[m]`, `signs` `[m]`: of the features.
    """

    which: Int[Array, ""]
    classes: Int[Array, " arms"]
    arms: Int[Array, ""]
    rows: Int[Array, " steps"]
    components: Int[Array, " m"]
    signs: Float[Array, " m"]


@record
class Progress:
    """`steps` `[]`: rows before."""

    steps: Int[Array, ""]


def classification_sets(
    *,
    source: Literal["all", SetName] = "all",
    arms: Annotated[int, Range(least=2, most=50)] = 5,
    features: Annotated[int, Range(least=1, most=64)] = 8,
    steps: Count = 100,
    period: Annotated[float, Range(above=0)] = 20.0,
) -> TaskDistribution:
    """Classes of real rows, named one row after another.

    Args:
      source: one set, or all of them, each equally often.
      arms: number of actions; of a set with more classes, as many take part.
      features: numbers that are seen of a row.
      steps: rows in one lifetime.
      period: steps of the season that the observation shows, and that tells nothing.
    Raises:
      MissingExtraError: scikit-learn or river is not installed.
    Example:
      >>> classification_sets(steps=20).spec.lifetime_steps  # doctest: +SKIP
      20
    Source: Dudík et al. 2011, section 4; the sets are those of scikit-learn and river.
    """
    tables = [read_table(name) for name in SET_NAMES if source in ("all", name)]
    prior = ContextualVariants(arms=arms, features=features, steps=steps, period=period)
    return classification_sets_of(tables, prior=prior)


def classification_sets_of(tables: list[ClassificationTable], *, prior: ContextualVariants) -> TaskDistribution:
    """The tasks of some sets.

    Args:
      tables: the sets.
      prior: sizes of the tasks, and what the experts take for the prior of a site. No weight is fitted to a set.
    """
    spec, most_rows = prior.spec, max(len(table.labels) for table in tables)
    seen = np.zeros((len(tables), most_rows, prior.features), np.float32)
    labels, trains = np.full((2, len(tables), most_rows), -1, np.int32)
    for number, table in enumerate(tables):
        count = len(table.labels)
        seen[number, :count] = whitened(table, features=prior.features)
        labels[number, :count], trains[number, :count] = table.labels, table.trains
    of_sets = np.asarray([table.classes for table in tables], np.int32)

    def sample(split: str, key: PRNGKeyArray) -> RowOrder:
        key_set, key_classes, key_rows, key_components, key_signs = jax.random.split(key, 5)
        which = jax.random.randint(key_set, (), 0, len(tables))
        size = max(prior.arms, int(of_sets.max()))
        # Numbers that are no class of this set are sorted behind all that are.
        missing = (jnp.arange(size) >= jnp.asarray(of_sets)[which]).astype(jnp.float32)
        classes = jnp.argsort(jax.random.uniform(key_classes, (size,)) + missing)[: prior.arms]
        count = jnp.minimum(prior.arms, jnp.asarray(of_sets)[which])
        taking_part = jnp.where(jnp.arange(prior.arms) < count, classes, -2)
        usable = (jnp.asarray(labels)[which][:, None] == taking_part[None]).any(axis=1)
        usable = usable & (jnp.asarray(trains)[which] == (1 if split == "train" else 0))
        order = jnp.argsort(jax.random.uniform(key_rows, (most_rows,)) + (~usable).astype(jnp.float32))
        return RowOrder(
            which=which,
            classes=classes.astype(jnp.int32),
            arms=count.astype(jnp.int32),
            rows=order[jnp.arange(prior.steps) % usable.sum()].astype(jnp.int32),
            components=jax.random.permutation(key_components, prior.features).astype(jnp.int32),
            signs=jax.random.rademacher(key_signs, (prior.features,), jnp.float32),
        )

    def shown(task: RowOrder, steps: Int[Array, ""]) -> Float[Array, " numbers"]:
        row = task.rows[jnp.minimum(steps, prior.steps - 1)]
        features = task.signs * jnp.asarray(seen)[task.which, row][task.components]
        return site_observation(prior, steps=steps, features=features, allowed=jnp.arange(prior.arms) < task.arms)

    def reset(task: RowOrder, key: PRNGKeyArray) -> tuple[Progress, Array]:
        del key
        start = Progress(steps=jnp.int32(0))
        return start, shown(task, start.steps)

    def step(task: RowOrder, state: Progress, action: Array, key: PRNGKeyArray) -> tuple[Progress, Outcome]:
        del key
        right = (task.classes[action] == jnp.asarray(labels)[task.which, task.rows[state.steps]]) & (action < task.arms)
        following = Progress(steps=state.steps + 1)
        no = jnp.asarray(False)
        observation = shown(task, following.steps)
        return following, Outcome(observation=observation, reward=right.astype(jnp.float32), terminated=no, truncated=no)

    return TaskDistribution(
        name="classification-sets",
        spec=spec,
        splits=SPLITS,
        sample=sample,
        reset=reset,
        step=step,
        describe=describe,
        floor=lambda task: prior.steps / task.arms.astype(jnp.float32),
        ceiling=lambda task: jnp.float32(prior.steps),
        # How many arms are allowed is seen, and so may be which set it is.
        shown=("arms", "which"),
        baselines=site_experts(spec, prior),
    )


def describe(task: RowOrder) -> dict[str, Array]:
    """The parameters of a task, by names for people."""
    return {
        "set": task.which,
        "class of each arm": task.classes,
        "arms with a class": task.arms,
        "rows": task.rows,
        "component of each feature": task.components,
        "sign of each feature": task.signs,
    }
