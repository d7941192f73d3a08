"""Which variant of a page should a visitor see? New tests, as a table of past tests says that tests turn out.

A lifetime is one test: its conversion rates are not known. Each decision is one batch of visitors of one segment: which
variant do they see? The reward is the number of conversions in the batch.

    quickstudy check examples/page_variants.py:make
    quickstudy train rl2 examples/page_variants.py:make --budget 3m
"""

import csv
from functools import partial
from pathlib import Path

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np

import quickstudy as qs
from quickstudy.baselines.random import random_agent

SPLITS = ("train", "test", "ood:no-winner", "ood:segments-differ")


def read_table(path):
    """Names of the segments, and visitors and conversions `[2, tests, variants, segments]`."""
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [sorted({row[column] for row in rows}) for column in ("test", "variant", "segment")]
    counts = np.zeros((2, *map(len, names)))
    for row in rows:
        place = [values.index(row[column]) for values, column in zip(names, ("test", "variant", "segment"), strict=True)]
        counts[(slice(None), *place)] += float(row["visitors"]), float(row["conversions"])
    if not (counts[0] > 0).all():
        raise ValueError(f"{path}: every test needs every variant in every segment. Leave out the tests that lack one.")
    return names[2], counts


def fit(counts):
    """Mean log-odds of each segment, and how much tests, variants and segments of a variant differ (standard deviations).

    log-odds = segment + test + variant + variant in this segment + noise of counting, and the noise is taken off.
    """
    visitors, conversions = counts
    yes, no = conversions + 0.5, visitors - conversions + 0.5
    odds, noise = np.log(yes / no), (1 / yes + 1 / no).mean()
    segments = odds.mean(axis=(0, 1))
    rest = odds - segments
    of_variant, of_test = rest.mean(axis=2), rest.mean(axis=(1, 2))
    within = rest.var(axis=2, ddof=1).mean()
    between = of_variant.var(axis=1, ddof=1).mean()
    own = within - noise
    variant = between - within / odds.shape[2]
    test = of_test.var(ddof=1) - between / odds.shape[1]
    return segments, np.sqrt(np.maximum([test, variant, own], 0.0))


@qs.record
class Test:
    """`rates` `[variants, segments]`: the share of visitors who convert, in [0, 1)."""

    rates: jax.Array


def counting_agent(spec, choose, *, batch):
    """An agent that keeps visitors and conversions `[2, variants, segments]` of the present test."""

    def begin(params, key):
        return jnp.zeros((2, int(spec.action_space.n), int(spec.observation_space.n)))

    def act(params, memory, segment, key):
        return qs.Decision(action=choose(memory, segment, key).astype(jnp.int32), extras={})

    def adapt(params, memory, experience, key):
        seen = jnp.stack([jnp.full_like(experience.outcome.reward, batch), experience.outcome.reward])
        seen = jnp.where(experience.valid, seen, 0.0)
        return memory.at[:, experience.decision.action, experience.observation].add(seen)

    return qs.Agent(spec=spec, init=lambda key: (), begin=begin, act=act, adapt=adapt, exchangeable=True)


def ab_test(spec, *, batch, part=1 / 3):
    """An A/B test: equal shares for the first part, then the variant with the highest conversion rate for everybody."""

    def choose(memory, segment, key):
        visitors, conversions = memory.sum(axis=2)
        testing = visitors.sum() < part * spec.lifetime_steps * batch
        return jnp.where(testing, jnp.argmin(visitors), jnp.argmax(conversions / jnp.maximum(visitors, 1.0)))

    return counting_agent(spec, choose, batch=batch)


def thompson(spec, prior, *, batch):
    """Thompson sampling in each segment by itself; `prior` `[2, segments]`: visitors and conversions, from the past tests."""

    def choose(memory, segment, key):
        visitors, conversions = memory[:, :, segment] + prior[:, None, segment]
        return jnp.argmax(jax.random.beta(key, conversions, visitors - conversions))

    return counting_agent(spec, choose, batch=batch)


def make(*, table: Path = Path("examples/past_tests.csv"), batches: int = 90, batch: int = 100) -> qs.TaskDistribution:
    """Tests of page variants, like those of a table.

    Args:
      table: CSV file with the columns test, variant, segment, visitors, conversions; a row for each combination.
      batches: decisions in one test.
      batch: visitors in one batch; all of one segment.
    """
    names, counts = read_table(table)
    segments, deviations = fit(counts)
    share = counts[0].sum(axis=(0, 1)) / counts[0].sum()
    variants = counts.shape[2]
    spec = qs.Spec(
        observation_space=gymnasium.spaces.Discrete(len(names)),
        action_space=gymnasium.spaces.Discrete(variants),
        horizon=1,
        episodes=batches,
    )

    def sample(split, key):
        test, variant, own = jnp.asarray(deviations, jnp.float32)
        if split == "ood:no-winner":
            variant, own = 0.0 * variant, 0.0 * own
        if split == "ood:segments-differ":
            own = 3.0 * own
        keys = jax.random.split(key, 3)
        odds = jnp.asarray(segments, jnp.float32)[None] + test * jax.random.normal(keys[0], (1, 1))
        odds = odds + variant * jax.random.normal(keys[1], (variants, 1))
        odds = odds + own * jax.random.normal(keys[2], (variants, len(names)))
        return Test(rates=qs.mark_split(jax.nn.sigmoid(odds), split, SPLITS))

    def reset(test, key):
        segment = jax.random.choice(key, len(names), p=jnp.asarray(share, jnp.float32)).astype(jnp.int32)
        return segment, segment

    def step(test, segment, variant, key):
        conversions = (jax.random.uniform(key, (batch,)) < test.rates[variant, segment]).sum()
        no = jnp.asarray(False)
        return segment, qs.Outcome(observation=segment, reward=conversions.astype(jnp.float32), terminated=no, truncated=no)

    def conversions(rates):
        """Expected conversions of a whole test from the rate `[segments]` of those that are shown."""
        return batches * batch * (jnp.asarray(share, jnp.float32) * rates).sum()

    likely = np.asarray(sample_rates(sample, tests=4000))
    mean, variance = likely.mean(axis=(0, 1)), likely.var(axis=(0, 1))
    visitors = mean * (1 - mean) / variance - 1  # the Beta distribution with this mean and variance
    prior = jnp.asarray([visitors, visitors * mean], jnp.float32)
    return qs.TaskDistribution(
        spec=spec, splits=SPLITS, sample=sample, reset=reset, step=step,
        describe=lambda test: {f"conversion rate, {name}": test.rates[:, i] for i, name in enumerate(names)},
        floor=lambda test: conversions(test.rates.mean(axis=0)),
        ceiling=lambda test: conversions(test.rates.max(axis=0)),
        baselines={
            "equal shares": partial(random_agent, spec),
            "A/B test": partial(ab_test, spec, batch=batch),
            "Thompson sampling": partial(thompson, spec, prior, batch=batch),
        },
    )  # fmt: skip


def sample_rates(sample, *, tests):
    """Rates `[tests, variants, segments]` of simulated tests, for the prior and for a look at them beside the table."""
    return jax.vmap(partial(sample, "train"))(jax.random.split(jax.random.key(0), tests)).rates
