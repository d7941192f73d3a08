"""Everything that happens in a batch of lifetimes, written into arrays while they run."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int, Shaped, UInt32

from quickstudy.protocol.records import Outcome, Spec, Transition, blank_observation
from quickstudy.rollout.collecting.batch import CollectedBatch, fill_gaps
from quickstudy.rollout.collecting.packing import Packing
from quickstudy.rollout.nonfinite import usable_reward


class Recording:
    """Arrays `[T, lifetimes, ...]`, filled slot by slot.

    Args:
      spec: of the agent, whose lifetimes may hold another number of episodes than the distribution's.
      packing: how decisions are laid out in words.
      measures: names of what environments measure beside the reward.
      lifetimes: how many.
      rewards_only: keep no observations and no decisions.
    """

    def __init__(self, spec: Spec, packing: Packing, measures: Iterable[str], *, lifetimes: int, rewards_only: bool):
        blank, shape = blank_observation(spec), (spec.lifetime_steps, lifetimes)
        self._horizon, self._packing, self._rewards_only = spec.horizon, packing, rewards_only
        kept = (0, lifetimes) if rewards_only else shape
        self._observation = np.zeros((*kept, *blank.shape), blank.dtype)
        self._successor = np.zeros_like(self._observation)
        self._words = np.zeros((*kept, packing.words), np.uint32)
        self._reward = np.zeros(shape, np.float32)
        self._terminated, self._truncated, self._valid, self._nonfinite = (np.zeros(shape, bool) for _ in range(4))
        self._observations_may_be_nonfinite = np.issubdtype(blank.dtype, np.floating)
        self._lost = np.zeros(lifetimes, bool)
        self.measures = {name: np.full(shape, np.nan, np.float32) for name in measures}

    def decided(
        self,
        slots: Int[np.ndarray, " lifetimes"],
        rows: Int[np.ndarray, " lifetimes"],
        observation: Shaped[np.ndarray, "lifetimes ..."],
        words: UInt32[np.ndarray, "lifetimes words"],
    ) -> None:
        """Records what some lifetimes decided on, and their decisions."""
        if not self._rewards_only:
            self._observation[slots, rows], self._words[slots, rows] = observation, words

    def followed(
        self,
        slots: Int[np.ndarray, " lifetimes"],
        rows: Int[np.ndarray, " lifetimes"],
        seen: Shaped[np.ndarray, "lifetimes ..."],
        successor: Shaped[np.ndarray, "lifetimes ..."],
        reward: Float32[np.ndarray, " lifetimes"],
        terminated: Bool[np.ndarray, " lifetimes"],
        truncated: Bool[np.ndarray, " lifetimes"],
    ) -> None:
        """Records the outcomes of some lifetimes; `seen` is what was decided on."""
        self._valid[slots, rows], self._reward[slots, rows] = True, reward
        self._terminated[slots, rows], self._truncated[slots, rows] = terminated, truncated
        sound = usable_reward(reward)
        if self._observations_may_be_nonfinite:
            for observation in (seen, successor):
                sound &= np.isfinite(observation).reshape(len(sound), -1).all(-1)
        self._nonfinite[slots, rows] = ~sound
        if not self._rewards_only:
            self._successor[slots, rows] = successor

    def lose(self, row: int) -> None:
        """Marks a lifetime as lost: none of its slots happened."""
        self._lost[row], self._valid[:, row] = True, False

    def batch(self, *, steps: int, seconds: dict[str, float], faults: dict[str, int]) -> CollectedBatch:
        """All of it, once every lifetime is over."""
        for measured in self.measures.values():
            measured[:, self._lost] = np.nan
        reward = np.where(self._valid, self._reward, np.float32(0))
        return CollectedBatch(
            lifetimes=None if self._rewards_only else self._lifetimes(reward),
            reward=reward,
            valid=self._valid,
            nonfinite=self._nonfinite & self._valid,
            measures=self.measures,
            lost=self._lost,
            steps=steps,
            seconds=seconds,
            faults=faults,
        )

    def _lifetimes(self, reward: Any) -> Transition:
        valid: Any = self._valid
        observation, successor, words = fill_gaps((self._observation, self._successor, self._words), valid)
        outcome = Outcome(
            observation=successor,
            reward=reward,
            terminated=self._terminated & valid,
            truncated=self._truncated & valid,
        )
        episode: Any = np.zeros(valid.shape, np.int32) + (np.arange(len(valid), dtype=np.int32) // self._horizon)[:, None]
        return Transition(
            observation=observation, decision=self._packing.unpack(words), outcome=outcome, episode=episode, valid=valid
        )
