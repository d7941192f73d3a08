"""What is believed of something hidden, in one form for every family of distributions.

A belief is about an array of numbers: chances, rewards, coordinates, or which of several hypotheses holds, as zeros and a one.
It tells their mean and standard deviation, and draws them. Means are over draws: E[sample] = mean, Var[sample] = deviation².

- `DirichletBelief`: chances of the outcomes of something that happens again and again; two outcomes make it a Beta.
- `CategoricalBelief`: which of finitely many hypotheses holds.
- `JointBelief`: several beliefs at once, about things that have nothing to do with one another.
- `gaussian_belief.GaussianBelief` and `gaussian_latent.LatentBelief`: numbers, normally distributed.

Bayes' rule keeps each of them in its family: counts are added to concentrations, and what an observation refutes falls away.
"""

from typing import Protocol, Self, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from quickstudy.numerics.beliefs.dirichlet import draw_dirichlet
from quickstudy.protocol.records import record


@runtime_checkable
class Belief(Protocol):
    """Mean, deviation and draws have one and the same structure and shapes, that of what is believed."""

    @property
    def mean(self) -> PyTree:
        """Expected numbers."""

    @property
    def deviation(self) -> PyTree:
        """Standard deviation of each number, whatever the others are; at least 0."""

    def sample(self, key: PRNGKeyArray) -> PyTree:
        """The numbers, drawn from the belief, all together."""


@record
class DirichletBelief:
    """Of chances that sum to one along the last axis, independent along the others: `concentration` `[*batch, outcomes]`, >= 1.

    1 everywhere is the uniform prior; every outcome that is seen adds 1 to its own.
    """

    concentration: Float[Array, "*batch outcomes"]

    @classmethod
    def from_counts(cls, counts: Int[Array, "*batch outcomes"]) -> Self:
        """The posterior of the uniform prior, when each outcome was seen so often."""
        return cls(concentration=(counts + 1).astype(jnp.float32))

    @property
    def mean(self) -> Float[Array, "*batch outcomes"]:
        """The chance that each outcome comes next."""
        return self.concentration / self.concentration.sum(axis=-1, keepdims=True)

    @property
    def deviation(self) -> Float[Array, "*batch outcomes"]:
        """Standard deviation of each chance: m (1 - m) / (1 + total) is its square."""
        total = self.concentration.sum(axis=-1, keepdims=True)
        return jnp.sqrt(self.mean * (1.0 - self.mean) / (1.0 + total))

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*batch outcomes"]:
        """Chances."""
        return draw_dirichlet(self.concentration, key)


@record
class CategoricalBelief:
    """Of which hypothesis holds, as an array of zeros and a one: `probability` `[choices]`, which sum to one."""

    probability: Float[Array, " choices"]

    @property
    def mean(self) -> Float[Array, " choices"]:
        """The probabilities."""
        return self.probability

    @property
    def deviation(self) -> Float[Array, " choices"]:
        """Standard deviation of each of the zeros and the one."""
        return jnp.sqrt(self.probability * (1.0 - self.probability))

    def sample(self, key: PRNGKeyArray) -> Float[Array, " choices"]:
        """Zeros, and a one for the hypothesis that was drawn."""
        return jax.nn.one_hot(jax.random.categorical(key, jnp.log(self.probability)), self.probability.size)


@record
class JointBelief:
    """Of several things by name, each independent of the others: `parts`, at least one."""

    parts: dict[str, Belief]

    @property
    def mean(self) -> dict[str, PyTree]:
        """By name."""
        return {name: part.mean for name, part in self.parts.items()}

    @property
    def deviation(self) -> dict[str, PyTree]:
        """By name."""
        return {name: part.deviation for name, part in self.parts.items()}

    def sample(self, key: PRNGKeyArray) -> dict[str, PyTree]:
        """By name; keys are dealt out in the order of the names."""
        names = sorted(self.parts)
        return {name: self.parts[name].sample(one) for name, one in zip(names, jax.random.split(key, len(names)), strict=True)}
