"""Chooses the threshold of the guard on recommendation, on visitors of `train`, and measures what it costs elsewhere.

    python benchmarks/recommendation_guard.py                                visitors of train, by whether they have a cluster
    python benchmarks/recommendation_guard.py --split ood:outside-clusters   the same table on another split

The agent is the first training seed of `bundles/recommendation-50`. The guard is that of `docs/recommendation.md`, with its
threshold as a number that one compiled program takes. Each line has the mean number of clicks, and the paired difference from
LinUCB in % with its standard error. The fallback, Bayes-UCB, has a width of 0.5, which was chosen on visitors of `test`.
"""

import argparse

import jax.numpy as jnp
import numpy as np

import quickstudy as qs
from quickstudy.evaluation.evaluate import draw_tasks
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.records import Decision, record
from quickstudy.rollout.runner import run_on_tasks
from quickstudy.tasks.decisions.recommendation import recommendation

SHOP = recommendation()
MONITOR, LINUCB, BAYES_UCB = (
    SHOP.baselines[name]() for name in ("careful mixture-prior Bayes", "item LinUCB", "item Bayes-UCB")
)


@record
class Memories:
    """The memories of the agent, its monitor and both fallbacks; each has seen every step."""

    agent: object
    monitor: object
    linucb: object
    bayes_ucb: object


def guarded(agent):
    """The agent whose fallback acts while the monitor's p-value is below a threshold.

    Its parameters are those of the agent, the threshold, and 1 for Bayes-UCB as the fallback or 0 for LinUCB.
    """

    def begin(params, key):
        return Memories(
            agent=agent.begin(params[0], key),
            monitor=MONITOR.begin((), key),
            linucb=LINUCB.begin((), key),
            bayes_ucb=BAYES_UCB.begin((), key),
        )

    def act(params, memory, observation, key):
        own = agent.act(params[0], memory.agent, observation, key).action
        p_value = MONITOR.act((), memory.monitor, observation, key).extras["p_values"]["task"]
        fallbacks = [one.act((), kept, observation, key).action for one, kept in _fallbacks(memory)]
        other = jnp.where(params[2] > 0, fallbacks[1], fallbacks[0])
        return Decision(action=jnp.where(p_value < params[1], other, own).astype(own.dtype), extras={})

    def adapt(params, memory, experience, key):
        linucb, bayes_ucb = (one.adapt((), kept, experience, key) for one, kept in _fallbacks(memory))
        return Memories(
            agent=agent.adapt(params[0], memory.agent, experience, key),
            monitor=MONITOR.adapt((), memory.monitor, experience, key),
            linucb=linucb,
            bayes_ucb=bayes_ucb,
        )

    def init(key):
        return agent.init(key), jnp.float32(0.0), jnp.float32(0.0)

    return Agent(spec=agent.spec, init=init, begin=begin, act=act, adapt=adapt)


def _fallbacks(memory):
    return (LINUCB, memory.linucb), (BAYES_UCB, memory.bayes_ucb)


def main():
    """Prints a line for each rule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--split", default="train")
    parser.add_argument("--visitors", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=21)
    parser.add_argument("--thresholds", type=float, nargs="*", default=[0.3, 0.5, 0.7, 0.9])
    asked = parser.parse_args()
    bundle = qs.load_bundle("bundles/recommendation-50")
    agent = guarded(bundle.agent)
    drawn, keys = draw_tasks(SHOP, split=asked.split, tasks=asked.visitors, seed=asked.seed)
    outside = np.asarray(drawn.clusters[:, 0]) < 0
    rules = [("LinUCB", 2.0, 0.0), ("the agent", 0.0, 0.0), ("Bayes-UCB", 2.0, 1.0)]
    rules += [(f"guard, p below {threshold:g}", threshold, 1.0) for threshold in asked.thresholds]
    rules += [("the same with LinUCB, 0.37", 0.37, 0.0)]
    against = None
    for name, threshold, fallback in rules:
        params = (bundle.params_of(seed=0), jnp.float32(threshold), jnp.float32(fallback))
        clicks = run_on_tasks(agent, SHOP, params, drawn, keys)[0].sum(1)
        against = clicks if against is None else against
        parts = []
        for kind, members in (("of clusters", ~outside), ("of none", outside)):
            if members.any():
                difference, level = (clicks - against)[members], against[members].mean() / 100
                error = difference.std() / len(difference) ** 0.5
                mean = clicks[members].mean()
                parts.append(f"{members.sum()} {kind}: {mean:.2f}, {difference.mean() / level:+.1f} % (± {error / level:.1f})")
        print(f"{name:28}", "; ".join(parts), flush=True)


if __name__ == "__main__":
    main()
