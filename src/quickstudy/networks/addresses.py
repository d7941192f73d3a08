"""Addresses: vectors of length one that are made of observations, so that similar observations have similar addresses.

A step is stored under the address of its observation, and the present observation asks with its own. A few Discrete
observations have one address each.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.networks.layers import Dense
from quickstudy.numerics.linear_algebra import orthogonalised

MOST_EXACT = 64
"""Discrete observations that may each have an address of their own."""


def first_address_map(heads: int, addresses: int, observations: int, *, symbolic: bool, key: PRNGKeyArray) -> Dense:
    """From an encoded observation to what addresses are made of.

    Args:
      heads: addresses of each observation.
      addresses: numbers in an address.
      observations: numbers in an encoded observation.
      symbolic: Discrete observations. Their addresses are orthogonal at first; those of others are features of a kernel.
      key: of the first weights.
    """
    kind = _orthogonal_map if symbolic else _random_map
    maps = [kind(one, addresses, observations) for one in jax.random.split(key, heads)]
    phases = jax.random.uniform(key, (heads * addresses,), maxval=2 * np.pi)
    dense = Dense(observations, heads * addresses, gain=0.0, key=key)
    bias = jnp.zeros_like(phases) if symbolic else phases
    return eqx.tree_at(lambda dense: (dense.weight, dense.bias), dense, (jnp.concatenate(maps), bias))


def addresses_of(
    seen: Float[Array, "*time seen"], address_map: Dense | None, *, heads: int, symbolic: bool
) -> Float[Array, "*time heads addresses"]:
    """The addresses of encoded observations.

    Args:
      seen: encoded observations.
      address_map: None where every observation has an address of its own.
      heads: addresses of each observation.
      symbolic: Discrete observations, whose addresses are linear; those of others are random features of a kernel.
    """
    if address_map is None:
        return jnp.broadcast_to(seen[..., None, :], (*seen.shape[:-1], heads, seen.shape[-1]))
    flat = address_map(seen)
    keys = (flat if symbolic else jnp.cos(flat)).reshape(*flat.shape[:-1], heads, -1)
    return keys * jax.lax.rsqrt(jnp.square(keys).sum(-1, keepdims=True) + 1e-6)


def _orthogonal_map(key: PRNGKeyArray, addresses: int, seen: int) -> Float[Array, "addresses seen"]:
    """Columns, or rows if there are fewer, of length one and orthogonal to each other."""
    size = max(addresses, seen)
    return orthogonalised(jax.random.normal(key, (size, size)))[:addresses, :seen]


def _random_map(key: PRNGKeyArray, addresses: int, seen: int) -> Float[Array, "addresses seen"]:
    """Frequencies whose cosines approximate Gaussian kernels of several widths (Rahimi and Recht 2007)."""
    widths = jnp.exp(jnp.linspace(jnp.log(0.3), jnp.log(3.0), addresses)) * seen**0.5
    return jax.random.normal(key, (addresses, seen)) / widths[:, None]
