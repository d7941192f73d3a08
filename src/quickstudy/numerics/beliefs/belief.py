"""Beliefs about hidden quantities, with one interface for every family of distributions.

A belief is a distribution over an array of numbers: probabilities, rewards, coordinates, or a hypothesis as a one-hot vector.
It has a mean and a standard deviation, and it can be sampled: E[sample] = mean, Var[sample] = deviation².

- `DirichletBelief`: probabilities of the outcomes of a repeated event; with two outcomes it is a Beta distribution.
- `CategoricalBelief`: a hypothesis, of finitely many.
- `JointBelief`: several independent beliefs by name.
- `gaussian.GaussianBelief` and `diagonal_gaussian.LatentBelief`: normal distributions.

Bayes' rule keeps each of them in its family: counts are added to concentrations, and refuted hypotheses get probability 0.
"""

from typing import Protocol, Self, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from quickstudy.numerics.beliefs.dirichlet import draw_dirichlet
from quickstudy.protocol.records import record


@runtime_checkable
class Belief(Protocol):
    """Mean, deviation and samples have the same structure and shapes, those of the hidden quantity."""

    @property
    def mean(self) -> PyTree:
        """Expected numbers."""

    @property
    def deviation(self) -> PyTree:
        """Marginal standard deviation of each number; at least 0."""

    def sample(self, key: PRNGKeyArray) -> PyTree:
        """One joint sample of all numbers; `key` is consumed."""


@record
class DirichletBelief:
    """About probabilities that sum to one along the last axis and are independent along the others.

    `concentration` `[*batch, outcomes]`, at least 1; 1 everywhere is the uniform prior, and every observed outcome adds 1.
    """

    concentration: Float[Array, "*batch outcomes"]

    @classmethod
    def from_counts(cls, counts: Int[Array, "*batch outcomes"]) -> Self:
        """The posterior of the uniform prior after these counts of outcomes."""
        return cls(concentration=(counts + 1).astype(jnp.float32))

    @property
    def mean(self) -> Float[Array, "*batch outcomes"]:
        """The predictive probability of each outcome."""
        return self.concentration / self.concentration.sum(axis=-1, keepdims=True)

    @property
    def deviation(self) -> Float[Array, "*batch outcomes"]:
        """Standard deviation of each probability, √(m (1 - m) / (1 + total))."""
        total = self.concentration.sum(axis=-1, keepdims=True)
        return jnp.sqrt(self.mean * (1.0 - self.mean) / (1.0 + total))

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*batch outcomes"]:
        """Probabilities `[*batch, outcomes]`."""
        return draw_dirichlet(self.concentration, key)


@record
class CategoricalBelief:
    """About a hypothesis as a one-hot vector: `probability` `[choices]`, which sum to one."""

    probability: Float[Array, " choices"]

    @property
    def mean(self) -> Float[Array, " choices"]:
        """The probabilities."""
        return self.probability

    @property
    def deviation(self) -> Float[Array, " choices"]:
        """Standard deviation of each number of the one-hot vector."""
        return jnp.sqrt(self.probability * (1.0 - self.probability))

    def sample(self, key: PRNGKeyArray) -> Float[Array, " choices"]:
        """A one-hot vector of the drawn hypothesis."""
        return jax.nn.one_hot(jax.random.categorical(key, jnp.log(self.probability)), self.probability.size)


@record
class JointBelief:
    """About several independent quantities by name: `parts`, at least one."""

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
        """By name; keys are split in the alphabetical order of the names."""
        names = sorted(self.parts)
        return {name: self.parts[name].sample(one) for name, one in zip(names, jax.random.split(key, len(names)), strict=True)}
