"""Small task distributions with everything in them that a driver or an agent may get wrong."""

import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from quickstudy.protocol.records import Outcome, Spec, record
from quickstudy.protocol.task_distribution import TaskDistribution, mark_split

SPLITS = ("train", "test")


@record
class CorridorTask:
    """`right` `[]`: 1 where the right end pays, 0 where the left one does; `number` tells tasks apart."""

    right: Int[Array, ""]
    number: Float[Array, ""]


def corridor(*, horizon: int = 4, episodes: int = 4) -> TaskDistribution:
    """Five cells, a hidden end that pays; some episodes end early, some at the horizon, and each step costs."""

    def sample(split, key):
        key_right, key_number = jax.random.split(key)
        number = mark_split(jax.random.uniform(key_number), split, SPLITS)
        return CorridorTask(right=jax.random.bernoulli(key_right).astype(jnp.int32), number=number)

    def look(position, key):
        noise = jax.random.uniform(key)
        return jnp.stack([(position - 2).astype(jnp.float32) / 2.0, noise])

    def reset(task, key):
        del task
        key_position, key_noise = jax.random.split(key)
        position = jax.random.randint(key_position, (), 1, 4)
        return position, look(position, key_noise)

    def step(task, state, action, key):
        position = jnp.clip(state + 2 * action - 1, 0, 4)
        at_end = (position == 0) | (position == 4)
        reward = jnp.where(at_end & ((position == 4) == (task.right == 1)), 1.0, -0.1)
        return position, Outcome(
            observation=look(position, key), reward=reward, terminated=at_end, truncated=jnp.asarray(False)
        )

    return TaskDistribution(
        name="corridor",
        spec=Spec(
            observation_space=gymnasium.spaces.Box(np.float32([-1, 0]), np.float32([1, 1])),
            action_space=gymnasium.spaces.Discrete(2),
            horizon=horizon,
            episodes=episodes,
        ),
        sample=sample,
        reset=reset,
        step=step,
        describe=lambda task: {"right": task.right},
    )


def shown_as_symbols() -> TaskDistribution:
    """The corridor as three cells of two symbols each: a thing, one or none, and a colour that means nothing."""

    def show(observation):
        things = (jnp.arange(3) == jnp.round(observation[0] + 1).astype(jnp.int32)).astype(jnp.uint8)
        colours = jnp.floor(4 * observation[1]).astype(jnp.uint8) + jnp.arange(3, dtype=jnp.uint8)
        return jnp.stack([things, jnp.minimum(colours, jnp.uint8(3)) + jnp.uint8(1)], axis=1)

    nvec, start = np.full((3, 2), (2, 4)), np.full((3, 2), (0, 1))
    return _shown(show, gymnasium.spaces.MultiDiscrete(nvec, dtype=np.uint8, start=start))


def shown_as_image() -> TaskDistribution:
    """The corridor as a picture of 6 x 5 pixels in two colours: a bright column, and noise."""

    def show(observation):
        column = jnp.where(jnp.arange(5) == jnp.round(2 * observation[0] + 2).astype(jnp.int32), 255.0, 0.0)
        picture = jnp.stack([jnp.tile(column, (6, 1)), jnp.full((6, 5), jnp.floor(255 * observation[1]))], axis=-1)
        return picture.astype(jnp.uint8)

    return _shown(show, gymnasium.spaces.Box(0, 255, (6, 5, 2), np.uint8))


def _shown(show, space) -> TaskDistribution:
    """The corridor with its observations turned into others."""
    plain = corridor()

    def reset(task, key):
        state, observation = plain.reset(task, key)
        return state, show(observation)

    def step(task, state, action, key):
        state, outcome = plain.step(task, state, action, key)
        return state, dataclasses.replace(outcome, observation=show(outcome.observation))

    spec = dataclasses.replace(plain.spec, observation_space=space)
    return dataclasses.replace(plain, spec=spec, reset=reset, step=step)


def aiming(*, horizon: int = 2, episodes: int = 2) -> TaskDistribution:
    """A hidden point in a square: actions are guesses, the reward is minus the squared distance."""

    def sample(split, key):
        return mark_split(jax.random.uniform(key, (2,)), split, SPLITS)

    def reset(task, key):
        del task, key
        return jnp.zeros(2), jnp.zeros(2)

    def step(task, state, action, key):
        del state, key
        reward = -jnp.square(action - task).sum()
        no = jnp.asarray(False)
        return action, Outcome(observation=action, reward=reward, terminated=no, truncated=no)

    return TaskDistribution(
        name="aiming",
        spec=Spec(
            observation_space=gymnasium.spaces.Box(-1.0, 1.0, (2,)),
            action_space=gymnasium.spaces.Box(-1.0, 1.0, (2,)),
            horizon=horizon,
            episodes=episodes,
        ),
        sample=sample,
        reset=reset,
        step=step,
        describe=lambda task: {"point": task},
        floor=lambda task: -10.0 * horizon * episodes,
        ceiling=lambda task: jnp.float32(0.0),
    )


@record
class CodeTask:
    """`digits` `[3]`: the hidden setting of three switches; `level` `[]`: that of a lever; `number` tells tasks apart."""

    digits: Int[Array, "3"]
    level: Float[Array, ""]
    number: Float[Array, ""]


def switches(*, horizon: int = 2, episodes: int = 3) -> TaskDistribution:
    """Switches of two, three and two settings, counted from other numbers than zero; each pays where it is set as is hidden."""
    counts, start = np.array([2, 3, 2]), np.array([0, 5, -1])

    def sample(split, key):
        keys = jax.random.split(key, 3)
        digits = jax.random.randint(keys[0], (3,), jnp.asarray(start, jnp.int32), jnp.asarray(start + counts, jnp.int32))
        number = mark_split(jax.random.uniform(keys[1]), split, SPLITS)
        return CodeTask(digits=digits, level=jax.random.uniform(keys[2]), number=number)

    def reset(task, key):
        del task, key
        return jnp.int32(0), jnp.int32(0)

    def step(task, state, action, key):
        del key
        right = action == task.digits
        observation, no = jnp.int32(1), jnp.asarray(False)
        return state, Outcome(
            observation=observation, reward=right.astype(jnp.float32).sum(), terminated=right.all(), truncated=no
        )

    return TaskDistribution(
        name="switches",
        spec=Spec(
            observation_space=gymnasium.spaces.Discrete(2),
            action_space=gymnasium.spaces.MultiDiscrete(counts, start=start),
            horizon=horizon,
            episodes=episodes,
        ),
        sample=sample,
        reset=reset,
        step=step,
        describe=lambda task: {"digits": task.digits},
    )


def console(*, horizon: int = 2, episodes: int = 2) -> TaskDistribution:
    """The switches as a Dict of a Tuple, lamps, dials of whole numbers, and a lever of which one part cannot move."""
    plain = switches(horizon=horizon, episodes=episodes)
    space = gymnasium.spaces.Dict(
        switches=gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(2), gymnasium.spaces.MultiDiscrete([3, 2], start=[5, -1])]),
        lamps=gymnasium.spaces.MultiBinary(2),
        fine=gymnasium.spaces.Box(0, 99, (1,), np.uint8),
        coarse=gymnasium.spaces.Box(-1000, 1000, (1, 1), np.int32),
        lever=gymnasium.spaces.Box(np.float32([0, 3]), np.float32([1, 3])),
    )

    def step(task, state, action, key):
        first, others = action["switches"]
        state, outcome = plain.step(task, state, jnp.concatenate([first[None], others]), key)
        near = 1 - jnp.abs(action["lever"][0] - task.level) - jnp.abs(action["lever"][1] - 3)
        whole = (action["fine"].astype(jnp.float32).sum() + action["coarse"].astype(jnp.float32).sum()) / 1000
        lit = action["lamps"].astype(jnp.float32).sum()
        return state, dataclasses.replace(outcome, reward=outcome.reward + near + 0.1 * (whole + lit))

    return dataclasses.replace(plain, name="console", spec=dataclasses.replace(plain.spec, action_space=space), step=step)


@record
class ShopTask:
    """`pays` `[4]`: what each item pays."""

    pays: Float[Array, "4"]


def shop(*, horizon: int = 4, episodes: int = 4) -> TaskDistribution:
    """Four items with hidden prices; at every step some of them are sold out, and the observation says which are left."""

    def sample(split, key):
        return ShopTask(pays=mark_split(jax.random.uniform(key, (4,)), split, SPLITS))

    def on_sale(key):
        key_one, key_more = jax.random.split(key)
        one = jnp.arange(4) == jax.random.randint(key_one, (), 0, 4)
        return (one | jax.random.bernoulli(key_more, 0.3, (4,))).astype(jnp.float32)

    def reset(task, key):
        del task
        observation = jnp.concatenate([jnp.ones(1), on_sale(key)])
        return observation, observation

    def step(task, state, action, key):
        del state
        observation, no = jnp.concatenate([jnp.ones(1), on_sale(key)]), jnp.asarray(False)
        return observation, Outcome(observation=observation, reward=task.pays[action], terminated=no, truncated=no)

    return TaskDistribution(
        name="shop",
        spec=Spec(
            observation_space=gymnasium.spaces.Box(0.0, 1.0, (5,)),
            action_space=gymnasium.spaces.Discrete(4),
            horizon=horizon,
            episodes=episodes,
            action_mask=True,
        ),
        sample=sample,
        reset=reset,
        step=step,
        describe=lambda task: {"pays": task.pays},
    )
