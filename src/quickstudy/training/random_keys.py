"""Where the randomness of a run comes from: a root key for each seed, the number of the update, and one fixed held-out seed."""

import jax
from jaxtyping import Array, Key, PRNGKeyArray

_INIT_STREAM, _UPDATE_STREAM = 0, 1
_HELD_OUT_SEED = 20_000_303


def init_keys(roots: Key[Array, " seeds"]) -> Key[Array, " seeds"]:
    """The keys `[seeds]` that train states are made from."""
    return jax.vmap(jax.random.fold_in, (0, None))(roots, _INIT_STREAM)


def update_keys(root: PRNGKeyArray, update: Array, lifetimes: int) -> Key[Array, " keys"]:
    """The keys `[lifetimes + 1]` of an update of one seed: one that learning consumes, then one for each lifetime."""
    return jax.random.split(jax.random.fold_in(jax.random.fold_in(root, _UPDATE_STREAM), update), lifetimes + 1)


def held_out_keys(tasks: int) -> Key[Array, " tasks"]:
    """One key for each held-out task `[tasks]` and its lifetime: the same in every run, for every agent."""
    return jax.random.split(jax.random.key(_HELD_OUT_SEED), tasks)
