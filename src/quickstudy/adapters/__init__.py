"""Interfaces that other libraries have, over an agent in the same process."""

from quickstudy.adapters.ask_tell import AskTell
from quickstudy.adapters.bandit import Bandit
from quickstudy.adapters.lifetime_env import LifetimeEnv
from quickstudy.adapters.predictor import Predictor

__all__ = ["AskTell", "Bandit", "LifetimeEnv", "Predictor"]
