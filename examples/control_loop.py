"""A control loop of 50 Hz around an exported agent, which learns while it controls.

    quickstudy export bundles/pendulum-rl2 --to numpy --folder exported/pendulum
    python examples/control_loop.py exported/pendulum

The plant is a simulated pendulum of unknown mass, length, gravity and motor; its motor may turn in the opposite direction. The
agent must swing it up. Three things go wrong, as on a real machine:

- A sensor drops out: some readings are NaN. The exported agent then decides with the last finite reading.
- A decision is late: something else took the processor. The watchdog sends a safe torque, which only brakes. The agent is told
  of the torque that was sent, so it learns from what has really happened.
- The loop itself wakes up late. The jitter is measured and drawn to `jitter.svg` in the folder.

The agent was trained on steps of 0.05 s. At 50 Hz the simulated plant runs 2.5 times as fast as the clock on the wall.
Only NumPy is needed; the picture needs matplotlib. `control_loop.c` is the same loop in C.
"""

import argparse
import importlib.util
import math
import time
from pathlib import Path

import numpy as np

STEP_SECONDS, MOST_TORQUE, MOST_SPEED = 0.05, 2.0, 8.0


class Pendulum:
    """A rod that turns about its end; the angle is 0 where it stands upright."""

    def __init__(self, generator):
        mass, length, gravity = (generator.uniform(*limits) for limits in ((0.6, 1.4), (1.0, 1.5), (7.0, 10.0)))
        strength = generator.uniform(0.7, 1.3) * generator.choice([-1, 1])
        self.fall, self.push = 1.5 * gravity / length, 3.0 * strength / (mass * length**2)
        self.generator = generator
        self.reset()

    def reset(self):
        """A new episode on the same pendulum."""
        self.angle, self.speed = self.generator.uniform(-math.pi, math.pi), self.generator.uniform(-1, 1)

    def reading(self):
        """Cosine and sine of the angle, and the angular velocity in rad/s."""
        return np.asarray([math.cos(self.angle), math.sin(self.angle), self.speed], np.float32)

    def step(self, torque):
        """Moves on by one step; returns the reward."""
        from_upright = (self.angle + math.pi) % (2 * math.pi) - math.pi
        cost = from_upright**2 + 0.1 * self.speed**2 + 0.001 * torque**2
        speed = self.speed + (self.fall * math.sin(self.angle) + self.push * torque) * STEP_SECONDS
        self.speed = min(max(speed, -MOST_SPEED), MOST_SPEED)
        self.angle += self.speed * STEP_SECONDS
        return -cost


def load_agent(folder):
    """The exported agent of a folder, and its module."""
    spec = importlib.util.spec_from_file_location("exported_agent", Path(folder) / "agent.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Agent(folder, module.programs), module


def dropped(reading, generator, share):
    """The reading, or NaN where the sensor dropped out."""
    return np.full_like(reading, np.nan) if generator.random() < share else reading


def run(folder, *, episodes=2, rate=50.0, deadline=0.005, dropouts=0.02, stalls=0.005, seed=0):
    """Controls one pendulum for some episodes.

    Args:
      folder: of the exported agent.
      episodes: of as many steps as the agent's horizon.
      rate: turns of the loop in a second.
      deadline: seconds that a decision may take.
      dropouts: share of readings that are lost.
      stalls: share of decisions during which something else takes the processor.
      seed: of the pendulum and of everything that goes wrong.
    Returns:
      Return of each episode; seconds by which each turn began late; and how often the watchdog stepped in.
    """
    agent, module = load_agent(folder)
    generator, period, horizon = np.random.default_rng(seed), 1 / rate, agent.contract["horizon"]
    plant, state, feedback = Pendulum(generator), agent.begin(), None
    returns, late, interventions = [], [], 0
    following = time.perf_counter()
    for _ in range(episodes):
        plant.reset()
        reading, total = dropped(plant.reading(), generator, dropouts), 0.0
        for turn in range(horizon):
            time.sleep(max(0.0, following - time.perf_counter()))
            began = time.perf_counter()
            late.append(began - following)
            state, decision = agent.step(state, feedback, reading)
            if generator.random() < stalls:
                time.sleep(2 * deadline)
            torque = float(decision["policy.mean"][0])
            if time.perf_counter() - began > deadline:
                interventions += 1
                known = float(reading[2])
                torque = 0.0 if math.isnan(known) else min(max(-0.2 * known, -MOST_TORQUE), MOST_TORQUE)
            reward = plant.step(torque)
            total += reward
            reading = dropped(plant.reading(), generator, dropouts)
            feedback = module.Feedback([torque], reward, reading, truncated=turn == horizon - 1)
            following += period
        returns.append(total)
    return returns, np.asarray(late), interventions


def draw(late, path, period):
    """The jitter of the loop: by how much each turn began late, and how often."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3))
    axes.hist(1e3 * late, bins=60)
    axes.set(xlabel="turn began late by (ms)", ylabel="turns", yscale="log", title=f"Jitter of a loop of {1 / period:.0f} Hz")
    figure.tight_layout()
    figure.savefig(path)


def main():
    """Runs the loop, prints what it was like, and draws the jitter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="of an agent that was exported --to numpy")
    parser.add_argument("--episodes", type=int, default=2)
    parser.add_argument("--rate", type=float, default=50.0, help="turns of the loop in a second")
    asked = parser.parse_args()
    returns, late, interventions = run(asked.folder, episodes=asked.episodes, rate=asked.rate)
    for number, total in enumerate(returns, start=1):
        print(f"episode {number}: return {total:.0f}")
    print(f"the watchdog stepped in {interventions} times in {len(late)} turns")
    print(f"turns began late by {1e3 * np.median(late):.2f} ms (median), {1e3 * np.percentile(late, 99):.2f} ms (p99)")
    draw(late, Path(asked.folder) / "jitter.svg", 1 / asked.rate)


if __name__ == "__main__":
    main()
