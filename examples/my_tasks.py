"""The best price for each shop, found within a season.

Shops differ in the number of customers and in how strongly a higher price reduces sales. Both numbers are unknown at first.
Each week the agent chooses a price from a list and observes the profit of the week. A lifetime is one season in one shop.

    quickstudy check examples/my_tasks.py:make
    quickstudy train rl2 examples/my_tasks.py:make --budget 2m
"""

import gymnasium
import jax
import jax.numpy as jnp

from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split

SPLITS = ("train", "test", "ood:thrifty-customers")
PRICES = jnp.linspace(2.0, 10.0, 9)
COST = 1.0


@record
class Shop:
    """`elasticity` `[]`: how demand falls with the price; `demand` `[]`: goods sold a week at price 1, in hundreds."""

    elasticity: jax.Array
    demand: jax.Array


def profit(shop):
    """Expected profit of a week at every price `[9]`, in hundreds."""
    return (PRICES - COST) * shop.demand * jnp.exp(-shop.elasticity * (PRICES - 1.0))


def make(*, weeks: int = 26) -> TaskDistribution:
    """Shops whose customers are not known yet; one lifetime is a season of weeks, one price each."""

    def sample(split, key):
        elasticity, demand = mark_split(jax.random.uniform(key, (2,)), split, SPLITS)
        lowest = 0.4 if split == "ood:thrifty-customers" else 0.1
        return Shop(elasticity=lowest + 0.3 * elasticity, demand=0.5 + demand)

    def reset(shop, key):
        return jnp.int32(0), jnp.int32(0)

    def step(shop, state, action, key):
        reward = profit(shop)[action] * jnp.exp(0.1 * jax.random.normal(key) - 0.005)
        no = jnp.asarray(False)
        return state, Outcome(observation=jnp.int32(0), reward=reward, terminated=no, truncated=no)

    prices = gymnasium.spaces.Discrete(len(PRICES))
    return TaskDistribution(
        spec=Spec(observation_space=gymnasium.spaces.Discrete(1), action_space=prices, horizon=1, episodes=weeks),
        splits=SPLITS, sample=sample, reset=reset, step=step,
        describe=lambda shop: {"elasticity": shop.elasticity, "demand": shop.demand},
        floor=lambda shop: weeks * profit(shop).mean(),
        ceiling=lambda shop: weeks * profit(shop).max(),
    )  # fmt: skip
