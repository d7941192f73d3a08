"""quickstudy: meta-reinforcement learning, agents that learn a new task within a few episodes.

Everything public is named here and imported when it is first used, so that the command line answers at once.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quickstudy import algorithms, tasks
    from quickstudy.agent import Agent, memory_bytes, slot_key
    from quickstudy.bundle import Bundle, load_bundle, save_bundle
    from quickstudy.devices import use_whole_machine
    from quickstudy.errors import QuickstudyError
    from quickstudy.evaluation import Contender, contender, evaluate
    from quickstudy.film import Film, film_adaptation
    from quickstudy.film_pictures import write_film
    from quickstudy.gymnasium_tasks import from_gymnasium
    from quickstudy.host import Actor
    from quickstudy.host_distribution import HostDistribution
    from quickstudy.impairment import impaired
    from quickstudy.inspection.check import check
    from quickstudy.interact import live
    from quickstudy.meta_algorithm import MetaAlgorithm
    from quickstudy.meta_training import Run, TrainingConfig, meta_train
    from quickstudy.quarantine import quarantined
    from quickstudy.readout.calibration import measure_calibration
    from quickstudy.readout.fitting import ReadoutConfig, fit_readout
    from quickstudy.readout.readout import Readout, with_readout
    from quickstudy.readout.storage import load_readout, save_readout
    from quickstudy.records import Decision, Outcome, Spec, Transition, record
    from quickstudy.report import write_report
    from quickstudy.results import Evaluation
    from quickstudy.speed.measuring import adaptation_speed, adaptation_speeds
    from quickstudy.speed.results import AdaptationSpeed
    from quickstudy.speed.table import speed_table
    from quickstudy.speed_picture import write_speed_picture
    from quickstudy.task_distribution import TaskDistribution, mark_split, task_hash

_HOMES = {
    "Actor": "host",
    "AdaptationSpeed": "speed.results",
    "Agent": "agent",
    "Bundle": "bundle",
    "Contender": "evaluation",
    "Decision": "records",
    "Evaluation": "results",
    "Film": "film",
    "HostDistribution": "host_distribution",
    "MetaAlgorithm": "meta_algorithm",
    "Outcome": "records",
    "QuickstudyError": "errors",
    "Readout": "readout.readout",
    "ReadoutConfig": "readout.fitting",
    "Run": "meta_training",
    "Spec": "records",
    "TaskDistribution": "task_distribution",
    "TrainingConfig": "meta_training",
    "Transition": "records",
    "adaptation_speed": "speed.measuring",
    "adaptation_speeds": "speed.measuring",
    "check": "inspection.check",
    "contender": "evaluation",
    "evaluate": "evaluation",
    "film_adaptation": "film",
    "fit_readout": "readout.fitting",
    "from_gymnasium": "gymnasium_tasks",
    "impaired": "impairment",
    "live": "interact",
    "load_bundle": "bundle",
    "load_readout": "readout.storage",
    "mark_split": "task_distribution",
    "measure_calibration": "readout.calibration",
    "memory_bytes": "agent",
    "meta_train": "meta_training",
    "quarantined": "quarantine",
    "record": "records",
    "save_bundle": "bundle",
    "save_readout": "readout.storage",
    "slot_key": "agent",
    "speed_table": "speed.table",
    "task_hash": "task_distribution",
    "use_whole_machine": "devices",
    "with_readout": "readout.readout",
    "write_film": "film_pictures",
    "write_report": "report",
    "write_speed_picture": "speed_picture",
}

__all__ = [
    "Actor",
    "AdaptationSpeed",
    "Agent",
    "Bundle",
    "Contender",
    "Decision",
    "Evaluation",
    "Film",
    "HostDistribution",
    "MetaAlgorithm",
    "Outcome",
    "QuickstudyError",
    "Readout",
    "ReadoutConfig",
    "Run",
    "Spec",
    "TaskDistribution",
    "TrainingConfig",
    "Transition",
    "adaptation_speed",
    "adaptation_speeds",
    "algorithms",
    "check",
    "contender",
    "evaluate",
    "film_adaptation",
    "fit_readout",
    "from_gymnasium",
    "impaired",
    "live",
    "load_bundle",
    "load_readout",
    "mark_split",
    "measure_calibration",
    "memory_bytes",
    "meta_train",
    "quarantined",
    "record",
    "save_bundle",
    "save_readout",
    "slot_key",
    "speed_table",
    "task_hash",
    "tasks",
    "use_whole_machine",
    "with_readout",
    "write_film",
    "write_report",
    "write_speed_picture",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"quickstudy.{_HOMES[name]}"), name)
    if name in ("algorithms", "tasks"):
        return importlib.import_module(f"quickstudy.{name}")
    raise AttributeError(f"module 'quickstudy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
