"""What each inner step is worth on 2-D navigation: the return of an episode after 0, 1, 2 and 3 of them, beside RL².

    python benchmarks/inner_steps.py

500 held-out goals, every training seed of the shipped agents, the same goals and luck for all. MAML learns from 20 episodes
at a time; RL² learns within its first. Means with 95 % intervals over seeds and goals go to `benchmarks/inner_steps.json`, the
picture to `docs/pictures/inner-steps.svg`. `quickstudy bench run navigation-maml` and `navigation-rl2` train the agents again.
"""

import dataclasses
import json
from pathlib import Path

import jax
import matplotlib
import numpy as np
import tyro

import quickstudy as qs
from quickstudy.evaluation.contenders import Contender, contender
from quickstudy.evaluation.evaluate import RESAMPLES, draw_tasks
from quickstudy.numerics import statistics
from quickstudy.numerics.statistics import Draws
from quickstudy.rollout.runner import run_on_tasks

HERE = Path(__file__).parent
PICTURE = HERE.parent / "docs" / "pictures" / "inner-steps.svg"
QUOTED = (-40.41, -11.68, -3.33, -3.23)
"""For MAML after 0 to 3 inner steps; how they were measured is not known to us."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured."""

    maml: str = "bundles/navigation-maml"
    rl2: str = "bundles/navigation-rl2"
    tasks: int = 500
    episodes: int = 80
    rollouts: int = 20
    """Episodes between inner steps, of the bundle."""


def returns_by_episode(one, distribution, task_list, keys):
    """`[seeds, tasks, episodes]`."""
    horizon, found = distribution.spec.horizon, []
    for seed in range(one.seeds):
        reward, _ = run_on_tasks(one.agent, distribution, one.params_of(seed), task_list, keys)
        found.append(reward.reshape(len(keys), -1, horizon).sum(-1, dtype=np.float64))
    return np.stack(found)


def measured(returns):
    """The mean over seeds and tasks of `[seeds, tasks, ...]`, and its interval: `[3, ...]`."""
    draws = Draws(
        seeds=statistics.draw_counts(returns.shape[0], resamples=RESAMPLES, seed=(0, 1)),
        tasks=statistics.draw_counts(returns.shape[1], resamples=RESAMPLES, seed=(0, 0)),
    )
    low, high = statistics.interval(statistics.resampled_means(returns, draws))
    return np.stack([returns.mean((0, 1)), low, high])


def draw(curves, ceiling, settings):
    """Return against episodes lived, on a logarithmic axis."""
    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
    for (name, (value, low, high)), style in zip(curves.items(), ("-", "--", ":"), strict=False):
        at = np.arange(len(value)) + 1
        (line,) = axes.plot(at, value, style, label=name)
        axes.fill_between(at, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    middles = [max(1, number * settings.rollouts + settings.rollouts // 2) for number in range(len(QUOTED))]
    axes.plot(middles, QUOTED, "kx", label="quoted for MAML, its setting not known to us")
    axes.axhline(ceiling, color="grey", linewidth=0.8, linestyle=(0, (1, 3)))
    axes.text(1, ceiling, "knows the goal", fontsize=8, color="grey", va="bottom")
    for number in range(1, settings.episodes // settings.rollouts):
        axes.axvline(number * settings.rollouts + 0.5, color="grey", linewidth=0.5)
        axes.text(number * settings.rollouts + 1, -45, f"step {number}", fontsize=8, color="grey")
    axes.set_ylim(-47, 3)
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 4, 10, 20, 40, 80], ["1", "2", "4", "10", "20", "40", "80"])
    axes.set_xlabel("episode of a lifetime (log scale)")
    axes.set_ylabel("return of the episode")
    axes.set_title(f"2-D navigation, paid by distance: {settings.tasks} held-out goals", loc="left", fontsize=10)
    axes.legend(frameon=False, loc="center left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURE, metadata={"Date": None})


def main():
    """Measures, prints and draws."""
    settings = tyro.cli(Settings, description=__doc__)
    curves, told = {}, {}
    for name, path, episodes in (("MAML", settings.maml, settings.episodes), ("RL²", settings.rl2, None)):
        bundle = qs.load_bundle(path)
        distribution = qs.tasks.make("point-navigation", reward="distance", episodes=episodes or bundle.agent.spec.episodes)
        task_list, keys = draw_tasks(distribution, split="test", tasks=settings.tasks, seed=0)
        one = Contender(agent=bundle.agent_for(distribution.spec), params=bundle.params, trained=True)
        returns = returns_by_episode(one, distribution, task_list, keys)
        label = f"{name}, {one.seeds} seeds"
        curves[label] = measured(returns)
        told[label] = curves[label].T.round(3).tolist()
        if name == "MAML":
            parts = returns.reshape(*returns.shape[:2], -1, settings.rollouts).mean(-1)
            found = measured(parts).T
            told["after inner steps"] = found.round(3).tolist()
            told["after inner steps, each seed"] = parts.mean(1).round(3).tolist()
            for number, (value, low, high) in enumerate(found):
                quoted = f", quoted {QUOTED[number]}" if number < len(QUOTED) else ""
                print(f"MAML after {number} inner steps: {value:.2f} [{low:.2f}, {high:.2f}]{quoted}")
            ceiling = float(np.mean(jax.vmap(distribution.ceiling)(task_list))) / distribution.spec.episodes
            beside = contender(distribution.baselines["trilateration"]())
            curves["trilateration"] = measured(returns_by_episode(beside, distribution, task_list, keys))
        else:
            for number, (value, low, high) in enumerate(curves[label].T):
                print(f"RL², episode {number + 1}: {value:.2f} [{low:.2f}, {high:.2f}]")
    print(f"trilateration, first episode: {curves['trilateration'][0, 0]:.2f}; knows the goal: {ceiling:.2f}")
    told |= {"settings": dataclasses.asdict(settings), "quoted": QUOTED, "knows the goal": ceiling}
    (HERE / "inner_steps.json").write_text(json.dumps(told) + "\n", encoding="utf-8")
    draw(curves, ceiling, settings)


if __name__ == "__main__":
    main()
