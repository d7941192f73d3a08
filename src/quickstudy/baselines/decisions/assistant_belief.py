"""The posterior of an assistant's user: cluster, favourites, patience, and whether the favourites have changed.

Given the cluster g of a user, favourites of different situations are independent. The evidence from a situation c is the
log-likelihood L[c, f] of each favourite f. So the evidence of a cluster, and the posterior of a favourite, are

    Z(g) = Π_c Σ_f P(f | g, c) exp L[c, f]        P(f | g, c, seen) ∝ P(f | g, c) exp L[c, f]

Favourites change at most once, and to those of another draw from the same prior. So for each time τ of a change, the evidence
before and after it is that of two users. A hypothesis (τ, g) has the weight

    P(τ) · Σ_g' P(g') Z_before(g') · P(g) Z_after(g)

Sums are exact if every step is a possible time of the change. With the default of `CHANGES` times in a lifetime they are exact
up to the rounding of that time. A hypothesis that the change is still to come has no evidence of its own: it counts with "no
change". The belief about patience is exact on a grid.

Source: Adams & MacKay 2007 (weights of run lengths). Changed: there is at most one change.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from quickstudy.baselines.models.assistant import (
    ASK,
    DISMISSED,
    KEPT,
    NOTHING_SEEN,
    UNDONE,
    WISH,
    Assistant,
    Moment,
    heard_chances,
    willing,
    wish_chances,
)
from quickstudy.numerics.beliefs.belief import CategoricalBelief, JointBelief
from quickstudy.numerics.beliefs.particles import ParticleBelief
from quickstudy.protocol.records import record

CHANGES = 12
"""Possible times of a change in a lifetime, at most."""

_GRID = 15
_LEAST = 1e-9


@record
class UserEvidence:
    """What was seen of a user.

    `step` `[]`: moments that are over. `likelihood` `[times, situations, favourites]`: logarithms, of what was seen since each
    possible change; the first is that of no change. `before` `[times]`: log evidence of what was seen until then. `patience`
    `[grid]`: log-likelihood of each patience.
    """

    step: Int[Array, ""]
    likelihood: Float[Array, "times situations favourites"]
    before: Float[Array, " times"]
    patience: Float[Array, " grid"]


@record
class UserPosterior:
    """`weight` `[times, parts]` of each time of a change and cluster; `favourites` `[times, parts, situations, favourites]`:
    probabilities, given those; `fit` `[times, parts, situations]`: log evidence of each situation; `known` `[times]`: whether
    that time is over."""

    weight: Float[Array, "times parts"]
    favourites: Float[Array, "times parts situations favourites"]
    fit: Float[Array, "times parts situations"]
    known: Bool[Array, " times"]

    @property
    def mean(self) -> Float[Array, "situations favourites"]:
        """Probability of each favourite in each situation."""
        return jnp.einsum("tp,tpcf->cf", self.weight, self.favourites)


class UserModel:
    """What a rule knows before it meets a user: the prior, as arrays.

    Args:
      prior: of the users.
      outside: probability that a user belongs to no cluster; at 1 there are no clusters.
      changes: most possible times of a change.
    """

    def __init__(self, prior: Assistant, *, outside: float = 0.0, changes: int = CHANGES):
        """The arrays of the prior."""
        self.prior = prior
        count, uniform = prior.wishes, np.full((1, prior.situations, prior.wishes), 1 / prior.wishes)
        of_clusters = prior.own / count + (1 - prior.own) * np.eye(count)[prior.cluster_favourites]
        parts = [(of_clusters, np.full(prior.clusters, (1 - outside) / prior.clusters)), (uniform, np.array([outside]))]
        kept = [part for part in parts if part[1].sum() > 0]
        self.log_favourites = jnp.log(jnp.maximum(jnp.float32(np.concatenate([part[0] for part in kept])), _LEAST))
        self.log_parts = jnp.log(jnp.float32(np.concatenate([part[1] for part in kept])))
        drifts = prior.drift_chance > 0
        later = np.unique(np.round(np.linspace(1, prior.steps - 1, min(changes, prior.steps - 1)))) if drifts else np.zeros(0)
        self.times = jnp.int32(np.concatenate([[0], later]))
        self.chance = prior.drift_chance / max(1, len(later))
        """Prior probability of each time of a change."""
        self.grid = jnp.linspace(prior.patience_low, prior.patience_high, _GRID)
        self.wish_chances = wish_chances(jnp.arange(prior.wishes), prior.steady, prior.wishes)
        """Probability of each wish `[favourites, wishes]`."""
        chances = (self.wish_chances, heard_chances(prior, self.wish_chances), 1 - self.wish_chances)
        self.log_seen, self.log_heard, self.log_undone = (jnp.log(jnp.maximum(one, _LEAST)).T for one in chances)
        """Log-likelihood of the favourites `[wishes, favourites]`, if this wish was seen, was heard, or was not the wish."""

    def begin(self) -> UserEvidence:
        """Nothing was seen."""
        prior, times = self.prior, len(self.times)
        return UserEvidence(
            step=jnp.int32(0),
            likelihood=jnp.zeros((times, prior.situations, prior.wishes)),
            before=jnp.zeros(times),
            patience=jnp.zeros(_GRID),
        )

    def after(self, evidence: UserEvidence, moment: Moment, action: Int[Array, ""], came: Int[Array, ""]) -> UserEvidence:
        """The evidence after one more moment.

        Args:
          evidence: until then.
          moment: as it was seen.
          action: that was taken.
          came: what came of it.
        """
        asked, wish = action == ASK, jnp.clip(came - WISH, 0, self.prior.wishes - 1)
        done = jnp.clip(action - 1, 0, self.prior.wishes - 1)
        row = jnp.where(asked, self.log_heard[wish], self.log_seen[wish])
        row = jnp.where(came == KEPT, self.log_seen[done], row)
        row = jnp.where(came == UNDONE, self.log_undone[done], row)
        row = jnp.where((came == NOTHING_SEEN) | (came == DISMISSED), 0.0, row)
        known = (self.times <= evidence.step).astype(jnp.float32)
        likelihood = evidence.likelihood.at[:, moment.situation].add(known[:, None] * row[None])
        step = evidence.step + 1
        now = jax.nn.logsumexp(self.log_parts + self._fit(likelihood[:1])[0].sum(-1))
        answers = willing(self.prior, self.grid, moment.rest)
        answered = jnp.log(jnp.maximum(jnp.where(came == DISMISSED, 1 - answers, answers), _LEAST))
        return UserEvidence(
            step=step,
            likelihood=likelihood,
            before=jnp.where(self.times == step, now, evidence.before),
            patience=evidence.patience + jnp.where(asked, answered, 0.0),
        )

    def posterior(self, evidence: UserEvidence) -> UserPosterior:
        """Probabilities of changes and clusters, and of favourites given those."""
        fit = self._fit(evidence.likelihood)
        known, first = self.times <= evidence.step, jnp.arange(len(self.times)) == 0
        still = 1 - self.prior.drift_chance + self.chance * (~known).sum().astype(jnp.float32)
        at = jnp.log(jnp.maximum(jnp.where(first, still, self.chance), _LEAST)) + jnp.where(first, 0.0, evidence.before)
        logits = jnp.where(known[:, None], at[:, None] + self.log_parts[None] + fit.sum(-1), -jnp.inf)
        return UserPosterior(
            weight=jax.nn.softmax(logits.ravel()).reshape(logits.shape),
            favourites=jax.nn.softmax(self.log_favourites[None] + evidence.likelihood[:, None], axis=-1),
            fit=fit,
            known=known,
        )

    def after_each(
        self, evidence: UserEvidence, posterior: UserPosterior, situation: Int[Array, ""], rows: Float[Array, "rows favourites"]
    ) -> Float[Array, "rows situations favourites"]:
        """Probability of each favourite in each situation, if each of these log-likelihoods is added to a situation.

        Args:
          evidence: until now.
          posterior: of it.
          situation: of this moment.
          rows: `[rows, favourites]`, such as of `log_seen`.
        """
        # Only this situation's factor of the evidence changes, so the others are not computed again.
        here = self.log_favourites[None, None, :, situation] + evidence.likelihood[None, :, None, situation]
        joint = here + jnp.where(posterior.known[None, :, None, None], rows[:, None, None], 0.0)
        change = jax.nn.logsumexp(joint, axis=-1) - posterior.fit[None, :, :, situation]
        weight = jnp.log(posterior.weight)[None] + change
        weight = jax.nn.softmax(weight.reshape(len(rows), -1), axis=-1).reshape(weight.shape)
        table = jnp.einsum("otp,tpcf->ocf", weight, posterior.favourites)
        return table.at[:, situation].set(jnp.einsum("otp,otpf->of", weight, jax.nn.softmax(joint, axis=-1)))

    def patience(self, evidence: UserEvidence) -> ParticleBelief:
        """The belief about patience, on the grid."""
        return ParticleBelief(particles=self.grid[:, None], log_weights=evidence.patience)

    def belief(self, evidence: UserEvidence, posterior: UserPosterior) -> JointBelief:
        """The belief by the names that tasks give their parameters; favourites are the present ones."""
        favourites = {
            f"favourite in situation {place}": CategoricalBelief(probability=one) for place, one in enumerate(posterior.mean)
        }
        return JointBelief(parts=favourites | {"patience": self.patience(evidence)})

    def _fit(self, likelihood: Float[Array, "times situations favourites"]) -> Float[Array, "times parts situations"]:
        return jax.nn.logsumexp(self.log_favourites[None] + likelihood[:, None], axis=-1)
