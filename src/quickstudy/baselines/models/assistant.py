"""An assistant beside a user: at every moment it stays silent, asks, or acts on the user's behalf.

In each situation c a user has a favourite f_c: one of K actions, or 0, to be left alone. At a moment in this situation the user
wishes

    w = f_c with probability `steady`, else one of the K other wishes, all alike

Most users belong to one of a few clusters. The favourite is that of the cluster with probability 1 - own, else any of the
K + 1, all alike. Actions of the assistant are 0: stay silent, 1: ask, 1 + k: do k.

    it is silent    earns 0; with probability `watched` the assistant sees what the user then did
    it does k       earns 1 if w = k; else the user undoes it, which costs `wrong`
    it asks         costs `question`. With probability p · patience the user answers, and the assistant does what it hears. This
                    earns 1, costs `wrong`, or nothing happens. With probability `misheard` it hears another wish. Otherwise
                    the user dismisses the question.

p is 1, or `tired` at the `pause` moments that follow a question. All that is earned or paid can be counted in production. An
observation is

    [clock, rest, situation (one-hot), what came of the last moment (one-hot)]

The clock is the part of the moments that is over. The rest is the number of moments since the last question, as a part of
`pause`, and at most 1. What came of a moment: nothing was seen; it was kept; it was undone; the question was dismissed; the
wish that was seen or heard, from 0 to K. Before the first moment all of these numbers are 0.
"""

import dataclasses
from typing import Annotated

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from quickstudy.protocol.errors import SpecError, UsageError
from quickstudy.protocol.records import Spec, record
from quickstudy.protocol.setting_values import FRACTION, NOT_NEGATIVE, Count, Range
from quickstudy.protocol.settings import check_settings
from quickstudy.protocol.spaces import flat_size

SILENT, ASK = 0, 1
"""Actions of the assistant; those from 2 on do something."""
NOTHING_SEEN, KEPT, UNDONE, DISMISSED, WISH = 0, 1, 2, 3, 4
"""What came of a moment, as numbers; from `WISH` on, the wish that was seen or heard."""

_BEFORE = 2
_DRAW = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Assistant:
    """An assistant that stays silent, asks or acts, with a prior over its users.

    Args:
      situations: number of situations; a moment is in each of them alike.
      actions: number of things that the assistant can do for a user, K.
      clusters: number of clusters of users; all are equally frequent.
      steps: moments in one lifetime.
      steady: probability that a user wishes the favourite of the situation.
      own: probability that a favourite is not that of the cluster.
      wrong: cost of doing what the user does not wish; to do what is wished earns 1.
      question: cost of a question, answered or not.
      misheard: probability that an answer is heard as another wish.
      watched: probability that a silent assistant sees what the user did.
      patience_low: lowest patience, the probability that a rested user answers.
      patience_high: highest patience; it is uniform in between.
      pause: moments after a question in which a user is tired of questions.
      tired: factor of the patience in these moments.
      drift_chance: probability that a user changes once, at a random moment, to one with other favourites.
      train_outside: share of the users of `train` who belong to no cluster.
      favourites: favourites of the clusters, one after the other, 0 for none. If empty: random ones, always the same.
    Raises:
      UsageError: a setting out of its range, or `favourites` of another length.
    Example:
      >>> Assistant(steps=30).spec.lifetime_steps
      30
    Source: ours; the three choices are those of mixed-initiative interfaces (Horvitz 1999).
    """

    situations: Annotated[int, Range(least=1, most=64)] = 6
    actions: Annotated[int, Range(least=1, most=64)] = 4
    clusters: Annotated[int, Range(least=1, most=256)] = 6
    steps: Annotated[int, Range(least=2, most=100_000)] = 60
    steady: Annotated[float, Range(above=0, most=1)] = 0.8
    own: Annotated[float, FRACTION] = 0.2
    wrong: Annotated[float, NOT_NEGATIVE] = 1.0
    question: Annotated[float, NOT_NEGATIVE] = 0.5
    misheard: Annotated[float, FRACTION] = 0.05
    watched: Annotated[float, FRACTION] = 0.1
    patience_low: Annotated[float, FRACTION] = 0.3
    patience_high: Annotated[float, FRACTION] = 0.95
    pause: Count = 3
    tired: Annotated[float, FRACTION] = 0.5
    drift_chance: Annotated[float, FRACTION] = 0.3
    train_outside: Annotated[float, FRACTION] = 0.25
    favourites: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_settings(self)
        if self.patience_low > self.patience_high:
            raise UsageError(
                f"patience_low must not be above patience_high; came {self.patience_low} and {self.patience_high}."
            )
        count = self.clusters * self.situations
        if len(self.favourites) not in (0, count):
            raise UsageError(
                f"favourites must hold {self.clusters} rows of {self.situations} numbers, {count} in all, or nothing; came "
                f"{len(self.favourites)}. Set `clusters` and `situations` to match."
            )
        if any(not 0 <= one <= self.actions for one in self.favourites):
            raise UsageError(
                f"favourites must lie within 0 (to be left alone) and {self.actions}, the number of actions; came "
                f"{min(self.favourites)} to {max(self.favourites)}."
            )

    @property
    def wishes(self) -> int:
        """Number of wishes: the actions, and to be left alone."""
        return self.actions + 1

    @property
    def cluster_favourites(self) -> Int[np.ndarray, "clusters situations"]:
        """The favourite of each cluster in each situation, 0 for none."""
        shape = (self.clusters, self.situations)
        if self.favourites:
            return np.asarray(self.favourites, np.int32).reshape(shape)
        drawn = np.random.default_rng([*shape, self.actions, _DRAW])
        return drawn.integers(0, self.wishes, shape).astype(np.int32)

    @property
    def spec(self) -> Spec:
        """Observations and actions of a lifetime."""
        size = _BEFORE + self.situations + WISH + self.wishes
        return Spec(
            observation_space=gymnasium.spaces.Box(0.0, 1.0, (size,)),
            action_space=gymnasium.spaces.Discrete(self.actions + 2),
            horizon=self.steps,
            episodes=1,
        )


@record
class Moment:
    """What an assistant sees: `step` `[]` and `rest` `[]`, whole numbers; `situation` `[]`; `came` `[]`, of the moment before.

    `came` is -1 before the first moment.
    """

    step: Int[Array, ""]
    rest: Int[Array, ""]
    situation: Int[Array, ""]
    came: Int[Array, ""]


def prior_for_assistant(spec: Spec, prior: Assistant | None) -> Assistant:
    """The prior that was given, or the default one with the sizes of the tasks.

    Args:
      spec: of the tasks.
      prior: of the users, or None.
    Raises:
      SpecError: tasks that are no assistant's, or tasks of other sizes than the prior.
    """
    space, choices = spec.observation_space, spec.action_space
    actions = int(choices.n) - 2 if isinstance(choices, gymnasium.spaces.Discrete) else 0
    one_axis = isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1
    situations = flat_size(space) - _BEFORE - WISH - actions - 1 if one_axis else 0
    if actions < 1 or situations < 1:
        raise SpecError(
            "an assistant needs actions that are to stay silent, to ask and at least one more, and observations of the "
            f"`assistant` tasks; came actions {choices!r} and observations {space!r}."
        )
    if prior is None:
        return Assistant(situations=situations, actions=actions, steps=spec.lifetime_steps)
    if (prior.situations, prior.actions) != (situations, actions):
        raise SpecError(
            f"the prior has {prior.situations} situations and {prior.actions} actions; the tasks have {situations} and "
            f"{actions}. Give the prior that the tasks were made with."
        )
    return prior


def observed(moment: Moment, prior: Assistant) -> Float[Array, " numbers"]:
    """The observation of a moment.

    Args:
      moment: what is seen.
      prior: of which sizes, `steps` and `pause` are used.
    """
    situation = jnp.arange(prior.situations) == moment.situation
    came = jnp.arange(WISH + prior.wishes) == moment.came
    ahead = jnp.stack([moment.step / prior.steps, moment.rest / prior.pause])
    return jnp.concatenate([part.astype(jnp.float32) for part in (ahead, situation, came)])


def moment_of(observation: Float[Array, " numbers"], prior: Assistant) -> Moment:
    """The inverse of `observed`."""
    situation, came = observation[_BEFORE : _BEFORE + prior.situations], observation[_BEFORE + prior.situations :]
    return Moment(
        step=jnp.round(observation[0] * prior.steps).astype(jnp.int32),
        rest=jnp.round(observation[1] * prior.pause).astype(jnp.int32),
        situation=jnp.argmax(situation).astype(jnp.int32),
        came=jnp.where(came.sum() > 0.5, jnp.argmax(came), -1).astype(jnp.int32),
    )


def wish_chances(
    favourites: Int[Array, "*rows"], steady: Float[Array, ""] | float, wishes: int
) -> Float[Array, "*rows wishes"]:
    """Probability of each wish.

    Args:
      favourites: `[...]`, from 0 to K.
      steady: `[]`, probability that the wish is the favourite.
      wishes: how many there are, K + 1.
    Returns:
      `[..., K + 1]`.
    """
    other = (1 - steady) / (wishes - 1)
    return other + (steady - other) * jax.nn.one_hot(favourites, wishes)


def heard_chances(prior: Assistant, wishes: Float[Array, "*rows wishes"]) -> Float[Array, "*rows wishes"]:
    """Probability that an answer is heard as each wish, given the probability of each wish `[..., K + 1]`."""
    return (1 - prior.misheard) * wishes + prior.misheard / prior.actions * (1 - wishes)


def willing(prior: Assistant, patience: Float[Array, "*users"], rest: Int[Array, ""]) -> Float[Array, "*users"]:
    """Probability that a question is answered, for a user of this patience and so many moments after the last question."""
    return patience * jnp.where(rest >= prior.pause, 1.0, prior.tired)


def expected_values(
    prior: Assistant, wishes: Float[Array, "*rows wishes"], answers: Float[Array, ""]
) -> Float[Array, "*rows actions"]:
    """Expected reward of every action, given the probability of each wish.

    Args:
      prior: of the prices.
      wishes: `[..., K + 1]`, probabilities of the wishes.
      answers: `[]`, probability that a question is answered.
    Returns:
      `[..., K + 2]`: of silence, of a question, and of each thing to do.
    """
    alone = wishes[..., 0]
    heard = (1 - prior.misheard) * (1 - alone)
    # A wish for something is misheard as one of K others, of which one is to be left alone.
    mistaken = prior.misheard * (alone + (1 - alone) * (prior.actions - 1) / prior.actions)
    asks = answers * (heard - prior.wrong * mistaken) - prior.question
    acts = wishes[..., 1:] * (1 + prior.wrong) - prior.wrong
    return jnp.concatenate([jnp.zeros_like(alone)[..., None], asks[..., None], acts], axis=-1)
