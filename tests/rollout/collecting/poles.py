"""Cart-poles of many lengths from Gymnasium, as a user would write them into a file of one's own."""

import gymnasium

import quickstudy as qs


class Upright(gymnasium.Wrapper):
    """Says whether the pole stands upright."""

    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, info | {"upright": abs(observation[2]) < 0.05}


def make(task):
    environment = gymnasium.make("CartPole-v1")
    environment.unwrapped.length = float(task["length"])
    return Upright(environment)


def set_task(environment, task):
    environment.unwrapped.length = float(task["length"])


def sample_task(split, generator):
    low, high = {"train": (0.2, 0.6), "test": (0.6, 1.0)}[split]
    return {"length": generator.uniform(low, high)}


def poles(*, episodes: int = 2, horizon: int = 10):
    return qs.from_gymnasium(
        make, sample_task, episodes=episodes, horizon=horizon, set_task=set_task, measures={"upright": "any"}, name="poles"
    )
