"""sb3-contrib's recurrent PPO on the same bandits, as fast as its interface allows, beside quickstudy.

    pip install '.[peers]'
    python benchmarks/sb3_ppo.py

Five arms, 100 pulls, 512 lifetimes side by side, four epochs of four minibatches, 64 hidden units: the lifetimes are one
vectorised environment in NumPy, so that no loop over environments slows it down. It has an LSTM only; quickstudy is timed with
the same. An episode of the library is a lifetime here, so that its memory is kept throughout. Each run adds a line to
`benchmarks/peers.jsonl`.
"""

import datetime
import json
import os
import platform
import sys
import time
from pathlib import Path

import gymnasium
import numpy as np

HISTORY = Path(__file__).with_name("peers.jsonl")
ARMS, PULLS, LIFETIMES, HIDDEN, EPOCHS, MINIBATCHES, UPDATES = 5, 100, 512, 64, 4, 4, 4


def bandits(lifetimes, *, arms, pulls, seed=0):
    """A vectorised environment of the library that holds all lifetimes, in NumPy."""
    from stable_baselines3.common.vec_env import VecEnv

    class Bandits(VecEnv):
        """All lifetimes at once; an observation is the last action, its reward, and whether there was one."""

        def __init__(self):
            box = gymnasium.spaces.Box(0.0, 1.0, (arms + 2,), np.float32)
            super().__init__(lifetimes, box, gymnasium.spaces.Discrete(arms))
            self.random = np.random.default_rng(seed)

        def reset(self):
            self.probability, self.pulls = self.random.random((lifetimes, arms)), 0
            return np.zeros((lifetimes, arms + 2), np.float32)

        def step_async(self, actions):
            self.actions = actions

        def step_wait(self):
            rows = np.arange(lifetimes)
            reward = (self.random.random(lifetimes) < self.probability[rows, self.actions]).astype(np.float32)
            seen = np.zeros((lifetimes, arms + 2), np.float32)
            seen[rows, self.actions], seen[:, arms], seen[:, arms + 1] = 1.0, reward, 1.0
            self.pulls += 1
            over = self.pulls == pulls
            infos = [{"terminal_observation": row} for row in seen] if over else [{} for _ in rows]
            return (self.reset() if over else seen), reward, np.full(lifetimes, over), infos

        def close(self):
            """Nothing to close."""

        def get_attr(self, attr_name, indices=None):
            """The library asks for the render mode alone."""
            return [None] * lifetimes

        def set_attr(self, attr_name, value, indices=None):
            """Nothing to set."""

        def env_method(self, method_name, *args, indices=None, **kwargs):
            """Nothing to call."""

        def env_is_wrapped(self, wrapper_class, indices=None):
            """Nothing is wrapped."""
            return [False] * lifetimes

    return Bandits()


def time_peer():
    """Environment steps per second of whole updates."""
    import torch
    from sb3_contrib import RecurrentPPO
    from stable_baselines3.common.callbacks import BaseCallback

    class Watch(BaseCallback):
        """When each collection of lifetimes began."""

        began = ()

        def _on_rollout_start(self):
            self.began = (*self.began, time.perf_counter())

        def _on_step(self):
            return True

    torch.set_num_threads(os.cpu_count())
    policy = {"lstm_hidden_size": HIDDEN, "net_arch": [HIDDEN], "shared_lstm": True, "enable_critic_lstm": False}
    shape = {"n_steps": PULLS, "batch_size": LIFETIMES * PULLS // MINIBATCHES, "n_epochs": EPOCHS}
    model = RecurrentPPO(
        "MlpLstmPolicy", bandits(LIFETIMES, arms=ARMS, pulls=PULLS), **shape,
        gamma=0.99, gae_lambda=0.9, policy_kwargs=policy, device="cpu", seed=0,
    )  # fmt: skip
    watch = Watch()
    model.learn(LIFETIMES * PULLS * (UPDATES + 2), callback=watch)
    return LIFETIMES * PULLS / float(np.diff(watch.began)[1:].min())


def time_ours():
    """The same of quickstudy, in the same shape."""
    import jax
    import jax.numpy as jnp

    from quickstudy import algorithms, tasks, use_whole_machine
    from quickstudy.training.sources import source_for
    from quickstudy.training.update import initial_state, update_program

    use_whole_machine()
    bandits = tasks.make("bernoulli-bandit", arms=ARMS, pulls=PULLS)
    shape = {"lifetimes": LIFETIMES, "epochs": EPOCHS, "minibatches": MINIBATCHES, "hidden_size": HIDDEN}
    algorithm = algorithms.make("rl2", bandits.spec, cell="lstm", **shape)
    roots = jax.vmap(jax.random.key)(jnp.arange(1))
    source = source_for(algorithm, bandits, tasks=1)
    state, program = initial_state(algorithm, source, roots), update_program(algorithm, source)
    taken = []
    for update in range(UPDATES + 2):
        began = time.perf_counter()
        state, _ = jax.block_until_ready(program(state, (), roots, jnp.uint32(update), jnp.float32(0)))
        taken.append(time.perf_counter() - began)
    return LIFETIMES * PULLS / min(taken[2:])


def main():
    """Times both, one after the other, prints the ratio and adds it to the history."""
    try:
        import sb3_contrib
    except ImportError:
        sys.exit("sb3-contrib is missing. Install it with: pip install '.[peers]'")
    ours, peer = time_ours(), time_peer()
    line = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}",
        "peer": f"sb3-contrib {sb3_contrib.__version__}, RecurrentPPO, LSTM-{HIDDEN}",
        "steps_per_second": round(ours),
        "peer_steps_per_second": round(peer),
        "times_the_peer": round(ours / peer, 1),
    }
    print(json.dumps(line, indent=2))
    with HISTORY.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
