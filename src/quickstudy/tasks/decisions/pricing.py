"""Prices of one product: in every period the shop sets one of a few prices, and sees how many units it sells.

- Drawn once per lifetime: the level of demand, log-uniform within 5 and 80 units a period at the reference price; the
  elasticity, uniform within 0.8 and 4; and, if set, another form of demand than the iso-elastic one, a memory
  of past prices, a season of 12 periods, jumps of the level.
- Action: one of `prices` prices, each a fixed part above the one before (16 % with the defaults).
- Observation: `baselines.models.pricing` has it. It has the inputs of the rules, and the belief of the iso-elastic model.
- Reward: minus the regret in % of the optimum, paid in the last period:

      100 Σ_t (best mean profit - mean profit of the price) / Σ_t best mean profit

  Paid earlier, it would reveal the optimum; in money, it would depend on the size of the shop. So the ceiling is exactly 0. The
  best price is that of each period without a memory of prices, so a shop that uses its buyers' memory may exceed the ceiling.

Splits are disjoint by construction: `mark_split` writes the number of the split into the position of the elasticity.

- `train`, `test`: as above.
- `ood:inelastic`: elasticities between 0.3 and 0.8, so the highest price is best.
- `ood:censored-demand`: at most 60 % of the level is in stock, and no more is sold. Profits are those of mean demand, cut
  there.
- `ood:strategic-buyers`: buyers remember prices, and a price below the one that they are used to sells more for a while.
- `ood:promotion-shock`: demand is twice as high for a fifth of the periods.

The rules and their figures are in docs/pricing.md.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from quickstudy.baselines.decisions.pricing_gaussian_process import price_process_agent
from quickstudy.baselines.decisions.pricing_posterior import parametric_thompson_agent, price_bonus_agent, price_programme_agent
from quickstudy.baselines.decisions.pricing_rules import (
    controlled_variance_agent,
    explore_then_exploit_agent,
    fixed_price_agent,
    independent_ucb_agent,
)
from quickstudy.baselines.models import pricing as model
from quickstudy.baselines.random import random_agent
from quickstudy.numerics.count_quantiles import poisson_quantile
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.errors import SpecError
from quickstudy.protocol.made_of import made_of
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split

SPLITS = ("train", "test", "ood:inelastic", "ood:censored-demand", "ood:strategic-buyers", "ood:promotion-shock")
INELASTIC, STOCK, REMEMBERED, PROMOTION = (0.3, 0.8), 0.6, 1.5, 2.0

_SEASON, _HABIT, _JUMP = 12.0, 0.5, 0.5
_UNLIMITED = 1e9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pricing:
    """Products to price, with a prior over what differs between them.

    Args:
      periods: number of periods in a lifetime, at least 2.
      prices: number of prices on the grid, at least 3.
      lowest_price: lowest price on the grid, above the cost.
      highest_price: highest price on the grid, above the lowest.
      cost: cost of one unit, 0 or more.
      level_low: lowest level of demand, units a period at the geometric middle of the prices; above 0.
      level_high: highest level, above the lowest.
      elasticity_low: lowest elasticity, above 0.
      elasticity_high: highest elasticity, above the lowest.
      linear_share: probability of linear demand, in [0, 1].
      logit_share: probability of logit demand; with the other at most 1.
      price_memory: largest exponent of the price that buyers are used to, 0 or more.
      season: largest amplitude of the season, as a part of the level, in [0, 1).
      jump_rate: probability of a jump of the level in a period, in [0, 1].
    Raises:
      SpecError: a setting out of its range.
    Source: ours. The default prior is that of docs/pricing.md.
    """

    periods: int = 10
    prices: int = 12
    lowest_price: float = 1.2
    highest_price: float = 6.0
    cost: float = 1.0
    level_low: float = 5.0
    level_high: float = 80.0
    elasticity_low: float = 0.8
    elasticity_high: float = 4.0
    linear_share: float = 0.0
    logit_share: float = 0.0
    price_memory: float = 0.0
    season: float = 0.0
    jump_rate: float = 0.0

    def __post_init__(self) -> None:
        for name, least in (("periods", 2), ("prices", 3), ("cost", 0), ("price_memory", 0)):
            if getattr(self, name) < least:
                raise SpecError(f"{name} must be {least} or more; came {getattr(self, name)}.")
        orders = [("cost", "lowest_price", "highest_price"), ("level_low", "level_high"), ("elasticity_low", "elasticity_high")]
        for names in orders:
            values = [getattr(self, name) for name in names]
            if values != sorted(set(values)) or (names[0] != "cost" and not values[0] > 0):
                raise SpecError(f"{', '.join(names)} must be above 0 (a cost may be 0) and rise; came {values}.")
        shares = [self.linear_share, self.logit_share]
        if min(shares) < 0 or sum(shares) > 1:
            raise SpecError(f"linear_share and logit_share must be 0 or more, together at most 1; came {shares}.")
        if not 0 <= self.season < 1 or not 0 <= self.jump_rate <= 1:
            came = f"{self.season} and {self.jump_rate}"
            raise SpecError(f"season must be 0 or more and below 1, and jump_rate within 0 and 1; came {came}.")

    @property
    def market(self) -> model.Market:
        """What a shop knows before it begins."""
        return model.Market(
            prices=self.prices,
            lowest_price=self.lowest_price,
            highest_price=self.highest_price,
            cost=self.cost,
            level=(self.level_low, self.level_high),
            elasticity=(self.elasticity_low, self.elasticity_high),
        )


@record
class Product:
    """What is hidden of one product.

    `level` `[]`: units a period at the reference price. `elasticity` `[]`: at the reference price. `form` `[]`: 0 iso-elastic,
    1 linear, 2 logit. `memory` `[]`: exponent of the price that buyers are used to. `season`, `phase` `[]`: amplitude, and
    periods by which it is shifted. `jumps` `[periods]`: factor of the level in each period. `stock` `[]`: units a period;
    mean demand is cut there, and sales at the whole units of it.
    """

    level: Float[Array, ""]
    elasticity: Float[Array, ""]
    form: Float[Array, ""]
    memory: Float[Array, ""]
    season: Float[Array, ""]
    phase: Float[Array, ""]
    jumps: Float[Array, " periods"]
    stock: Float[Array, ""]


@record
class Shop:
    """`seen`: sales so far; `used_to` `[]`: log-price that buyers are used to; `lost`, `best` `[]`: sums of mean profits."""

    seen: model.Sales
    used_to: Float[Array, ""]
    lost: Float[Array, ""]
    best: Float[Array, ""]


@made_of(Pricing)
def pricing(settings: Pricing) -> TaskDistribution:
    """Pricing as a task distribution."""
    market, periods, prices = settings.market, settings.periods, settings.prices
    margin, logs = jnp.float32(market.grid - market.cost), jnp.float32(market.logs)
    spec = Spec(
        observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (model.observation_size(prices),)),
        action_space=gymnasium.spaces.Discrete(prices),
        horizon=periods,
        episodes=1,
    )

    def demand(task: Product, period: Array) -> Float[Array, " prices"]:
        """Mean units at every price in a period, without a memory of prices."""
        turn = 2 * jnp.pi * (period + task.phase) / _SEASON
        level = task.level * task.jumps[period.astype(jnp.int32)] * (1 + task.season * jnp.sin(turn))
        return jnp.minimum(level * shape_of_demand(task, logs), task.stock)

    def reset(task: Product, key: PRNGKeyArray) -> tuple[Shop, Array]:
        del task, key
        nothing = jnp.float32(0.0)
        seen = model.Sales(period=nothing, periods=jnp.zeros(prices), units=jnp.zeros(prices))
        return Shop(seen=seen, used_to=nothing, lost=nothing, best=nothing), model.observed(seen, market, periods=periods)

    def best_profit(task: Product, period: Array) -> Array:
        return (margin * demand(task, period)).max()

    def mean_units(task: Product, state: Shop, action: Array) -> Array:
        means = demand(task, jnp.minimum(state.seen.period, periods - 1.0))
        surprised = jnp.exp(-task.memory * (logs[action] - state.used_to))
        return jnp.minimum(means[action] * surprised, task.stock)

    def mean_reward(task: Product, state: Shop, action: Array) -> Array:
        """The part of the final loss that this price adds."""
        total = jax.vmap(partial(best_profit, task))(jnp.arange(float(periods))).sum()
        lost = best_profit(task, jnp.minimum(state.seen.period, periods - 1.0)) - margin[action] * mean_units(
            task, state, action
        )
        return -100 * lost / total

    def step(task: Product, state: Shop, action: Array, key: PRNGKeyArray) -> tuple[Shop, Outcome]:
        seen, set_price = state.seen, jax.nn.one_hot(action, prices)
        mean, best = mean_units(task, state, action), best_profit(task, jnp.minimum(seen.period, periods - 1.0))
        # A part of a unit cannot be sold, and would tell the exact stock.
        units = jnp.minimum(poisson_quantile(jax.random.uniform(key), mean), jnp.floor(task.stock))
        after = model.Sales(period=seen.period + 1, periods=seen.periods + set_price, units=seen.units + units * set_price)
        lost, total = state.lost + best - margin[action] * mean, state.best + best
        ends = after.period >= periods
        shop = Shop(seen=after, used_to=_HABIT * state.used_to + (1 - _HABIT) * logs[action], lost=lost, best=total)
        reward = jnp.where(ends, -100 * lost / total, 0.0)
        seen_now, no = model.observed(after, market, periods=periods), jnp.asarray(False)
        return shop, Outcome(observation=seen_now, reward=reward, terminated=no, truncated=no)

    def floor(task: Product) -> Array:
        """Exact except with a memory of prices: all prices are equally likely in every period."""
        profits = margin[None] * jax.vmap(partial(demand, task))(jnp.arange(float(periods)))
        return -100 * (1 - profits.mean(1).sum() / profits.max(1).sum())

    return TaskDistribution(
        name="pricing",
        config=dataclasses.asdict(settings),
        spec=spec,
        splits=SPLITS,
        sample=lambda split, key: drawn_product(settings, split, key),
        reset=reset,
        step=step,
        describe=describe,
        floor=floor,
        ceiling=lambda task: jnp.zeros_like(task.level),
        mean_reward=mean_reward,
        baselines=_baselines(spec, market),
    )


def drawn_product(settings: Pricing, split: str, key: PRNGKeyArray) -> Product:
    """The hidden part of a product of a split."""
    keys = jax.random.split(key, 9)
    place = mark_split(jax.random.uniform(keys[0]), split, SPLITS)
    low, high = INELASTIC if split == "ood:inelastic" else (settings.elasticity_low, settings.elasticity_high)
    least, most = math.log(settings.level_low), math.log(settings.level_high)
    level = jnp.exp(jax.random.uniform(keys[1], minval=least, maxval=most))
    kind = jax.random.uniform(keys[2])
    linear, logit = kind < settings.linear_share, kind > 1 - settings.logit_share
    jumped = jax.random.uniform(keys[3], (settings.periods,)) < settings.jump_rate
    jumps = jnp.exp(jnp.cumsum(jnp.where(jumped, _JUMP * jax.random.normal(keys[4], (settings.periods,)), 0.0)))
    if split == "ood:promotion-shock":
        begins = jnp.floor(0.8 * settings.periods * jax.random.uniform(keys[5]))
        at = jnp.arange(float(settings.periods))
        jumps = jumps * jnp.where((at >= begins) & (at < begins + max(1, settings.periods // 5)), PROMOTION, 1.0)
    memory = settings.price_memory * jax.random.uniform(keys[6])
    return Product(
        level=level,
        elasticity=low + (high - low) * place,
        form=jnp.where(linear, 1.0, jnp.where(logit, 2.0, 0.0)),
        memory=jnp.float32(REMEMBERED) if split == "ood:strategic-buyers" else memory,
        season=settings.season * jax.random.uniform(keys[7]),
        phase=_SEASON * jax.random.uniform(keys[8]),
        jumps=jumps,
        stock=STOCK * level if split == "ood:censored-demand" else jnp.float32(_UNLIMITED),
    )


def shape_of_demand(task: Product, logs: Float[Array, " prices"]) -> Float[Array, " prices"]:
    """Demand at every price as a part of the level; all forms have the same elasticity at the reference price."""
    above = jnp.exp(logs) - 1
    elastic = jnp.exp(-task.elasticity * logs)
    linear = jnp.maximum(1 - task.elasticity * above, 0.01)
    logit = 2 * jax.nn.sigmoid(-2 * task.elasticity * above)
    return jnp.where(task.form == 0, elastic, jnp.where(task.form == 1, linear, logit))


def describe(task: Product) -> dict[str, Array]:
    """The hidden numbers by names for people."""
    return {
        "log_level": jnp.log(task.level),
        "elasticity": task.elasticity,
        "form (0 iso-elastic, 1 linear, 2 logit)": task.form,
        "memory": task.memory,
        "season": task.season,
        "phase": task.phase,
        "jumps": task.jumps,
        "stock": task.stock,
    }


def _baselines(spec: Spec, market: model.Market) -> dict[str, Callable[[], Agent]]:
    """Makers of the rules, by the names that tables show."""
    rules: dict[str, Callable[..., Agent]] = {
        "fixed price": fixed_price_agent,
        "explore then exploit": explore_then_exploit_agent,
        "independent UCB": independent_ucb_agent,
        "price process (GP-UCB)": price_process_agent,
        "controlled variance": controlled_variance_agent,
        "parametric Thompson": parametric_thompson_agent,
        "posterior with bonus": price_bonus_agent,
        "price programme": price_programme_agent,
    }
    return {"random": partial(random_agent, spec)} | {name: partial(make, spec, market=market) for name, make in rules.items()}
