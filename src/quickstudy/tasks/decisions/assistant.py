"""An assistant that stays silent, asks, or acts on the user's behalf; 60 moments with one user.

`baselines.models.assistant` has the rules and the numbers of observations.

- Drawn once per lifetime: the user's cluster and favourites, the patience, and the moment at which the favourites change.
- Drawn at every moment: the situation, the wish, whether a question is answered and how it is heard. These do not depend on
  what the assistant does, so with one key all agents meet the same moments.
- Reward: what the moment earns or costs.

Splits are disjoint by construction: `mark_split` writes the number of the split into the patience.

- `train`: three of four users belong to a cluster; the others have any favourites (`train_outside`).
- `test`: all users belong to a cluster.
- `ood:outside-clusters`: of 32 random rows of favourites, the one that is least like any cluster.
- `ood:inverted`: where the cluster wishes something, the user wishes to be left alone, and the other way round.
- `ood:two-people`: two users of different clusters share the account; each is there at half of the moments, at random.
- `ood:impatient`: a patience of 0 to 0.2.
- `ood:fickle`: users wish their favourite with half the usual probability.

The ceiling is exact: a dynamic programme over moments and rest for an assistant that knows the user, but not the wish of the
moment, nor which of two people is there. The floor is exact, too.

The figures of the rules are in docs/assistant.md.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from quickstudy.baselines.decisions.assistant_posterior import (
    careful_information_agent,
    expected_value_agent,
    information_agent,
    own_information_agent,
    wish_sampling_agent,
)
from quickstudy.baselines.decisions.assistant_rules import (
    always_ask_agent,
    always_silent_agent,
    ask_first_agent,
    situation_ucb_agent,
)
from quickstudy.baselines.models import assistant as model
from quickstudy.baselines.models.assistant import Assistant
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.made_of import made_of
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split

SPLITS = (
    "train",
    "test",
    "ood:outside-clusters",
    "ood:inverted",
    "ood:two-people",
    "ood:impatient",
    "ood:fickle",
)
ROWS = 32
"""Random rows of favourites among which `ood:outside-clusters` takes the one that is least like a cluster."""
IMPATIENT, FICKLE = (0.0, 0.2), 0.5


@record
class User:
    """One user, or two who share an account.

    `favourites` `[2, situations]`: at first, and after the change or of the other person. `clusters` `[2]`: theirs, -1 for
    none. `changes` `[]`: the moment from which on the second favourites hold. `other` `[]`: chance that the other person is
    there. `patience` `[]`: chance that a rested user answers. `steady` `[]`: chance that the wish is the favourite.
    """

    favourites: Int[Array, "2 situations"]
    clusters: Int[Array, "2"]
    changes: Int[Array, ""]
    other: Float[Array, ""]
    patience: Float[Array, ""]
    steady: Float[Array, ""]


@made_of(Assistant)
def assistant(prior: Assistant) -> TaskDistribution:
    """Assistants as a task distribution."""
    spec, wishes = prior.spec, prior.wishes

    def moment(step: Array, rest: Array, came: Array, key: PRNGKeyArray) -> model.Moment:
        situation = jax.random.randint(key, (), 0, prior.situations)
        return model.Moment(step=step, rest=rest, situation=situation, came=came)

    def reset(task: User, key: PRNGKeyArray) -> tuple[model.Moment, Array]:
        del task
        first = moment(jnp.int32(0), jnp.int32(prior.pause), jnp.int32(-1), key)
        return first, model.observed(first, prior)

    def step(task: User, state: model.Moment, action: Array, key: PRNGKeyArray) -> tuple[model.Moment, Outcome]:
        key_who, key_wish, key_answer, key_heard, key_watched, key_next = jax.random.split(key, 6)
        second = (state.step >= task.changes) | (jax.random.uniform(key_who) < task.other)
        favourite = jnp.where(second, task.favourites[1], task.favourites[0])[state.situation]
        wish = _another(favourite, 1 - task.steady, wishes, key_wish)
        heard = _another(wish, prior.misheard, wishes, key_heard)
        answered = jax.random.uniform(key_answer) < model.willing(prior, task.patience, state.rest)
        watched = jax.random.uniform(key_watched) < prior.watched
        asked, does = action == model.ASK, action > model.ASK
        done = jnp.where(asked & answered, heard, jnp.where(does, action - 1, 0))
        kept = done == wish
        earned = jnp.where(done == 0, 0.0, jnp.where(kept, 1.0, -prior.wrong)) - jnp.where(asked, prior.question, 0.0)
        seen = jnp.where(watched, model.WISH + wish, model.NOTHING_SEEN)
        answer = jnp.where(answered, model.WISH + heard, model.DISMISSED)
        came = jnp.where(does, jnp.where(kept, model.KEPT, model.UNDONE), jnp.where(asked, answer, seen))
        rest = jnp.where(asked, 0, jnp.minimum(state.rest + 1, prior.pause)).astype(jnp.int32)
        following = moment(state.step + 1, rest, came.astype(jnp.int32), key_next)
        no = jnp.asarray(False)
        return following, Outcome(observation=model.observed(following, prior), reward=earned, terminated=no, truncated=no)

    def values_by_rest(task: User, step: Array) -> Float[Array, "rests situations actions"]:
        """Expected reward of every action at a step, for each rest and situation, if the user is known."""
        chances = model.wish_chances(task.favourites, task.steady, wishes)
        first = (1 - task.other) * chances[0] + task.other * chances[1]
        now = jnp.where(step >= task.changes, chances[1], first)
        answers = jax.vmap(lambda rest: model.willing(prior, task.patience, rest))(jnp.arange(prior.pause + 1))
        return jax.vmap(lambda answers: model.expected_values(prior, now, answers))(answers)

    def ceiling(task: User) -> Array:
        def before(worth: Array, step: Array) -> tuple[Array, None]:
            after = jnp.concatenate([worth[1:], worth[-1:]])  # of the next rest, if there is no question
            asks = jnp.arange(prior.actions + 2) == model.ASK
            following = jnp.where(asks[None, None], worth[0], after[:, None, None])
            return (values_by_rest(task, step) + following).max(-1).mean(-1), None

        worth = jax.lax.scan(before, jnp.zeros(prior.pause + 1), jnp.arange(prior.steps), reverse=True)[0]
        return worth[-1]

    def floor(task: User) -> Array:
        unasked = 1 - 1 / (prior.actions + 2)
        steps = jnp.arange(prior.steps)
        values = jax.vmap(partial(values_by_rest, task))(steps).mean((-1, -2))[:, jnp.asarray([0, prior.pause])]
        rested = unasked ** jnp.minimum(steps, prior.pause).astype(jnp.float32)
        return ((1 - rested) * values[:, 0] + rested * values[:, 1]).sum()

    return TaskDistribution(
        name="assistant",
        config=dataclasses.asdict(prior),
        spec=spec,
        splits=SPLITS,
        sample=partial(drawn_user, prior),
        reset=reset,
        step=step,
        describe=describe,
        floor=floor,
        ceiling=ceiling,
        baselines=_baselines(spec, prior),
    )


def drawn_user(prior: Assistant, split: str, key: PRNGKeyArray) -> User:
    """The hidden part of a user of a split."""
    keys = jax.random.split(key, 8)
    clusters_of = jnp.asarray(prior.cluster_favourites)
    first, apart = jax.random.randint(keys[0], (2,), 0, jnp.int32([prior.clusters, max(1, prior.clusters - 1)]))
    # A user who changes is like a new one; two people are of different clusters.
    second = jax.random.randint(keys[1], (), 0, prior.clusters)
    if split == "ood:two-people":
        second = (first + 1 + apart) % prior.clusters
    clusters = jnp.stack([first, second])
    any_favourites = jax.random.randint(keys[2], (2, prior.situations), 0, prior.wishes)
    favourites = clusters_of[clusters]
    own = jax.random.uniform(keys[3], favourites.shape) < prior.own
    if split == "ood:inverted":
        something = jax.random.randint(keys[2], favourites.shape, 1, prior.wishes)
        favourites, clusters = jnp.where(favourites == 0, something, 0), jnp.full(2, -1)
    elif split == "ood:outside-clusters":
        rows = jax.random.randint(keys[2], (2, ROWS, prior.situations), 0, prior.wishes)
        alike = (rows[:, :, None] == clusters_of[None, None]).sum(-1).max(-1)
        favourites, clusters = rows[jnp.arange(2), jnp.argmin(alike, axis=1)], jnp.full(2, -1)
    else:
        outside = jnp.asarray(split == "train") & (jax.random.uniform(keys[4], (2,)) < prior.train_outside)
        favourites = jnp.where(own | outside[:, None], any_favourites, favourites)
        clusters = jnp.where(outside, -1, clusters)
    low, high = IMPATIENT if split == "ood:impatient" else (prior.patience_low, prior.patience_high)
    drifts = jax.random.uniform(keys[5]) < prior.drift_chance
    changes = jnp.where(drifts, jax.random.randint(keys[6], (), 1, prior.steps), prior.steps)
    return User(
        favourites=favourites.astype(jnp.int32),
        clusters=clusters.astype(jnp.int32),
        # The second row of two people is that of the other person, so these do not change.
        changes=jnp.where(split == "ood:two-people", prior.steps, changes).astype(jnp.int32),
        other=jnp.float32(0.5 if split == "ood:two-people" else 0.0),
        patience=mark_split(low + (high - low) * jax.random.uniform(keys[7]), split, SPLITS),
        steady=jnp.float32(prior.steady * (FICKLE if split == "ood:fickle" else 1.0)),
    )


def describe(task: User) -> dict[str, Array]:
    """The parameters of a user, by names for people."""
    first = {f"favourite in situation {place}": one for place, one in enumerate(task.favourites[0])}
    return first | {
        "patience": task.patience,
        "second favourites": task.favourites[1],
        "cluster (-1: none)": task.clusters[0],
        "second cluster (-1: none)": task.clusters[1],
        "moment from which on the second favourites hold": task.changes,
        "chance that the other person is there": task.other,
        "chance that the wish is the favourite": task.steady,
    }


def _another(one: Int[Array, ""], chance: Float[Array, ""] | float, count: int, key: PRNGKeyArray) -> Int[Array, ""]:
    """The same one of `count` numbers, or with this probability one of the others, uniformly."""
    key_whether, key_which = jax.random.split(key)
    other = (one + jax.random.randint(key_which, (), 1, count)) % count
    return jnp.where(jax.random.uniform(key_whether) < chance, other, one)


def _baselines(spec: Spec, prior: Assistant) -> dict[str, Callable[[], Agent]]:
    """Makers of the rules. All see what an agent sees; those with a prior know the clusters, but not the user."""
    rules: dict[str, Callable[..., Agent]] = {
        "always silent": always_silent_agent,
        "always ask": always_ask_agent,
        "ask first": ask_first_agent,
        "situation LinUCB": situation_ucb_agent,
        "wish sampling": wish_sampling_agent,
        "expected value": expected_value_agent,
        "own information": own_information_agent,
        "value of information": information_agent,
        "careful value of information": careful_information_agent,
    }
    return {"random": partial(random_agent, spec)} | {name: partial(make, spec, prior=prior) for name, make in rules.items()}
