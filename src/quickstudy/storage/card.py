"""The card of a bundle, `bundle.json`, as it may come from anybody: read within limits, and checked field by field."""

import dataclasses
import inspect
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import jax
from jaxtyping import PyTree

from quickstudy import algorithms, tasks
from quickstudy.protocol.agent import Agent
from quickstudy.protocol.descriptions import MOST_LIFETIME_STEPS
from quickstudy.protocol.errors import BundleError, QuickstudyError, UsageError
from quickstudy.protocol.host_distribution import AnyDistribution
from quickstudy.protocol.printable import shell_word
from quickstudy.protocol.registry import check_names, config_class, resolve, settings_of
from quickstudy.protocol.settings import settings_with_types
from quickstudy.storage.plain import checked_setting, from_plain
from quickstudy.storage.reading import CARD, is_file, read_json
from quickstudy.storage.run_folder import versions
from quickstudy.storage.tensors import MOST_BYTES
from quickstudy.storage.whole_folders import existing_folder

FORMAT = 1
FILE = "bundle.json"
_LONGEST_NAME = 500


@dataclasses.dataclass(frozen=True, kw_only=True)
class Named:
    """An algorithm or tasks: the name, and the settings."""

    name: str
    config: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """The fields of a card. Other fields are notes, which a newer version may write: they are kept and not used.

    Args:
      format: of the bundle. It changes where an older version must not read a bundle.
      algorithm: that trained the agent.
      spec: as `Spec.describe` gives it.
      distribution: of the training tasks.
      parameters_sha256: of the file of parameters.
      results: what was measured, by split.
      command: that trained it.
      versions: of what a result may depend on.
    """

    format: int
    algorithm: Named
    spec: Mapping[str, Any]
    distribution: Named
    parameters_sha256: str
    results: Mapping[str, Mapping[str, Any]]
    command: str | None = None
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)


def bundle_folder(path: str | Path) -> Path:
    """The folder of a bundle: itself, or `bundle` in the folder of a run."""
    path = Path(path)
    if not is_file(path / FILE) and existing_folder(path / "bundle").is_dir():
        path = path / "bundle"
    return existing_folder(path)


def read_card(path: Path) -> dict[str, Any]:
    """The card of a bundle, as plain data whose fields have the types of `Card`.

    Raises:
      BundleError: no card, one that does not parse or is of another format, or a field that is missing or of another type.
    """
    if not os.path.isdir(path):
        raise BundleError(f"there is no folder {str(path)!r}. Name the folder of a run or of a bundle.")
    if not os.path.lexists(path / FILE):
        raise BundleError(f"{path} is not a bundle: it holds no {FILE}.")
    card = read_json(path / FILE, what="card of the bundle", limit=CARD, refusal=BundleError)
    if "format" not in card:
        raise BundleError(f"{path / FILE} lacks format. Copy the bundle again.")
    form = card["format"]
    if not isinstance(form, int) or isinstance(form, bool) or form < 1:
        raise BundleError(f"{path} has format {form!r:.40}; this version reads format {FORMAT}. Copy the bundle again.")
    if form > FORMAT:
        raise BundleError(f"{path} has format {form}; this version reads format {FORMAT}. {_newer(card)}")
    fields = {field.name for field in dataclasses.fields(Card)}
    try:
        from_plain(Card, {name: value for name, value in card.items() if name in fields}, where=str(path / FILE))
    except UsageError as error:
        raise BundleError(f"{error} Copy the bundle again.") from error
    for part in ("algorithm", "distribution"):
        length = len(card[part]["name"])
        if length > _LONGEST_NAME:
            raise BundleError(f"{path / FILE}: the name of the {part} has {length:,} characters; {_LONGEST_NAME} are allowed.")
    return card


def algorithm_settings(card: Mapping[str, Any], factory: str | Callable[..., Any], path: Path) -> dict[str, Any]:
    """The settings of the algorithm, of the types that its configuration names; those of a registered one have limits.

    Args:
      card: of the bundle.
      factory: the algorithm: a registered name, or a user's function or file.
      path: of the bundle, for messages.
    Raises:
      BundleError: a setting that is not known or not allowed.
    """
    name, config = card["algorithm"]["name"], card["algorithm"]["config"]
    made = resolve("algorithm", factory, algorithms.ALGORITHMS) if isinstance(factory, str) else factory
    hints, bounded = settings_with_types(config_class(made)), isinstance(factory, str) and factory in algorithms.ALGORITHMS
    try:
        check_names(name, config, hints)
        return {one: checked_setting(hints[one], value, where=name, name=one, bounded=bounded) for one, value in config.items()}
    except QuickstudyError as error:
        raise BundleError(f"{path}: {error} {_newer(card, only_if_newer=True)}".rstrip()) from error


def task_settings(card: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The settings of the tasks that a card names. Those of registered tasks have the types of their function, and limits.

    Args:
      card: of the bundle.
      name: of the distribution: registered, or a user's file, which is imported.
    Raises:
      BundleError: a setting that is not known or not allowed.
    """
    factory, config = resolve("task distribution", name, tasks.DISTRIBUTIONS), card["distribution"]["config"]
    settings = settings_of(factory)
    try:
        check_names(name, config, settings)
        if name not in tasks.DISTRIBUTIONS:  # the user's own function says what it takes
            return dict(config)
        hints = get_type_hints(factory)
        return {
            one: checked_setting(_annotation(hints.get(one), settings[one]), value, where=name, name=one)
            for one, value in config.items()
        }
    except QuickstudyError as error:
        raise BundleError(f"the tasks of the bundle: {error} {_newer(card, only_if_newer=True)}".rstrip()) from error


def made_tasks(name: str, settings: Mapping[str, Any]) -> AnyDistribution:
    """The tasks of a name, with settings that came from a card.

    Args:
      name: of a distribution: registered, or a user's file.
      settings: of it, of the right types.
    Raises:
      UsageError: as of `tasks.make`.
      BundleError: registered tasks cannot be made with these settings, or a lifetime would be longer than the limit.
    """
    try:
        made = tasks.make(name, **settings)
    except QuickstudyError:
        raise
    except Exception as error:
        if name not in tasks.DISTRIBUTIONS:  # a fault of the user's own file is shown where it is
            raise
        raise BundleError(
            f"the tasks {name} cannot be made with the settings {dict(settings)!s:.200}: {type(error).__name__}: {error!s:.200}"
        ) from error
    if made.spec.lifetime_steps > MOST_LIFETIME_STEPS:
        came = f"{made.spec.lifetime_steps:,} steps in a lifetime, and {MOST_LIFETIME_STEPS:,} are allowed"
        raise BundleError(f"the tasks {name} with the settings {dict(settings)!s:.200} have {came}.")
    return made


def unknown_algorithm(card: Mapping[str, Any], path: Path) -> BundleError:
    """What to say of a bundle whose algorithm is not registered."""
    name = card["algorithm"]["name"]
    return BundleError(
        f"{path}: its algorithm {name!r} is not one of quickstudy's ({', '.join(algorithms.ALGORITHMS)}). If it is a file "
        f"that you trust, name it: algorithm={name!r}, or --algorithm {shell_word(name)} on the command line."
        f" {_newer(card, only_if_newer=True)}".rstrip()
    )


def check_agent_size(agent: Agent, params: PyTree) -> None:
    """Raises BundleError for an agent whose parameters or memory are beyond the limits. Nothing is allocated.

    Args:
      agent: made from a card.
      params: shapes and types of its parameters.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    sizes = {"parameters": _bytes(params), "memory of one lifetime": _bytes(jax.eval_shape(agent.begin, params, key))}
    for what, size in sizes.items():
        if size > MOST_BYTES:
            raise BundleError(
                f"the {what} would have {size:,} bytes, and {MOST_BYTES:,} are allowed. The card asks for too much."
            )


def _bytes(tree: PyTree) -> int:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)]
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)


def _annotation(hint: Any, parameter: inspect.Parameter) -> Any:
    """The annotation of a setting; the type of its default where it has none that can be read."""
    if hint is not None:
        return hint
    return type(parameter.default) if isinstance(parameter.default, bool | int | float | str) else Any


def _newer(card: Mapping[str, Any], *, only_if_newer: bool = False) -> str:
    """What to install for a bundle of another version."""
    written = card.get("versions")
    by = written.get("quickstudy") if isinstance(written, Mapping) else None
    here = versions()["quickstudy"]
    if only_if_newer and (not isinstance(by, str) or _numbers(by) <= _numbers(here)):
        return ""
    by = f"quickstudy {by[:40]}" if isinstance(by, str) else "a newer quickstudy"
    return f"The bundle was saved by {by}; this is {here}. Install that version or a later one."


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version[:40].split(".") if part.isascii() and part.isdigit()]
