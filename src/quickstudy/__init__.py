"""quickstudy: meta-reinforcement learning, agents that learn a new task within a few episodes.

Everything public is named here and imported when it is first used, so that the command line answers at once.
"""

TYPE_CHECKING = False  # so that nothing is imported for it
if TYPE_CHECKING:
    from quickstudy import algorithms, tasks
    from quickstudy.evaluation.adaptation_speed.measure import adaptation_speed, adaptation_speeds
    from quickstudy.evaluation.adaptation_speed.results import AdaptationSpeed
    from quickstudy.evaluation.belief_probe.calibration import measure_calibration
    from quickstudy.evaluation.belief_probe.fit import ReadoutConfig, fit_readout
    from quickstudy.evaluation.belief_probe.probe import Readout, with_readout
    from quickstudy.evaluation.belief_probe.storage import load_readout, save_readout
    from quickstudy.evaluation.contenders import Contender, contender
    from quickstudy.evaluation.evaluate import evaluate
    from quickstudy.evaluation.guarded import guarded_agent
    from quickstudy.evaluation.raw_returns import RawReturns
    from quickstudy.evaluation.results import Evaluation
    from quickstudy.evaluation.sweep.records import SweepConfig
    from quickstudy.evaluation.sweep.run import sweep
    from quickstudy.evaluation.video import Video, adaptation_video
    from quickstudy.protocol.agent import Agent, memory_bytes, slot_key
    from quickstudy.protocol.errors import QuickstudyError
    from quickstudy.protocol.host_distribution import HostDistribution, StepResult
    from quickstudy.protocol.meta_algorithm import MetaAlgorithm
    from quickstudy.protocol.records import Decision, Outcome, Spec, Transition, record
    from quickstudy.protocol.task_distribution import TaskDistribution, mark_split, task_hash
    from quickstudy.reports.adaptation_speed_chart import write_speed_picture
    from quickstudy.reports.adaptation_speed_table import speed_table
    from quickstudy.reports.comparison_page import write_comparison
    from quickstudy.reports.page import write_report
    from quickstudy.reports.sweep_page import write_sweep
    from quickstudy.reports.video_files import write_video
    from quickstudy.reports.wording import Wording
    from quickstudy.rollout.actor import Actor
    from quickstudy.rollout.collecting.config import CollectingConfig
    from quickstudy.rollout.compiled import run_lifetime
    from quickstudy.rollout.envelope.guard import with_envelope
    from quickstudy.rollout.envelope.rules import Envelope
    from quickstudy.rollout.logged_rows import ReplayedRows, replay
    from quickstudy.rollout.nonfinite import with_nonfinite_guard
    from quickstudy.rollout.sensor_faults import with_sensor_faults
    from quickstudy.storage.bundle import Bundle, load_bundle, save_bundle
    from quickstudy.storage.envelope_file import load_envelope
    from quickstudy.tasks.checks.check import check
    from quickstudy.tasks.gymnasium import from_gymnasium
    from quickstudy.training.devices import use_whole_machine
    from quickstudy.training.loop import Run, TrainingConfig, meta_train
    from quickstudy.training.progress import Progress

_HOMES = {
    "Actor": "rollout.actor",
    "AdaptationSpeed": "evaluation.adaptation_speed.results",
    "Agent": "protocol.agent",
    "Bundle": "storage.bundle",
    "CollectingConfig": "rollout.collecting.config",
    "Contender": "evaluation.contenders",
    "Decision": "protocol.records",
    "Envelope": "rollout.envelope.rules",
    "Evaluation": "evaluation.results",
    "HostDistribution": "protocol.host_distribution",
    "MetaAlgorithm": "protocol.meta_algorithm",
    "Outcome": "protocol.records",
    "Progress": "training.progress",
    "QuickstudyError": "protocol.errors",
    "RawReturns": "evaluation.raw_returns",
    "Readout": "evaluation.belief_probe.probe",
    "ReadoutConfig": "evaluation.belief_probe.fit",
    "ReplayedRows": "rollout.logged_rows",
    "Run": "training.loop",
    "Spec": "protocol.records",
    "StepResult": "protocol.host_distribution",
    "SweepConfig": "evaluation.sweep.records",
    "TaskDistribution": "protocol.task_distribution",
    "TrainingConfig": "training.loop",
    "Transition": "protocol.records",
    "Video": "evaluation.video",
    "Wording": "reports.wording",
    "adaptation_speed": "evaluation.adaptation_speed.measure",
    "adaptation_speeds": "evaluation.adaptation_speed.measure",
    "adaptation_video": "evaluation.video",
    "check": "tasks.checks.check",
    "contender": "evaluation.contenders",
    "evaluate": "evaluation.evaluate",
    "fit_readout": "evaluation.belief_probe.fit",
    "from_gymnasium": "tasks.gymnasium",
    "guarded_agent": "evaluation.guarded",
    "load_bundle": "storage.bundle",
    "load_envelope": "storage.envelope_file",
    "load_readout": "evaluation.belief_probe.storage",
    "mark_split": "protocol.task_distribution",
    "measure_calibration": "evaluation.belief_probe.calibration",
    "memory_bytes": "protocol.agent",
    "meta_train": "training.loop",
    "record": "protocol.records",
    "replay": "rollout.logged_rows",
    "run_lifetime": "rollout.compiled",
    "save_bundle": "storage.bundle",
    "save_readout": "evaluation.belief_probe.storage",
    "slot_key": "protocol.agent",
    "speed_table": "reports.adaptation_speed_table",
    "sweep": "evaluation.sweep.run",
    "task_hash": "protocol.task_distribution",
    "use_whole_machine": "training.devices",
    "with_envelope": "rollout.envelope.guard",
    "with_nonfinite_guard": "rollout.nonfinite",
    "with_readout": "evaluation.belief_probe.probe",
    "with_sensor_faults": "rollout.sensor_faults",
    "write_comparison": "reports.comparison_page",
    "write_report": "reports.page",
    "write_speed_picture": "reports.adaptation_speed_chart",
    "write_sweep": "reports.sweep_page",
    "write_video": "reports.video_files",
}

__all__ = [
    "Actor",
    "AdaptationSpeed",
    "Agent",
    "Bundle",
    "CollectingConfig",
    "Contender",
    "Decision",
    "Envelope",
    "Evaluation",
    "HostDistribution",
    "MetaAlgorithm",
    "Outcome",
    "Progress",
    "QuickstudyError",
    "RawReturns",
    "Readout",
    "ReadoutConfig",
    "ReplayedRows",
    "Run",
    "Spec",
    "StepResult",
    "SweepConfig",
    "TaskDistribution",
    "TrainingConfig",
    "Transition",
    "Video",
    "Wording",
    "adaptation_speed",
    "adaptation_speeds",
    "adaptation_video",
    "algorithms",
    "check",
    "contender",
    "evaluate",
    "fit_readout",
    "from_gymnasium",
    "guarded_agent",
    "load_bundle",
    "load_envelope",
    "load_readout",
    "mark_split",
    "measure_calibration",
    "memory_bytes",
    "meta_train",
    "record",
    "replay",
    "run_lifetime",
    "save_bundle",
    "save_readout",
    "slot_key",
    "speed_table",
    "sweep",
    "task_hash",
    "tasks",
    "use_whole_machine",
    "with_envelope",
    "with_nonfinite_guard",
    "with_readout",
    "with_sensor_faults",
    "write_comparison",
    "write_report",
    "write_speed_picture",
    "write_sweep",
    "write_video",
]


def __getattr__(name: str) -> object:
    import importlib

    if name in _HOMES:
        return getattr(importlib.import_module(f"quickstudy.{_HOMES[name]}"), name)
    if name in ("algorithms", "tasks"):
        return importlib.import_module(f"quickstudy.{name}")
    raise AttributeError(f"module 'quickstudy' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
