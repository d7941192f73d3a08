"""Recommendation to simulated visitors, each fitted to the records of one real person: 50 items in one visit.

The tasks are those of `recommendation`, with the same spec, but for where the chances of a click come from. The records are in
`visitor_records`: ratings of films, or purchases of households.

**What is simulated.** Nobody recorded what a person would have answered to other items. So the responses are simulated, with
one chance for each item. The same item may be shown again, with the same chance of a click at each time. Nothing here is an
estimate of what a policy would have earned from these people. What is real is how people differ from one another.

- Drawn once per lifetime: the person, and so the chance of a click on each item.
- Observation, action and reward: as in `recommendation`. Vectors of items are fitted to the people of training.

People are divided once, and whole: a quarter of them is held out. Item vectors, clusters and the prior of the experts are
fitted to the others (`numerics.visitor_tastes`), which is also the fit of `quickstudy fit --as recommendation`.

- `train`: half of the visitors are people of training. The others are drawn from the fitted clusters (`train_clusters`).
- `test`: people who were held out. A chance of a click is the mean of what this person did with the item and, counted as
  `trust` views, of the fitted model at the person's most likely taste. Where nothing was recorded, the model stands alone.
- `ood:own-records`: the same people, without the model. Only items that the person rated, or offers that were on the shelf at
  a purchase, may be shown. The chance is the recorded share: of films it is 0 or 1. Still, an item may be shown again.

Splits are disjoint by construction: the people are, and `mark_split` writes the number of the split into the chances. There
are few people in `test`, so lifetimes on many tasks repeat them: an interval has to be taken over people
(`benchmarks/real_users.py`). `floor` and `ceiling` are exact; the ceiling knows the chances.
"""

import dataclasses
from functools import partial
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from quickstudy.baselines.decisions.popularity import popularity_agent
from quickstudy.baselines.models.recommendation import Recommendation, best_of_offered, click_chance
from quickstudy.numerics.visitor_tastes import completed_chances, tastes_of
from quickstudy.protocol.errors import UsageError
from quickstudy.protocol.records import Outcome, record
from quickstudy.protocol.setting_values import FRACTION, POSITIVE, Count, Range
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split
from quickstudy.tasks.decisions.recommendation import allowed_items, shop_observation, visitor_experts
from quickstudy.tasks.suites.suite import VISITOR_RECORDS
from quickstudy.tasks.suites.visitor_records import Source, VisitorRecords, read_records

SUITE = VISITOR_RECORDS
SPLITS = ("train", "test", "ood:own-records")


@record
class RecordedVisitor:
    """`chances` `[items]` of a click; `offered` `[items]`: items that may be shown; `person` `[]`: -1 for nobody real."""

    chances: Float[Array, " items"]
    offered: Bool[Array, " items"]
    person: Int[Array, ""]


@record
class Visit:
    """`steps` `[]`: items shown so far; `allowed` `[items]`: those that may be shown now."""

    steps: Int[Array, ""]
    allowed: Bool[Array, " items"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class People:
    """People of training and others, as arrays.

    Args:
      prior: fitted to the people of training.
      rates: `[items]`, mean chance of a click of the people of training.
      known, held_out: `[people, items]`, chances of the people of training, and of the others.
      shares: `[people, items]`, recorded shares of clicks of those who were held out; 0 where nothing was recorded.
      seen: `[people, items]`, where something was recorded.
      numbers: places of all people in the records: those of training, then the others.
    """

    prior: Recommendation
    rates: Float[np.ndarray, " items"]
    known: Float[np.ndarray, "known items"]
    held_out: Float[np.ndarray, "held_out items"]
    shares: Float[np.ndarray, "held_out items"]
    seen: Bool[np.ndarray, "held_out items"]
    numbers: tuple[Int[np.ndarray, " known"], Int[np.ndarray, " held_out"]]


def recorded_visitors(
    *,
    source: Source = "movielens",
    items: Annotated[int, Range(least=20, most=200)] = 100,
    clusters: Annotated[int, Range(least=1, most=32)] = 8,
    steps: Count = 50,
    available: Annotated[float, Range(above=0, most=1)] = 0.5,
    train_clusters: Annotated[float, FRACTION] = 0.5,
    held_out: Annotated[float, Range(least=0.1, most=0.5)] = 0.25,
    trust: Annotated[float, POSITIVE] = 2.0,
) -> TaskDistribution:
    """Recommendation of items to visitors who are fitted to real people.

    Args:
      source: ratings by users of MovieLens, or purchases of catsup, crackers, ketchup, tuna or yogurt.
      items: number of items of `movielens`, those with most ratings. Other sources have all that were recorded, 17 to 23.
      clusters: number of clusters of visitors, and of numbers in the vector of an item.
      steps: items that are shown in one lifetime.
      available: share of the items that are allowed at a step, above 0; 1 allows all of them.
      train_clusters: share of the visitors of `train` who are drawn from the clusters rather than being people of training.
      held_out: share of the people who are held out.
      trust: number of recorded views for which the model counts in a chance.
    Raises:
      MissingExtraError: the package with the records is not installed.
      UsageError: more clusters than a fifth of the people of training.
    Example:
      >>> recorded_visitors(steps=20).spec.lifetime_steps  # doctest: +SKIP
      20
    Source: ours. MovieLens: Harper & Konstan 2015; the purchases are of the R package Ecdat.
    """
    people = people_of(
        read_records(source, items=items),
        prior=Recommendation(clusters=clusters, size=clusters, steps=steps, available=available),
        held_out=held_out,
        trust=trust,
    )
    return recorded_visitors_of(people, train_clusters=train_clusters)


def people_of(records: VisitorRecords, *, prior: Recommendation, held_out: float, trust: float) -> People:
    """People of training, to whom a prior is fitted, and others.

    Args:
      records: of all.
      prior: `clusters`, `steps` and `available` of it are kept; the rest is fitted.
      held_out: share of the people who are held out.
      trust: as of `completed_chances`.
    Raises:
      UsageError: more clusters than a fifth of the people of training.
    """
    others = records.held_out(held_out)
    most = int((~others).sum()) // 5
    if prior.clusters > most:
        raise UsageError(
            f"clusters must be at most {most}, a fifth of the people of training; came {prior.clusters}. Ask for fewer."
        )
    shows, clicks = records.shows[~others], records.clicks[~others]
    tastes = tastes_of(shows, clicks, clusters=prior.clusters, seed=0)
    known = completed_chances(shows, clicks, tastes, trust=trust)
    shows_of_others, clicks_of_others = records.shows[others], records.clicks[others]
    settings: dict[str, Any] = {**tastes.settings, "items": len(records.items), "size": tastes.vectors.shape[1]}
    fitted = dataclasses.replace(prior, **settings)
    return People(
        prior=fitted,
        rates=known.mean(0),
        known=known,
        held_out=completed_chances(shows_of_others, clicks_of_others, tastes, trust=trust),
        shares=clicks_of_others / np.maximum(shows_of_others, 1.0),
        seen=shows_of_others > 0,
        numbers=(np.flatnonzero(~others), np.flatnonzero(others)),
    )


def recorded_visitors_of(people: People, *, train_clusters: float = 0.5) -> TaskDistribution:
    """The tasks of people and of the prior that was fitted to some of them.

    Args:
      people: of both splits.
      train_clusters: share of the visitors of `train` who are drawn from the clusters.
    """
    prior = people.prior
    spec, vectors = prior.spec, jnp.asarray(prior.item_vectors)

    def reset(task: RecordedVisitor, key: PRNGKeyArray) -> tuple[Visit, Array]:
        state = Visit(steps=jnp.int32(0), allowed=_allowed(prior, task, key))
        return state, shop_observation(prior, steps=state.steps, allowed=state.allowed, signed=jnp.zeros(prior.size))

    def step(task: RecordedVisitor, state: Visit, action: Array, key: PRNGKeyArray) -> tuple[Visit, Outcome]:
        key_click, key_allowed = jax.random.split(key)
        # One number decides for all items: with one key, agents that show different items meet common random numbers.
        clicked = jax.random.uniform(key_click) < task.chances[action]
        following = Visit(steps=state.steps + 1, allowed=_allowed(prior, task, key_allowed))
        signed = jnp.where(clicked, 1.0, -1.0) * vectors[action]
        observation = shop_observation(prior, steps=following.steps, allowed=following.allowed, signed=signed)
        no = jnp.asarray(False)
        return following, Outcome(observation=observation, reward=clicked.astype(jnp.float32), terminated=no, truncated=no)

    def floor(task: RecordedVisitor) -> Array:
        of_offered = jnp.where(task.offered, task.chances, 0.0).sum() / task.offered.sum().astype(jnp.float32)
        return prior.steps * of_offered

    experts = visitor_experts(spec, prior)
    experts["popularity"] = partial(popularity_agent, spec, prior=prior, rates=people.rates)
    return TaskDistribution(
        name="recorded-visitors",
        spec=spec,
        splits=SPLITS,
        sample=partial(_visitor, people, train_clusters),
        reset=reset,
        step=step,
        describe=describe,
        floor=floor,
        ceiling=lambda task: prior.steps * best_of_offered(task.chances, task.offered, prior.available),
        mean_reward=lambda task, state, action: task.chances[action],
        # Which items are offered is seen in the allowed ones.
        shown=("offered",),
        baselines=experts,
    )


def describe(task: RecordedVisitor) -> dict[str, Array]:
    """The parameters of a visitor, by names for people."""
    return {
        "chance of a click on each item": task.chances,
        "items that may be shown": task.offered,
        "person in the records (-1: none)": task.person,
    }


def _allowed(prior: Recommendation, task: RecordedVisitor, key: PRNGKeyArray) -> Bool[Array, " items"]:
    """Which offered items may be shown at a step; all of them in the rare case that none would be."""
    drawn = allowed_items(prior, key) & task.offered
    return jnp.where(drawn.any(), drawn, task.offered)


def _visitor(people: People, train_clusters: float, split: str, key: PRNGKeyArray) -> RecordedVisitor:
    """Draws a visitor of a split."""
    key_person, key_kind, key_cluster, key_offset = jax.random.split(key, 4)
    prior = people.prior
    table = {"train": people.known, "test": people.held_out, "ood:own-records": people.shares}[split]
    numbers = people.numbers[0 if split == "train" else 1]
    drawn = jax.random.randint(key_person, (), 0, len(table))
    chances, person = jnp.asarray(table, jnp.float32)[drawn], jnp.asarray(numbers, jnp.int32)[drawn]
    offered = jnp.asarray(people.seen)[drawn] if split == "ood:own-records" else jnp.ones(prior.items, bool)
    if split == "train":
        centre = jnp.asarray(prior.cluster_centres)[jax.random.randint(key_cluster, (), 0, prior.clusters)]
        taste = centre + prior.offset * jax.random.normal(key_offset, (prior.size,))
        nobody = jax.random.uniform(key_kind) < train_clusters
        chances = jnp.where(nobody, click_chance(prior, jnp.asarray(prior.item_vectors), taste), chances)
        person = jnp.where(nobody, -1, person)
    return RecordedVisitor(chances=mark_split(chances, split, SPLITS), offered=offered, person=person)
