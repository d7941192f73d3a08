"""Writes an agent as files that run without JAX, and checks them against the agent."""

import dataclasses
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from quickstudy.export.c_export import c_files
from quickstudy.export.c_products import in_whole_numbers
from quickstudy.export.c_replay import packed_vectors
from quickstudy.export.contract import contract, weights_term
from quickstudy.export.graph_terms import graph_terms
from quickstudy.export.litert_form import check_litert_installed, without_litert_form
from quickstudy.export.numpy_export import numpy_files
from quickstudy.export.onnx_form import check_onnx_installed, without_onnx_form
from quickstudy.export.parity import Parity, c_parity, python_parity
from quickstudy.export.repeating import deviation_from_itself
from quickstudy.export.vectors import Vectors, check_memory_of_steps, record_vectors
from quickstudy.export.weights import weight_bytes
from quickstudy.programs.program import Program, multiplications
from quickstudy.programs.quantising import Quantised, quantised
from quickstudy.programs.tracing import named_leaves
from quickstudy.protocol.agent import Agent, memory_bytes, slot_key
from quickstudy.protocol.errors import NoProgramError, UsageError
from quickstudy.protocol.printable import printable
from quickstudy.protocol.task_distribution import TaskDistribution
from quickstudy.rollout.agent_costs import AgentCost, agent_cost
from quickstudy.rollout.nonfinite import with_nonfinite_guard
from quickstudy.rollout.program_agent import program_agent
from quickstudy.rollout.step_programs import StepPrograms, canonical_array, step_programs
from quickstudy.storage.atomic import write_atomically
from quickstudy.storage.bundle import Bundle
from quickstudy.storage.results_folder import check_results_folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Graph:
    """A target whose form is one graph: what people call it, and what can be asked without its packages."""

    name: str
    check_installed: Callable[[], None]
    without_form: Callable[[Program], tuple[str, ...]]


_GRAPHS = {
    "onnx": _Graph(name="ONNX", check_installed=check_onnx_installed, without_form=without_onnx_form),
    "litert": _Graph(name="LiteRT", check_installed=check_litert_installed, without_form=without_litert_form),
}
TARGETS = ("numpy", "c", "onnx", "litert")
RECORDED_STEPS = 1000
"""Steps in `vectors.npz`."""
LARGEST_DEVIATION = 1e-5
"""Of numbers of the policy, between an exported form and the agent, in proportion; see `Parity`."""
_TIMES_OF_JAX, _LARGEST_EVER = 2.0, 1e-4
"""A deviation may be larger if the agent in JAX, compiled in two ways, also differs from itself by more than 1e-5. Then up to
twice that difference is allowed, since the largest of many rounding errors varies from program to program. More than 1e-4 is
never allowed."""


_TIMES_OF_ROUNDING = 2.0
"""Limit of forms that round both factors of a product to 8 bits: the deviation from the agent with its matrices in 8 bits may
be twice the change that these matrices make. Each rounding affects one factor, so the two effects are of similar size."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written.

    Args:
      folder: of the files.
      sizes: bytes by file name.
      weight_bytes: of all arrays that never change, as a device holds them.
      parity: what the check found; None where it was left out.
      cost: operations and bytes of a decision and of an adaptation, counted; None where an operation cannot be counted.
      rounds_factors: whether the form also rounds to 8 bits what a matrix is multiplied with.
    """

    folder: Path
    sizes: dict[str, int]
    weight_bytes: int
    parity: Parity | None
    cost: AgentCost | None
    rounds_factors: bool = False

    @property
    def repeats_the_agent(self) -> bool:
        """Whether the check found no more than rounding; true where it was left out."""
        if self.parity is None or self.parity.of_policy <= LARGEST_DEVIATION:
            return True
        if self.rounds_factors:
            return self.parity.of_policy <= _TIMES_OF_ROUNDING * (self.parity.of_trained or 0.0)
        return self.parity.of_policy <= min(_TIMES_OF_JAX * (self.parity.of_jax or 0.0), _LARGEST_EVER)


def export_bundle(
    bundle: Bundle,
    *,
    to: str,
    folder: str | Path,
    name: str,
    seed: int = 0,
    quantise: Quantised | None = None,
    check: int = 10_000,
    bench: bool = False,
) -> Exported:
    """Writes one agent of a bundle for a target, and checks it.

    Args:
      bundle: a trained agent.
      to: one of `TARGETS`.
      folder: of the files; made if needed.
      name: of the bundle, for the heads of the files.
      seed: which of the trained agents.
      quantise: hold the matrices in fewer bits: `"int8"`, or `"fp16"`, which C99 has no type for. The recorded steps are then
        those of the agent with these matrices, and the check also says how far it is from the agent as it was trained. With
        `"int8"`, LiteRT also rounds what they are multiplied with, so that it repeats these steps less closely.
      check: steps that are compared with the agent in JAX; 0 leaves the check out.
      bench: whether steps are timed too.
    Raises:
      MissingExtraError: what the target needs is not installed.
      UsageError: no such target, numbers that the target does not have, a negative number of steps or more than memory holds,
        or a folder that cannot be written.
      NoProgramError: a part of the agent cannot be exported; says which, and what can be done.
      BundleError: no such seed.
    """
    if to not in TARGETS:
        raise UsageError(f"--to must be one of {', '.join(TARGETS)}; came {to!r}.")
    if to in _GRAPHS:
        _GRAPHS[to].check_installed()
    if check < 0:
        raise UsageError(f"--check must be 0 steps or more; came {check}.")
    if quantise == "fp16" and to == "c":
        raise UsageError("C99 has no numbers of 16 bits with a fraction. Use --quantize int8, or --to numpy, onnx or litert.")
    rounds_factors = to == "litert" and quantise == "int8"
    params, trained = bundle.params_of(seed), with_nonfinite_guard(bundle.agent)
    name, algorithm = printable(name), printable(bundle.card["algorithm"]["name"])
    check_memory_of_steps(trained.spec, max(check, RECORDED_STEPS))
    check_results_folder(folder)
    try:
        programs = step_programs(trained, params)
    except NoProgramError as error:
        raise NoProgramError(
            f"{name} ({algorithm}) cannot be exported to {to}: {error} No other target can write it either. "
            "In Python it runs as quickstudy.Actor.",
            part=error.part,
        ) from error
    if to in _GRAPHS:
        _check_form(programs, to, f"{name} ({algorithm})")
    agent = trained
    if quantise is not None:
        programs = in_fewer_bits(programs, quantise)
        agent = program_agent(trained, programs)
    products = multiplications((*programs.take_in.operations, *programs.decide.operations))
    if to == "c":
        take_in, decide = map(in_whole_numbers, (programs.take_in, programs.decide))
        programs = dataclasses.replace(programs, take_in=take_in, decide=decide)
    initial = _initial(agent, params, programs)
    outputs = list(programs.decision)
    recorded = record_vectors(
        agent,
        params,
        _tasks_of(bundle),
        steps=max(check, RECORDED_STEPS),
        drawn_at_start=programs.drawn_at_start,
        outputs=outputs,
        seed=seed,
    )
    said = contract(
        programs,
        agent.spec,
        bundle={"name": name, "algorithm": algorithm, "parameters_sha256": bundle.card["parameters_sha256"]},
        seed=seed,
        memory_bytes=memory_bytes(agent),
        weights=weights_term(quantise, weight_bytes(programs, initial), rounds_factors=rounds_factors),
        products=products,
    )
    if to in _GRAPHS:
        said |= graph_terms(programs, said)
    files = _files(to, programs, initial, said, recorded.first(RECORDED_STEPS), title=f"{name} ({algorithm}), seed {seed}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        write_atomically(folder / file, content)
    parity = None
    if check:
        compared = recorded.first(check)
        parity = (
            c_parity(folder, compared, programs, timed=bench) if to == "c" else python_parity(folder, compared, timed=bench)
        )
        if parity.of_policy > LARGEST_DEVIATION and not rounds_factors:
            parity = dataclasses.replace(parity, of_jax=deviation_from_itself(agent, params, compared, said))
        if quantise is not None:
            parity = dataclasses.replace(parity, of_trained=deviation_from_itself(trained, params, compared, said))
        report = {"target": to, **dataclasses.asdict(parity), "bytes": {file: len(content) for file, content in files.items()}}
        write_atomically(folder / "report.json", json.dumps(report, indent=2) + "\n")
    sizes = {file: len(content) for file, content in files.items()}
    return Exported(
        folder=folder,
        sizes=sizes,
        weight_bytes=said["weights"]["bytes"],
        parity=parity,
        cost=_cost(agent, params),
        rounds_factors=rounds_factors,
    )


def _cost(agent: Agent, params: PyTree) -> AgentCost | None:
    """What a decision and an adaptation need, if all of their operations can be counted."""
    try:
        return agent_cost(agent, params)
    except NotImplementedError:
        return None


def in_fewer_bits(programs: StepPrograms, quantise: Quantised) -> StepPrograms:
    """The programs with their matrices in fewer bits."""
    take_in, decide = (quantised(program, quantise) for program in (programs.take_in, programs.decide))
    return dataclasses.replace(programs, take_in=take_in, decide=decide)


def _check_form(programs: StepPrograms, to: str, name: str) -> None:
    """Raises NoProgramError if an operation of the programs has no form in the target."""
    for function, program in (("adapt", programs.take_in), ("act", programs.decide)):
        missing = ", ".join(_GRAPHS[to].without_form(program))
        if missing:
            able = [
                target
                for target in TARGETS
                if target not in _GRAPHS
                or not any(_GRAPHS[target].without_form(one) for one in (programs.take_in, programs.decide))
            ]
            raise NoProgramError(
                f"{name} cannot be exported to {to}: {function} of the agent uses operations that have no form in "
                f"{_GRAPHS[to].name}: {missing}. These targets can write it: {', '.join(able)}.",
                part=f"{function}, for its {missing}",
            )


def _tasks_of(bundle: Bundle) -> TaskDistribution | None:
    """The tasks of the bundle, if they are written in JAX and at hand."""
    try:
        world = bundle.distribution()
    except (UsageError, KeyError):
        return None
    return world if isinstance(world, TaskDistribution) and world.spec == bundle.agent.spec else None


def _files(
    to: str, programs: StepPrograms, initial: Mapping[str, np.ndarray], said: dict[str, Any], vectors: Vectors, *, title: str
) -> dict[str, bytes]:
    files = {
        "contract.json": (json.dumps(said, indent=2, ensure_ascii=False) + "\n").encode(),
        "vectors.npz": _npz(vectors.arrays()),
    }
    if to == "numpy":
        return files | numpy_files(programs, initial, title=title, digest=said["bundle"]["parameters_sha256"])
    if to == "onnx":
        from quickstudy.export.onnx_export import onnx_files

        return files | onnx_files(programs, initial, said, title=title)
    if to == "litert":
        from quickstudy.export.litert_export import litert_files

        return files | litert_files(programs, initial, said, title=title)
    return files | c_files(programs, initial, said, title=title) | {"vectors.bin": packed_vectors(vectors, programs)}


def _initial(agent: Any, params: Any, programs: StepPrograms) -> dict[str, np.ndarray]:
    """Memory at the start of a lifetime, as programs take it."""
    memory = named_leaves(agent.begin(params, slot_key(jax.random.key(0), 0)[0]), root="memory")
    return {name: canonical_array(leaf, programs.memory[name].dtype) for name, leaf in memory.items()}


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()
