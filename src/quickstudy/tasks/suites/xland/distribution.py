"""XLand-MiniGrid: a hidden goal, and hidden rules by which objects turn into others, on a partially observed grid.

The world of Nikulin et al. 2023 through the suite's own functions (`pip install 'quickstudy[xland]'`).

- Drawn once per lifetime: a ruleset, which is the goal, the rules and the objects.
- Observation `[5, 5, 2]` of bytes: tile and colour of the 5 x 5 cells ahead. Goal and rules are not observed.
- Action: 0 to 5, move forward, turn right, turn left, pick up, put down, open or close a door.
- Reward: 1 - 0.9 steps / horizon when the goal is reached, which terminates the episode; else 0.

A new episode puts objects and agent elsewhere. Goal and rules stay, so what was learned in one episode helps in the next.

The suite's own benchmarks are files that it fetches from the network. Rulesets are generated here instead, see `rulesets`,
which also describes how goals keep the splits apart.

- `train`, `test`: different goals; the same kinds of rules and objects.
- `ood:deeper`: one more production before the goal can be reached; other goals again.
- `ood:more-distractors`: three more useless objects and one more rule without effect on the goal; other goals again.

There is no floor and no ceiling: the shortest way to a goal depends on where objects lie. The best return of an episode is a
little less than 1. The only baseline is `random`. Results and their commands stand in docs/xland.md.
"""

import contextlib
import functools
import importlib
from typing import Any, Literal, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray, UInt8

from quickstudy.baselines.random import random_agent
from quickstudy.protocol.errors import MissingExtraError, SpecError
from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.tasks.suites.suite import XLAND
from quickstudy.tasks.suites.xland.rulesets import SPLITS, Family, Rulesets, rulesets_of

SUITE = XLAND

TILES, COLOURS, VIEW, ACTIONS = 13, 12, 5, 6
_HELD_OUT = 10_000


@record
class XLandTask:
    """A ruleset as the suite encodes it: `goal` `[5]`, `rules` `[rules, 7]`, `tiles` `[objects, 2]` of the objects.

    `depth` `[]` is the longest chain of productions.
    """

    goal: UInt8[Array, "5"]
    rules: UInt8[Array, "rules 7"]
    tiles: UInt8[Array, "objects 2"]
    depth: UInt8[Array, ""]


@record
class XLandState:
    """The state of an episode: `grid` `[size, size, 2]`, and the position, direction, carried object and steps of the agent."""

    grid: UInt8[Array, "size size 2"]
    position: Int[Array, "2"]
    direction: Int[Array, ""]
    pocket: UInt8[Array, "2"]
    steps: Int[Array, ""]


def xland_minigrid(
    *,
    rooms: Literal["R1", "R2", "R4", "R6", "R9"] = "R1",
    size: int = 9,
    horizon: int = 80,
    episodes: int = 4,
    depth: int = 1,
    branches: int = 0,
    distractors: int = 2,
    distractor_rules: int = 1,
    directed: bool = False,
    rulesets: int = 20_000,
    rulesets_seed: int = 0,
) -> TaskDistribution:
    """Hidden goals and rules on a grid.

    Args:
      rooms: the suite's layouts, by the number of rooms.
      size: cells along one side, walls included.
      horizon: steps in one episode; the suite's own is three times the number of cells.
      episodes: number of episodes in one lifetime.
      depth: largest number of productions in sequence.
      branches: largest number of productions beside the longest chain.
      distractors: number of useless objects.
      distractor_rules: number of rules without effect on the goal.
      directed: whether goals and rules may require one side of an object.
      rulesets: number of rulesets of `train`; every other split has 10,000.
      rulesets_seed: seed from which they are drawn.
    Raises:
      MissingExtraError: the suite is not installed.
      SpecError: a grid without room for everything, or numbers that do not fit.
    Example:
      >>> xland_minigrid(episodes=2).spec.lifetime_steps  # doctest: +SKIP
      160
    """
    _suite()
    family = Family(
        depth=depth, branches=branches, distractors=distractors, distractor_rules=distractor_rules, directed=directed
    )
    if rulesets < 1:
        raise SpecError(f"rulesets must be 1 or more; came {rulesets}.")
    if rooms not in ("R1", "R2", "R4", "R6", "R9"):
        raise SpecError(f"rooms must be R1, R2, R4, R6 or R9; came {rooms!r}.")
    if (size - 3) ** 2 < family.objects + 1:
        raise SpecError(f"a grid of {size} has no room for {family.objects} objects. Make it larger, or ask for fewer.")
    counts = {split: rulesets if split == "train" else _HELD_OUT for split in SPLITS}
    byte: Any = np.uint8
    spec = Spec(
        observation_space=gymnasium.spaces.MultiDiscrete(np.full((VIEW, VIEW, 2), (TILES, COLOURS)), dtype=byte),
        action_space=gymnasium.spaces.Discrete(ACTIONS),
        horizon=horizon,
        episodes=episodes,
    )

    def sample(split: str, key: PRNGKeyArray) -> XLandTask:
        drawn = rulesets_of(family, split, count=counts[split], seed=rulesets_seed)
        return _ruleset(drawn, jax.random.randint(key, (), 0, counts[split]))

    return TaskDistribution(
        name="xland-minigrid",
        spec=spec,
        splits=SPLITS,
        sample=sample,
        reset=functools.partial(_reset, rooms, size),
        step=functools.partial(_step, horizon),
        describe=lambda task: {"goal": task.goal, "rules": task.rules, "tiles": task.tiles, "depth": task.depth},
        baselines={"random": functools.partial(random_agent, spec)},
    )


class _Suite(NamedTuple):
    """The suite's environment, and the modules that hold its records."""

    environment: Any
    worlds: Any
    records: Any


@functools.cache
def _suite() -> _Suite:
    """The suite, imported when it is first needed."""
    try:
        worlds, records = (importlib.import_module(f"xminigrid.{module}") for module in ("envs.xland", "types"))
    except ImportError as error:
        raise MissingExtraError(XLAND.title, XLAND.extra) from error
    return _Suite(environment=worlds.XLandMiniGrid(), worlds=worlds, records=records)


def _ruleset(rulesets: Rulesets, number: Array) -> XLandTask:
    """The ruleset of a number."""
    parts = ((name, getattr(rulesets, name)) for name in ("goal", "rules", "tiles", "depth"))
    return XLandTask(**{name: jnp.asarray(part)[number] for name, part in parts})


def _reset(rooms: str, size: int, task: XLandTask, key: PRNGKeyArray) -> tuple[XLandState, Array]:
    """The suite's `reset` with this ruleset: objects and agent on other cells."""
    suite = _suite()
    ruleset = suite.records.RuleSet(goal=task.goal, rules=task.rules, init_tiles=task.tiles)
    params = suite.worlds.XLandEnvParams(height=size, width=size, view_size=VIEW, grid_type=rooms, ruleset=ruleset)
    with _suites_own_rules():
        begun = suite.environment.reset(params, key)
    return _kept(begun.state), begun.observation


def _step(horizon: int, task: XLandTask, state: XLandState, action: Array, key: PRNGKeyArray) -> tuple[XLandState, Outcome]:
    """The suite's `step`, which never resets."""
    del key
    suite = _suite()
    agent = suite.records.AgentState(position=state.position, direction=state.direction, pocket=state.pocket)
    encodings = {"goal_encoding": task.goal, "rule_encoding": task.rules}
    carry = suite.records.EnvCarry()
    before = suite.records.State(key=None, step_num=state.steps, grid=state.grid, agent=agent, carry=carry, **encodings)
    now = suite.records.TimeStep(state=before, step_type=None, reward=None, discount=None, observation=None)
    with _suites_own_rules():
        after = suite.environment.step(suite.worlds.XLandEnvParams(view_size=VIEW, max_steps=horizon), now, action)
    reached = after.discount == 0.0
    no = jnp.zeros_like(reached)
    return _kept(after.state), Outcome(observation=after.observation, reward=after.reward, terminated=reached, truncated=no)


def _kept(state: Any) -> XLandState:
    """The parts of the suite's state that change."""
    agent = state.agent
    as_number = lambda x: jnp.asarray(x, jnp.int32)  # noqa: E731
    return XLandState(
        grid=state.grid,
        position=as_number(agent.position),
        direction=as_number(agent.direction),
        pocket=agent.pocket,
        steps=as_number(state.step_num),
    )


def _suites_own_rules() -> Any:
    """JAX's default promotion of types and ranks, which the suite relies on."""
    stack = contextlib.ExitStack()
    stack.enter_context(jax.numpy_dtype_promotion("standard"))
    stack.enter_context(jax.numpy_rank_promotion("allow"))
    return stack
