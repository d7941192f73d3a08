"""Steps per second through the host driver, against the same environments stepped bare in as many processes.

    python benchmarks/host_throughput.py half-cheetah-velocity metaworld-ml1

Five ways, one after another in every round, on the same distribution with as many environments in as many processes:

    bare       each process steps its environments with random actions, and nothing else
    same       the same, but with the tasks, starts and actions of the driver's lifetimes: physics of the same work
    driver     worker processes with the policy in them: whole lifetimes come back, once for a batch
    pipes      Gymnasium's AsyncVectorEnv with random actions: a message through a pipe for every environment and step
    shared     the other design: workers step environments in shared memory, this process decides for all of them at every step

The agent is RL2 with a GRU of 128; as in training its decisions are recorded and sent back. Ratios are taken round by round.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import time
from multiprocessing import shared_memory
from pathlib import Path

import cloudpickle
import gymnasium
import jax
import numpy as np

from quickstudy import algorithms, tasks
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.collecting.pool import open_pool
from quickstudy.rollout.collecting.session_programs import BEGINS, COLUMNS, HAPPENED, REWARD, SessionPrograms, lifetime_keys
from quickstudy.rollout.nonfinite import with_nonfinite_guard

SPAWN = multiprocessing.get_context("spawn")


def bare_worker(pickled, parallel, tasks_drawn, keys, actions, ready, go, result):
    """Steps its environments one after another, as many whole lifetimes as the driver's worker does.

    Of each lifetime come the task, the environment's key and the actions `[T, ...]`.
    """
    distribution = cloudpickle.loads(pickled)
    spec, environments = distribution.spec, [distribution.open() for _ in range(parallel)]
    for environment, task, key in zip(environments, tasks_drawn, keys, strict=False):
        environment.begin(task, key)
        environment.reset(0)
    while True:
        ready.wait()
        go.wait()
        steps = 0
        for first in range(0, len(tasks_drawn), parallel):
            for number, environment in enumerate(environments, first):
                environment.begin(tasks_drawn[number], keys[number])
            for episode in range(spec.episodes):
                for environment in environments:
                    environment.reset(episode)
                living = [(environment, actions[first + n]) for n, environment in enumerate(environments)]
                for slot in range(episode * spec.horizon, (episode + 1) * spec.horizon):
                    steps += len(living)
                    living = [(e, a) for e, a in living if not over(e.step(slot, a[slot]))]
        result.put(steps)


def over(stepped):
    """Whether a step ended its episode."""
    return stepped.terminated or stepped.truncated


def some_tasks(distribution, count, seed):
    """Training tasks, one by one."""
    drawn = distribution.sample_tasks("train", jax.random.key(seed), tasks=count)
    return [jax.tree.map(lambda leaf, row=row: leaf[row], drawn) for row in range(count)]


class Bare:
    """The environments alone, in processes that wait for each other to begin."""

    def __init__(self, distribution, processes, parallel, tasks_drawn, keys, actions):
        self.barriers = [SPAWN.Barrier(processes + 1) for _ in range(2)]
        self.results = SPAWN.Queue()
        pickled = cloudpickle.dumps(distribution)
        self.processes = []
        for rows in np.array_split(np.arange(len(tasks_drawn)), processes):
            mine = [tasks_drawn[row] for row in rows], keys[rows], actions[rows]
            given = (pickled, parallel, *mine, *self.barriers, self.results)
            self.processes.append(SPAWN.Process(target=bare_worker, args=given, daemon=True))
            self.processes[-1].start()

    def measure(self):
        self.barriers[0].wait()
        began = time.perf_counter()
        self.barriers[1].wait()
        steps = sum(self.results.get() for _ in self.processes)
        return steps / (time.perf_counter() - began)

    def close(self):
        for process in self.processes:
            process.terminate()


def at_random(distribution, processes, parallel, lifetimes):
    """Bare environments that get random actions."""
    generator, spec = np.random.default_rng(0), distribution.spec
    choices = np.stack([spec.action_space.sample() for _ in range(256)])
    actions = choices[generator.integers(256, size=(lifetimes, spec.lifetime_steps))]
    keys = generator.integers(2**32, size=(lifetimes, 2), dtype=np.uint32)
    return Bare(distribution, processes, parallel, some_tasks(distribution, lifetimes, 0), keys, actions)


def just_so(distribution, processes, parallel, lifetimes, driver):
    """Bare environments that live what the driver's did."""
    lived = driver.pool.run(driver.agent, driver.params, driver.tasks, driver.keys).lifetimes
    actions = np.swapaxes(np.asarray(lived.decision.action), 0, 1)
    keys = np.asarray(lifetime_keys(np.asarray(jax.random.key_data(driver.keys)))[1])
    return Bare(distribution, processes, parallel, some_tasks(distribution, lifetimes, 1), keys, actions)


class Driver:
    """The pool of worker processes, as training uses it."""

    def __init__(self, distribution, processes, parallel, lifetimes, agent):
        self.pool = open_pool(distribution, CollectingConfig(workers=processes, parallel_environments=parallel))
        self.agent, self.params = with_nonfinite_guard(agent), agent.init(jax.random.key(0))
        self.tasks = distribution.sample_tasks("train", jax.random.key(1), tasks=lifetimes)
        self.keys = jax.random.split(jax.random.key(2), lifetimes)
        self.seconds = {}
        self.measure()

    def measure(self):
        began = time.perf_counter()
        lived = self.pool.run(self.agent, self.params, self.tasks, self.keys)
        assert not lived.lost.any(), lived.faults
        self.seconds = {name: round(value, 3) for name, value in lived.seconds.items()}
        return lived.steps / (time.perf_counter() - began)

    def close(self):
        self.pool.close()


class AsGymnasium(gymnasium.Env):
    """One environment of a host distribution on one task, for Gymnasium's own vector environment."""

    def __init__(self, distribution, task):
        self.inner, self.spec_of_lifetime = distribution.open(), distribution.spec
        self.observation_space, self.action_space = distribution.spec.observation_space, distribution.spec.action_space
        self.inner.begin(task, np.zeros(2, np.uint32))
        self.slot = 0

    def reset(self, *, seed=None, options=None):
        self.slot = 0
        return np.asarray(self.inner.reset(0), self.observation_space.dtype), {}

    def step(self, action):
        observation, reward, terminated, truncated, _ = self.inner.step(self.slot, action)
        self.slot += 1
        late = self.slot % self.spec_of_lifetime.horizon == 0
        return np.asarray(observation, self.observation_space.dtype), reward, terminated, truncated or late, {}


class Pipes:
    """Gymnasium's AsyncVectorEnv: one process for each environment."""

    def __init__(self, distribution, processes, parallel, steps):
        drawn = some_tasks(distribution, processes * parallel, 3)
        makers = [lambda task=task: AsGymnasium(distribution, task) for task in drawn]
        self.environments = gymnasium.vector.AsyncVectorEnv(makers, context="spawn", shared_memory=True)
        self.count, self.steps = processes * parallel, steps
        self.environments.reset(seed=0)

    def measure(self):
        actions = [self.environments.action_space.sample() for _ in range(16)]
        began, rounds = time.perf_counter(), max(20, self.steps // self.count)
        for number in range(rounds):
            self.environments.step(actions[number % 16])
        return rounds * self.count / (time.perf_counter() - began)

    def close(self):
        self.environments.close()


def stepping_worker(pickled, names, total, rows, seed, begin, end):
    """Steps its rows of the shared arrays whenever it is told to."""
    distribution = cloudpickle.loads(pickled)
    spec = distribution.spec
    (observations, rewards, flags, actions), _ = shared_arrays(names, total, spec)
    environments = [distribution.open() for _ in rows]
    for environment, task, row in zip(environments, some_tasks(distribution, len(rows), seed), rows, strict=True):
        environment.begin(task, np.uint32([seed, 0]))
        observations[row] = environment.reset(0)
    slot = 0
    while True:
        begin.acquire()
        for environment, row in zip(environments, rows, strict=True):
            stepped = environment.step(slot, actions[row])
            observations[row], rewards[row], flags[row] = stepped.observation, stepped.reward, over(stepped)
            if over(stepped) or slot % spec.horizon == spec.horizon - 1:
                observations[row] = environment.reset((slot // spec.horizon + 1) % spec.episodes)
        slot = (slot + 1) % spec.lifetime_steps
        end.release()


def shared_arrays(names, total, spec):
    """Observations, rewards, ends and actions of all environments in shared memory, new or by their names."""
    action = spec.action_space.shape or ()
    kind = spec.action_space.dtype
    layout = [((total, *spec.observation_space.shape), spec.observation_space.dtype), ((total,), np.float32), ((total,), bool),
              ((total, *action), kind)]  # fmt: skip
    arrays, blocks = [], []
    for number, (shape, dtype) in enumerate(layout):
        size = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
        block = shared_memory.SharedMemory(name=names[number] if names else None, create=not names, size=size)
        arrays.append(np.ndarray(shape, dtype, block.buf))
        blocks.append(block)
    return arrays, blocks


class Shared:
    """Environments in workers, the policy here, arrays between them in shared memory; two halves take turns."""

    def __init__(self, distribution, processes, parallel, steps, agent):
        self.total, self.steps, spec = processes * parallel, steps, distribution.spec
        (self.observations, self.rewards, self.flags, self.actions), self.blocks = shared_arrays(None, self.total, spec)
        self.begins, self.ends = ([SPAWN.Semaphore(0) for _ in range(2 * processes)] for _ in range(2))
        # Every process steps one half while this one decides for the other: two workers for a core, one of them at work.
        self.halves = [np.arange(self.total // 2), np.arange(self.total // 2, self.total)]
        names, pickled = [block.name for block in self.blocks], cloudpickle.dumps(distribution)
        self.processes = []
        for number in range(2 * processes):
            rows = np.array_split(self.halves[number % 2], processes)[number // 2]
            given = (pickled, names, self.total, rows, number, self.begins[number], self.ends[number])
            self.processes.append(SPAWN.Process(target=stepping_worker, args=given, daemon=True))
            self.processes[-1].start()
        self.programs, self.agent = SessionPrograms(with_nonfinite_guard(agent)), agent
        self.params = jax.tree.leaves(jax.device_put(agent.init(jax.random.key(0))))
        keys = np.asarray(jax.random.key_data(jax.random.split(jax.random.key(2), self.total)))
        self.keys = [np.asarray(lifetime_keys(keys)[0])[half] for half in self.halves]
        self.state, self.begun = [self.programs.blank(len(half)) for half in self.halves], [False, False]
        self.measure()

    def decide(self, which):
        half, begins = self.halves[which], not self.begun[which]
        seen = self.observations[half].copy()
        numbers = np.zeros((len(half), COLUMNS), np.int32)
        numbers[:, HAPPENED], numbers[:, BEGINS] = not begins, begins
        numbers[:, REWARD] = self.rewards[half].view(np.int32)
        self.state[which], words = self.programs.advance(
            self.params, self.state[which], seen, seen, numbers, self.keys[which], begins=begins, adapts=True
        )
        self.begun[which] = True
        self.recorded.append((seen, np.asarray(words), numbers))
        self.actions[half] = self.programs.actions(self.recorded[-1][1])

    def measure(self):
        self.recorded = []
        rounds = max(20, self.steps // self.total)
        mine = lambda which: [n for n in range(len(self.processes)) if n % 2 == which]  # noqa: E731
        began = time.perf_counter()
        for number in range(2 * rounds):
            which = number % 2
            if number > 1:
                for worker in mine(which):
                    self.ends[worker].acquire()
            self.decide(which)
            for worker in mine(which):
                self.begins[worker].release()
        for which in range(2):
            for worker in mine(which):
                self.ends[worker].acquire()
        return rounds * self.total / (time.perf_counter() - began)

    def close(self):
        for process in self.processes:
            process.terminate()
        for block in self.blocks:
            block.close()
            block.unlink()


def measured(name, arguments):
    """One distribution, every way in turns; a line of results."""
    distribution = tasks.make(name, **({"horizon": arguments.horizon} if arguments.horizon else {}))
    agent = algorithms.make("rl2", distribution.spec, hidden_size=128).agent
    processes, parallel = arguments.processes, arguments.parallel_environments
    lifetimes = processes * parallel * max(1, arguments.steps // (processes * parallel * distribution.spec.lifetime_steps))
    steps = lifetimes * distribution.spec.lifetime_steps
    ways = {
        "driver": lambda: Driver(distribution, processes, parallel, lifetimes, agent),
        "bare": lambda: at_random(distribution, processes, parallel, lifetimes),
        "same": lambda: just_so(distribution, processes, parallel, lifetimes, at_work["driver"]),
        "pipes": lambda: Pipes(distribution, processes, min(parallel, 8), steps // 4),
        "shared": lambda: Shared(distribution, processes, parallel, steps, agent),
    }
    rates = {way: [] for way in ways if way not in arguments.without}
    at_work = {}
    for way in rates:
        at_work[way] = ways[way]()
    for way in at_work.values():
        way.measure()
    for _ in range(arguments.rounds):
        for way, running in at_work.items():
            rates[way].append(running.measure())
            print(f"{name:24} {way:8} {rates[way][-1]:10,.0f} steps/s", flush=True)
    split = at_work["driver"].seconds
    for running in at_work.values():
        running.close()
    ratios = {
        way: [round(statistics.median(a / b for a, b in zip(rates["driver"], rates[way], strict=True)), 3)]
        + [round(f(a / b for a, b in zip(rates["driver"], rates[way], strict=True)), 3) for f in (min, max)]
        for way in rates
        if way != "driver"
    }
    print(f"{name}: driver over " + ", ".join(f"{way} {r[0]} [{r[1]}, {r[2]}]" for way, r in ratios.items()), flush=True)
    return {
        "distribution": name, "spec": [distribution.spec.horizon, distribution.spec.episodes], "processes": processes,
        "parallel_environments": parallel, "steps": steps,
        "steps_per_second": {w: [round(x) for x in r] for w, r in rates.items()},
        "driver_over": ratios, "driver_seconds": split, "load": os.getloadavg()[0],
    }  # fmt: skip


def main():
    """Measures what is asked for, and adds it to a file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", help="host distributions")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--parallel-environments", type=int, default=32, help="environments in each process")
    parser.add_argument("--steps", type=int, default=50_000, help="about as many in a round, for each way")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--horizon", type=int, default=0)
    parser.add_argument("--without", nargs="*", default=[], help="ways to leave out")
    parser.add_argument("--save", default="", help="a file that a line of results is added to")
    arguments = parser.parse_args()
    for name in arguments.names:
        line = measured(name, arguments)
        if arguments.save:
            with open(Path(arguments.save), "a") as file:
                file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
