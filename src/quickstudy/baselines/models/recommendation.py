"""A shop that shows one item at a time, and a visitor who clicks on it or not.

Item i has a vector x_i `[d]`, which the shop knows. A visitor has a taste u `[d]`, which the shop does not know. The visitor
clicks on the item with probability

    σ(base + strength x_i · u),  σ the logistic function

Most visitors belong to one of a few clusters: u = centre + offset · N(0, I). An observation of the shop is

    [signed vector of the last item (d numbers), clock, allowed items (0 or 1 for each)]

where the vector is times √d, so that its numbers are about one, and has a minus sign if the visitor did not click. It is zero
before the first response. The clock is the part of the visit that is over.
"""

import dataclasses
from typing import Annotated

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.records import Spec
from quickstudy.protocol.setting_values import FRACTION, NOT_NEGATIVE, POSITIVE, Count, Range
from quickstudy.protocol.spaces import flat_size

DRAW = 10
"""Which draw of centres and item vectors is used, where none are given. Task distributions say why."""
_OF_CENTRES, _OF_ITEMS = 0, 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The prior over visitors, and the shop: flat numbers, so that they can be fitted to records of past visitors.

    Raises:
      SpecError: `centres` or `vectors` of another length than `clusters` or `items` times `size`.
    """

    items: Annotated[int, Range(least=2, most=4096)] = 100
    """Items of the shop, the actions."""
    size: Annotated[int, Range(least=1, most=64)] = 8
    """Numbers in the vector of an item, d."""
    clusters: Annotated[int, Range(least=1, most=256)] = 8
    """Clusters of visitors, all of them equally frequent."""
    steps: Count = 50
    """Items that are shown to a visitor in one lifetime."""
    available: Annotated[float, Range(above=0, most=1)] = 0.5
    """Share of the items that may be shown at a step; which ones changes at every step."""
    offset: Annotated[float, POSITIVE] = 0.2
    """Standard deviation of each number of a taste around the centre of its cluster."""
    strength: Annotated[float, POSITIVE] = 2.0
    """Log-odds of a click for each unit of x · u."""
    base: float = 0.0
    """Log-odds of a click on an item that a visitor neither likes nor dislikes."""
    satiation: Annotated[float, NOT_NEGATIVE] = 0.0
    """By how much the log-odds fall for each time that the item was shown; this fades by a tenth in a step."""
    drift_chance: Annotated[float, FRACTION] = 0.0
    """Chance that a visitor changes to another cluster once."""
    drift_step: Annotated[int, NOT_NEGATIVE] = 0
    """The step of the change; 0: a random one."""
    train_outside: Annotated[float, FRACTION] = 0.25
    """Share of the visitors of `train` whose taste points in any direction, and not to a cluster."""
    centres: tuple[float, ...] = ()
    """Centres of the clusters, one after the other; if empty, random unit vectors that are always the same."""
    vectors: tuple[float, ...] = ()
    """Vectors of the items, one after the other; if empty, random ones of length about one that are always the same."""

    def __post_init__(self) -> None:
        for name, rows in (("centres", self.clusters), ("vectors", self.items)):
            numbers = getattr(self, name)
            if len(numbers) not in (0, rows * self.size):
                raise SpecError(
                    f"{name} must hold {rows} rows of {self.size} numbers, {rows * self.size} in all, or nothing; came "
                    f"{len(numbers)}. Set `{'clusters' if name == 'centres' else 'items'}` and `size` to match."
                )

    @property
    def item_vectors(self) -> Float[np.ndarray, "items d"]:
        """The vectors of the items."""
        if self.vectors:
            return np.asarray(self.vectors, np.float32).reshape(self.items, self.size)
        drawn = np.random.default_rng([self.items, self.size, DRAW, _OF_ITEMS]).standard_normal((self.items, self.size))
        return (drawn / self.size**0.5).astype(np.float32)

    @property
    def cluster_centres(self) -> Float[np.ndarray, "clusters d"]:
        """The mean tastes of the clusters."""
        if self.centres:
            return np.asarray(self.centres, np.float32).reshape(self.clusters, self.size)
        drawn = np.random.default_rng([self.clusters, self.size, DRAW, _OF_CENTRES]).standard_normal((self.clusters, self.size))
        return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)

    @property
    def usual_deviation(self) -> Float[np.ndarray, ""]:
        """Standard deviation of each number of a taste of any direction and of the usual length."""
        return np.asarray(np.sqrt(self.offset**2 + np.square(self.cluster_centres).mean()), np.float32)

    @property
    def neutral(self) -> float:
        """Probability of a click on an item that a visitor neither likes nor dislikes."""
        return float(1 / (1 + np.exp(-self.base)))

    @property
    def slope(self) -> float:
        """Derivative of the probability of a click by x · u, at an item that a visitor neither likes nor dislikes."""
        return self.strength * self.neutral * (1 - self.neutral)

    @property
    def spec(self) -> Spec:
        """Observations and actions of a visit."""
        return Spec(
            observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (self.size + 1 + self.items,)),
            action_space=gymnasium.spaces.Discrete(self.items),
            horizon=self.steps,
            episodes=1,
            action_mask=True,
        )


def prior_for(spec: Spec, prior: Recommendation | None) -> Recommendation:
    """The prior that was given, or the default one with the sizes of the tasks.

    Raises:
      SpecError: tasks of other sizes than the prior, or without items that are allowed or not.
    """
    if not spec.action_mask:
        raise SpecError(
            "a recommendation agent needs tasks that say which items are allowed (Spec.action_mask), as `recommendation` does; "
            f"came observations {spec.observation_space!r} and actions {spec.action_space!r}."
        )
    items = flat_size(spec.action_space)
    size = flat_size(spec.observation_space) - items - 1
    if size < 1:
        raise SpecError(
            f"observations must hold an item vector, a clock and {items} allowed items; came {size + 1 + items} numbers."
        )
    if prior is None:
        return Recommendation(items=items, size=size, steps=spec.lifetime_steps)
    if (prior.items, prior.size) != (items, size):
        raise SpecError(
            f"the prior has {prior.items} items with vectors of {prior.size} numbers; the tasks have {items} with {size}. "
            "Give the prior that the tasks were made with."
        )
    return prior


def click_chance(prior: Recommendation, vectors: Float[Array, "*items d"], taste: Float[Array, " d"]) -> Float[Array, "*items"]:
    """Probability that a visitor of this taste clicks on items of these vectors that were not shown before."""
    return jax.nn.sigmoid(prior.base + prior.strength * jnp.matmul(vectors, taste, precision=jax.lax.Precision.HIGHEST))


def best_of_available(chances: Float[Array, " items"], available: float) -> Float[Array, ""]:
    """`best_of_offered`, where all items are offered."""
    return best_of_offered(chances, jnp.ones(len(chances), bool), available)


def best_of_offered(chances: Float[Array, " items"], offered: Bool[Array, " items"], available: float) -> Float[Array, ""]:
    """Expected largest number of a random set that holds each of the offered ones with this chance.

    With the numbers in falling order, number j is the largest if it is there and the j before it are not. If none is there, all
    of the offered ones are, as in the tasks.

    Args:
      chances: of all items, 0 or more.
      offered: at least one.
      available: in (0, 1].
    """
    falling = -jnp.sort(-jnp.where(offered, chances, -1.0))
    place, count = jnp.arange(len(chances)), offered.sum()
    weights = jnp.where(place < count, available * (1 - available) ** place.astype(jnp.float32), 0.0)
    return falling @ weights + falling[0] * (1 - available) ** count.astype(jnp.float32)
