"""One case of the laws: an agent, its tasks, and the few compiled programs that all laws of this agent share.

Nearly all of the laws' time is compilation. So the rollout that every law looks at is compiled once, in the form that the most
demanding law needs: its lifetimes lie on two devices, and each task comes with another one that must have no influence.
"""

import collections
import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from laws.by_hand import compiled
from laws.cases import MAKERS
from quickstudy.protocol.agent import derived_unroll
from quickstudy.protocol.sequences import chunks, where
from quickstudy.rollout.compiled import run_lifetime

LIFETIMES = 6


class World:
    """A distribution, some of its tasks `[LIFETIMES]`, and its functions compiled one by one."""

    def __init__(self, distribution):
        self.distribution = distribution
        sample = jax.jit(functools.partial(distribution.sample_tasks, "train", tasks=LIFETIMES))
        self.tasks = jax.device_get(sample(jax.random.key(3)))
        self.host = compiled(distribution, ("reset", "step"))
        # The world goes by the first task of a pair; the second must have no influence.
        self.of_pairs = dataclasses.replace(
            distribution,
            reset=lambda pair, key: distribution.reset(pair[0], key),
            step=lambda pair, state, action, key: distribution.step(pair[0], state, action, key),
        )


@functools.cache
def world_of(make_distribution):
    """Worlds are few and small, so they are kept for all agents that meet them."""
    return World(make_distribution())


def on_two_devices(tree):
    """Arrays whose leading axis of lifetimes is split over two devices."""
    mesh = jax.make_mesh((2,), ("lifetimes",), axis_types=(jax.sharding.AxisType.Auto,))
    return jax.device_put(tree, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("lifetimes")))


def row(tree, number):
    """One entry of every leaf."""
    return jax.tree.map(lambda leaf: leaf[number], tree)


class Subject:
    """An agent with its world."""

    def __init__(self, name):
        self.name = name
        make_distribution, make_agent = MAKERS[name]
        self.world = world_of(make_distribution)
        self.distribution = self.world.distribution
        self.tasks = self.world.tasks
        self.agent = make_agent(self.distribution.spec)
        self.params = jax.jit(self.agent.init)(jax.random.key(1))
        self.keys = jax.random.split(jax.random.key(2), LIFETIMES)
        self.traces = collections.Counter()

    def counted(self, function_name):
        """A function of the agent that counts how often it is traced."""
        function = getattr(self.agent, function_name)

        @functools.wraps(function)
        def wrapped(*arguments):
            self.traces[function_name] += 1
            return function(*arguments)

        return wrapped

    @functools.cached_property
    def rollout(self):
        """The rollout of many tasks, compiled: `(params, (tasks, others), keys) -> (lifetimes, memories)`."""
        agent = dataclasses.replace(self.agent, **{name: self.counted(name) for name in ("begin", "act", "adapt")})
        one = functools.partial(run_lifetime, agent, self.world.of_pairs)
        return jax.jit(jax.vmap(one, (None, 0, 0)))

    def collect(self, others, *, tasks=None, keys=None):
        """Lifetimes `[LIFETIMES, T]` and last memories of a rollout on two devices, as NumPy arrays."""
        tasks, keys = self.tasks if tasks is None else tasks, self.keys if keys is None else keys
        # Seen apart from the keys of a lifetime, which are typed, everything is an array of NumPy from here on.
        return jax.device_get(self.rollout(self.params, on_two_devices((tasks, others)), on_two_devices(keys)))

    @functools.cached_property
    def collected(self):
        return self.collect(self.tasks)

    @functools.cached_property
    def host(self):
        """The agent with `begin`, `act` and `adapt` compiled one by one."""
        return compiled(self.agent, ("begin", "act", "adapt"))

    def one(self, number=0):
        """Task, key, lifetime and last memory of one lifetime."""
        lifetimes, memories = self.collected
        return row(self.tasks, number), self.keys[number], row(lifetimes, number), row(memories, number)

    @functools.cached_property
    def time_major(self):
        """The lifetimes as they are trained on: `[T, LIFETIMES]`."""
        return jax.tree.map(lambda leaf: np.swapaxes(leaf, 0, 1), self.collected[0])

    def first_chunks(self):
        """The first two chunks of experience of one lifetime, `[2, cadence]`; the same twice if there is but one."""
        _, _, lifetime, _ = self.one()
        cut = jax.tree.map(np.asarray, chunks(lifetime, length=self.agent.cadence))
        count = self.distribution.spec.lifetime_steps // self.agent.cadence
        return [row(cut, min(number, count - 1)) for number in range(2)]

    @functools.cached_property
    def unroll(self):
        """`agent.unroll` on `[T, LIFETIMES]`, compiled; with gradients where the agent has a fast form of its own."""
        return jax.jit(with_gradients(self.agent.unroll) if self.agent.fast_unroll else without_gradients(self.agent.unroll))

    @functools.cached_property
    def meaning(self):
        """The meaning of `unroll`, with gradients: `begin`, `act` and `adapt` in their order, for each lifetime by itself."""
        return jax.jit(with_gradients(jax.vmap(derived_unroll(self.agent), (None, 1, 0), (0, 1))))


@functools.cache
def subject_of(name):
    """A subject that several files look at. The laws do not keep theirs: they look at each once."""
    return Subject(name)


def without_gradients(unroll):
    """`(params, lifetimes, keys) -> ((memories, decisions), none)`."""
    return lambda params, lifetimes, keys: (unroll(params, lifetimes, keys), None)


def with_gradients(unroll):
    """`(params, lifetimes, keys) -> ((memories, decisions), gradients)`.

    The gradients are those of one weighted sum: of the policy and the value at every valid step, of whatever else decisions
    report, and of the last memories. Each number has a random weight of its own, so no error is cancelled by another.
    """

    def run(params, lifetimes, keys):
        trained, rest = eqx.partition(params, eqx.is_inexact_array)

        def total(trained):
            memories, decisions = unroll(eqx.combine(trained, rest), lifetimes, keys)
            reported = jax.vmap(jax.vmap(blank_unless))(lifetimes.valid, decisions.extras)
            return weighted_sum((reported, memories)), (memories, decisions)

        gradients, seen = jax.grad(total, has_aux=True)(trained)
        return seen, gradients

    return run


def blank_unless(valid, tree):
    """A tree as it is where the step is valid, and zeros elsewhere."""
    return where(valid, tree, jax.tree.map(jnp.zeros_like, tree))


def weighted_sum(tree):
    """The sum of all real numbers of a tree, each with a random weight of its own."""
    numbers = jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(tree) if eqx.is_inexact_array(leaf)])
    return (jax.random.normal(jax.random.key(11), numbers.shape) * numbers).sum()
