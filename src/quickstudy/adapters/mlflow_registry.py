"""Versions of agents between a registry of quickstudy and the model registry of MLflow.

A version is a run of MLflow with the files of its folder, and a model version with its digest as a tag. Nothing is pickled, and
what comes back is the agent only if its digest is that of the tag.
"""

import dataclasses
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quickstudy.adapters.mlflow_client import MlflowException, experiment_of, open_client, sqlite_file
from quickstudy.protocol.errors import BundleError, UnknownNameError, UsageError
from quickstudy.protocol.printable import first_line
from quickstudy.serving.registry import Load, Registry
from quickstudy.storage.envelope_file import ENVELOPE
from quickstudy.storage.reading import is_file

_EXPERIMENT = "quickstudy-registry"
_AGENT, _SEED = "quickstudy.agent", "quickstudy.seed"
_FILES, _CARD = "version", "README.md"
_LONGEST_DESCRIPTION = 5000
_LEAST_DIGITS = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pushed:
    """A version in MLflow.

    Args:
      digest: of the agent.
      version: its number in MLflow.
      made: False where MLflow had this agent already.
      aliases: that name it in MLflow now.
    """

    digest: str
    version: str
    made: bool
    aliases: tuple[str, ...]


def push_version(
    registry: Registry, name: str, word: str, *, address: str, load: Load, alias: str | None = None, card: str | None = None
) -> Pushed:
    """Writes a version of a registry to MLflow, under the same name. An agent that is there already is not written again.

    Args:
      registry: that holds the version.
      name: of the agent.
      word: as of `Registry.find`.
      address: of MLflow, as of `open_client`.
      load: makes the agent from a bundle, a seed and the file of an envelope.
      alias: for the version in MLflow; those that it has in the registry if None.
      card: of the agent, as Markdown; it becomes the description, and a file.
    Raises:
      UnknownNameError: there is no such agent or version.
      BundleError: the version is damaged.
      UsageError: MLflow cannot use the address, or it does not take the alias.
    """
    digest = registry.find(name, word)
    seed = registry.version(name, digest).seed
    registry.load(name, digest, load)
    aliases = [alias] if alias else [key for key, one in registry.model(name).aliases.items() if one.agent == digest]
    client = open_client(address)
    with _refusals(address):
        if name not in {model.name for model in client.search_registered_models(f"name = '{name}'")}:
            client.create_registered_model(name)
        found = next((one for one in _versions(client, name) if one.tags.get(_AGENT) == digest), None)
        made = found is None
        if found is None:
            tags = {_AGENT: digest, _SEED: str(seed)}
            experiment = experiment_of(client, _EXPERIMENT, address)
            run = client.create_run(experiment, run_name=f"{name}/{digest[:12]}", tags=tags).info.run_id
            client.log_artifacts(run, str(registry.path_of(name, digest)), _FILES)
            if card is not None:
                client.log_text(run, card, _CARD)
            client.set_terminated(run)
            described = None if card is None else card[:_LONGEST_DESCRIPTION]
            source = f"runs:/{run}/{_FILES}"
            found = client.create_model_version(name, source=source, run_id=run, tags=tags, description=described)
        for one in aliases:
            client.set_registered_model_alias(name, one, found.version)
    return Pushed(digest=digest, version=str(found.version), made=made, aliases=tuple(aliases))


def pull_version(registry: Registry, name: str, word: str, *, address: str, load: Load) -> str:
    """Puts a version of MLflow into a registry, under the same name.

    Args:
      registry: that it is put into; its folder is made with the first version.
      name: of the agent.
      word: an alias or the number of the version in MLflow, or the beginning of its digest.
      address: of MLflow, as of `open_client`.
      load: makes the agent from a bundle, a seed and the file of an envelope.
    Returns:
      The digest of the version, the same as where it was pushed.
    Raises:
      UsageError: there is no such database, agent or version.
      BundleError: the files are damaged, or hold another agent than the tag says.
    """
    if address.startswith("sqlite:") and not is_file(sqlite_file(address)):
        raise UsageError(f"there is no file {str(sqlite_file(address))!r:.300}. Name the database of MLflow with --address.")
    client = open_client(address)
    with _refusals(address), tempfile.TemporaryDirectory() as place:
        version = _found(client, name, word)
        digest, seed = version.tags.get(_AGENT, ""), version.tags.get(_SEED, "")
        if not digest or not re.fullmatch(r"\d{1,10}", seed):
            raise UsageError(f"version {version.version} of {name!r} was not pushed by quickstudy: it lacks the tag {_AGENT}.")
        folder = Path(client.download_artifacts(version.run_id, _FILES, place))
        envelope = folder / ENVELOPE if is_file(folder / ENVELOPE) else None
        came = load(folder, int(seed), envelope).digest
        if came != digest:
            raise BundleError(
                f"version {version.version} of {name!r} in MLflow holds agent {came[:12]}, and its tag names {digest[:12]}. "
                "Push it again."
            )
        return registry.put(name, folder, seed=int(seed), load=load, envelope=envelope)


def _found(client: Any, name: str, word: str) -> Any:
    """The model version that an alias, a number or the beginning of a digest means."""
    names = sorted(model.name for model in client.search_registered_models())
    if name not in names:
        raise UnknownNameError("agent in MLflow", name, names)
    aliases, versions = client.get_registered_model(name).aliases, _versions(client, name)
    number = str(aliases.get(word, word))
    found = [one for one in versions if str(one.version) == number]
    if not found and len(word) >= _LEAST_DIGITS:
        found = [one for one in versions if one.tags.get(_AGENT, "").startswith(word)]
    if len(found) != 1:
        raise UnknownNameError(f"version of {name!r} in MLflow", word, [*aliases, *(str(one.version) for one in versions)])
    return found[0]


def _versions(client: Any, name: str) -> list[Any]:
    found = client.search_model_versions(f"name = '{name}'", max_results=1000)
    return sorted(found, key=lambda one: int(one.version))


@contextmanager
def _refusals(address: str) -> Iterator[None]:
    """Errors of MLflow in one line."""
    try:
        yield
    except MlflowException as error:
        raise UsageError(f"MLflow at {address!r:.200} refuses: {first_line(error)}.") from error
