"""Every way in which environments outside JAX are broken: the law, words of the fault, and what makes it."""

import dataclasses
import itertools
import threading

import gymnasium
import jax.numpy as jnp
import numpy as np

from laws.toy_environments import ByHand, Dial, Shown, by_hand, dials, sample_target, set_target, stepped

BROKEN = {}
NOWHERE = threading.Event()


def broken(law, containing):
    """Registers a way to break one law: a function that makes the broken distribution."""

    def register(make):
        BROKEN[make.__name__] = (law, containing, make)
        return make

    return register


@broken("sampling", "another task when it is called again")
def tasks_from_another_generator():
    return dials(sample=lambda split, generator: {"target": np.random.uniform(-1.0, 0.0)})


@broken("sampling", "holds word: str, which is neither")
def tasks_hold_text():
    return dials(sample=lambda split, generator: {**sample_target(split, generator), "word": "left"})


@broken("sampling", "tasks of 'train' are built differently: target: (1,); target: (2,)")
def tasks_of_two_shapes():
    return dials(
        make=lambda task: Dial(float(task["target"][0])),
        sample=lambda split, generator: {"target": generator.uniform(-1, 0, generator.integers(1, 3))},
    )


@broken("sampling", "tasks of 'test' and 'train' are built differently")
def splits_of_other_types():
    return dials(sample=lambda split, generator: {"target": 0.5 if split == "train" else 1})


@broken("sampling", "ZeroDivisionError: division by zero (")
def sampling_raises():
    return dials(sample=lambda split, generator: {"target": 0.5 if split == "train" else 1 / 0})


@broken("shapes", "step gives an observation float64[2]; the observation space asks for float32[1]")
def observation_of_another_shape():
    return dials(stepped(lambda dial, observation, *rest: (np.zeros(2), *rest)))


@broken("shapes", "the observation space asks for uint8[1]")
def observation_of_another_type():
    class Picture(Dial):
        observation_space = gymnasium.spaces.Box(0, 255, (1,), np.uint8)

    return dials(Picture)


@broken("shapes", "reset gives an observation float64[]")
def reset_without_info():
    class Old(Dial):
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=seed)[0]

    return dials(Old)


@broken("shapes", "ValueError: not enough values to unpack")
def step_of_four():
    return dials(stepped(lambda dial, observation, reward, over, _, info: (observation, reward, over, info)))


@broken("shapes", "ValueError: the door is stuck (")
def step_raises():
    def stuck(*_):
        raise ValueError("the door is stuck\nand nobody knows why")

    return dials(stepped(stuck))


@broken("shapes", "SystemExit: 3 (")
def step_leaves():
    def leave(*_):
        raise SystemExit(3)

    return dials(stepped(leave))


@broken("shapes", "no step gave the measure 'success'")
def nothing_is_measured():
    return dials(stepped(lambda dial, *rest: (*rest[:-1], {})))


@broken("shapes", "that of another Box(-1.0, 1.0, (1,), float32)")
def tasks_of_other_actions():
    made = itertools.count()

    def make(task):
        dial = Dial(float(task["target"]))
        if next(made):
            dial.action_space = gymnasium.spaces.Box(-2.0, 2.0, (1,))
        return dial

    return dials(make=make)


@broken("shapes", "a reward float32[2]; it must be one number")
def reward_is_an_array():
    return by_hand(reward=np.zeros(2, np.float32))


@broken("shapes", "a reward None; it must be one number")
def reward_is_missing():
    return by_hand(reward=None)


@broken("shapes", "terminated 'no'; it must be one truth value")
def terminated_is_text():
    return by_hand(terminated="no")


@broken("shapes", "terminated 0.5; it must be one truth value")
def terminated_is_a_fraction():
    return by_hand(terminated=0.5)


@broken("shapes", "no step gave the measure 'success'")
def a_measure_is_missing():
    return by_hand(measures={"failure": 0.0})


@broken("shapes", "the measure 'success' 'yes'; it must be one number")
def a_measure_is_text():
    return by_hand(measures={"success": "yes"})


@broken("shapes", "step gives tuple")
def step_gives_a_tuple():
    return dataclasses.replace(dials(), open=lambda: ByHand((np.zeros(1), 0.0, False, False, {})))


@broken("determinism", "another environment newly opened: observation at the reset of episode 1")
def random_numbers_without_a_seed():
    class Unseeded(Dial):
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=None)

    return dials(Unseeded)


@broken("determinism", "another environment newly opened: reward at step")
def a_counter_that_all_share():
    steps = itertools.count()
    return dials(stepped(lambda dial, observation, reward, *rest: (observation, reward + 0.1 * next(steps), *rest)))


@broken("same task", "different tasks go alike with the same seed and actions: the task decides nothing.")
def the_task_is_forgotten():
    return dials(make=lambda task: Dial(0.3))


@broken("same task", "different tasks go alike after the first episode")
def reset_draws_the_task_from_the_second_episode_on():
    class Drawn(Dial):
        episodes = 0

        def reset(self, *, seed=None, options=None):
            first = super().reset(seed=seed)
            self.target = self.np_random.uniform(-1.0, 0.0) if self.episodes else self.target
            self.episodes += 1
            return first

    return dials(Drawn)


@broken("same task", "begun again with the same seed goes otherwise than the first time: reward at step 1 of episode 1")
def an_episode_moves_the_target():
    def moved(dial, *rest):
        dial.target += 0.1
        return rest

    return dials(stepped(moved))


@broken("same task", "changes the task that it is given")
def the_task_is_written_into():
    def make(task):
        task["target"] = -task["target"]
        return Dial(float(task["target"]))

    return dials(make=make)


@broken("set_task", "is set to a task behaves differently from one that is made for it: reward at step 1 of episode 1")
def set_task_does_nothing():
    return dials(set_task=lambda dial, task: None)


@broken("set_task", "is set to a task behaves differently from one that is made for it")
def set_task_adds():
    def add(dial, task):
        dial.target += float(task["target"])

    return dials(set_task=add)


@broken("fresh start", "repeated in the same environment goes differently: reward")
def wear_is_kept():
    class Worn(Dial):
        wear = used = 0.0

        def step(self, action):
            self.used += 0.1
            observation, reward, *rest = super().step(action)
            return observation, reward - self.wear, *rest

    def put(dial, task):
        set_target(dial, task)
        dial.wear = dial.used

    return dials(Worn, set_task=put)


@broken("fresh start", "after one on another task in the same environment")
def a_task_is_kept_too_long():
    def put(dial, task):
        dial.targets = [*getattr(dial, "targets", []), float(task["target"])]
        dial.target = dial.targets[max(0, len(dial.targets) - 2)]

    return dials(set_task=put)


@broken("spaces", "outside Box")
def observation_outside_its_box():
    class Far(Dial):
        def look(self):
            return 3.0 * super().look()

    return dials(Far)


@broken("finite reward", "a reward is -inf")
def logarithm_of_nothing():
    return dials(
        stepped(lambda dial, observation, reward, over, *rest: (observation, -np.inf if over else reward, over, *rest))
    )


@broken("finite reward", "observation is not finite")
def observation_is_not_a_number():
    return dials(stepped(lambda dial, observation, *rest: (np.full(1, np.nan), *rest)))


@broken("endings", "both true whenever an episode ends")
def terminated_and_truncated():
    return dials(stepped(lambda dial, observation, reward, over, _, info: (observation, reward, over, over, info)))


@broken("endings", "a time limit")
def the_horizon_terminates():
    class Limited(Dial):
        def reset(self, *, seed=None, options=None):
            self.steps = 0
            return super().reset(seed=seed)

        def step(self, action):
            self.steps += 1
            observation, reward, _, _, info = super().step(action)
            return observation, reward, self.steps == 6, False, info

    return dials(Limited)


@broken("task-blindness", "after reset shows the task: target")
def the_target_is_shown():
    return dials(Shown)


@broken("task-blindness", "after the first step show the task: target")
def the_target_is_shown_later():
    class Later(Shown):
        def reset(self, *, seed=None, options=None):
            self.late = False
            return super().reset(seed=seed)

        def step(self, action):
            self.late = True
            return super().step(action)

        def mark(self):
            return super().mark() if self.late else 0.0

    return dials(Later)


@broken("disjoint splits", "share")
def one_split_for_both():
    return dials(sample=lambda split, generator: {"target": -generator.integers(1, 100) / 100})


@broken("description", "not a dict")
def described_by_a_list():
    return dials(describe=lambda task: [task["target"]])


@broken("references", "floor lies above ceiling")
def floor_above_ceiling():
    return dials(floor=lambda task: jnp.float32(1.0), ceiling=lambda task: -jnp.abs(task["target"]))


@broken("speed", "step has not come back for 0.")
def a_step_hangs():
    def hang(dial, *rest):
        NOWHERE.wait(3.0)
        return rest

    return dials(stepped(hang))
