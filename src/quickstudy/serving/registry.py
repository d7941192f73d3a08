"""A registry of agents: a folder with every version of them, and with names for the versions that are in use.

    REGISTRY/NAME/model.json                         aliases, the rule for moves, and every change
    REGISTRY/NAME/versions/DIGEST/bundle.json        a version: a bundle with one seed of training
    REGISTRY/NAME/versions/DIGEST/parameters.safetensors
    REGISTRY/NAME/versions/DIGEST/version.json
    REGISTRY/NAME/versions/DIGEST/envelope.json      and the readout that it names, where the agent is within an envelope

A version is named by the digest of its agent, which is also what sessions and answers name. It never changes. `model.json` is
replaced as a whole, so a reader finds the old aliases or the new ones.
"""

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from quickstudy.protocol.errors import BundleError, UnknownNameError, UsageError
from quickstudy.protocol.printable import shell_word
from quickstudy.serving.registry_records import (
    PUT_AGAIN,
    REPAIR,
    Alias,
    Change,
    Model,
    Moves,
    Version,
    read_record,
    rendered_record,
)
from quickstudy.serving.served_agent import ServedAgent, same_form
from quickstudy.storage.atomic import write_atomically, write_new_file
from quickstudy.storage.card import bundle_folder
from quickstudy.storage.envelope_file import ENVELOPE, copy_envelope, load_envelope
from quickstudy.storage.plain import from_plain
from quickstudy.storage.reading import is_file
from quickstudy.storage.whole_folders import held, whole_folder

CHAMPION = "champion"
_MODEL, _VERSION, _VERSIONS = "model.json", "version.json", "versions"
_PARTS = ("bundle.json", "parameters.safetensors")
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_ALIAS = r"[a-z][a-z0-9_-]{0,31}"
_DIGEST = r"[0-9a-f]{64}"
_LEAST_DIGITS = 6


Load = Callable[[Path, int, Path | None], ServedAgent]
"""Makes the agent from the folder of a bundle, a seed, and the file of an envelope; None for none."""


class Registry:
    """A registry in a folder.

    Args:
      folder: of the registry; it is made with the first version.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)

    def names(self) -> list[str]:
        """The agents in it."""
        return sorted(path.parent.name for path in self.folder.glob(f"*/{_MODEL}"))

    def model(self, name: str) -> Model:
        """The entry of an agent.

        Raises:
          UnknownNameError: there is no such agent.
          UsageError: the entry is damaged.
        """
        path = self._path(name) / _MODEL
        if not is_file(path):
            hint = (
                f"Put it in first: quickstudy registry put {shell_word(self.folder)} NAME BUNDLE." if not self.names() else None
            )
            raise UnknownNameError(f"agent of registry {str(self.folder)!r}", name, self.names(), hint=hint)
        content = read_record(path, "description of an agent in a registry")
        model = from_plain(Model, content, where=str(path))
        for alias, one in model.aliases.items():
            for digest in (one.agent, *one.before):
                if re.fullmatch(_DIGEST, digest) is None:
                    raise UsageError(f"{path}: alias {alias!r} names {digest!r:.80}, which is no version. {REPAIR}")
        return model

    def digest_of(self, name: str, alias: str) -> str:
        """The version that an alias names.

        Raises:
          UnknownNameError: there is no such agent, or it has no such alias.
          UsageError: the registry is damaged.
        """
        return self.named(name, self.model(name), alias)

    def named(self, name: str, model: Model, alias: str) -> str:
        """As `digest_of`, where it is known what the registry says of the agent."""
        aliases = model.aliases
        if alias not in aliases:
            folder = shell_word(self.folder)
            hint = None if aliases else f"Give one to a version: quickstudy registry promote {folder} {name} VERSION."
            raise UnknownNameError(f"alias of {name!r}", alias, aliases, hint=hint)
        return aliases[alias].agent

    def versions(self, name: str) -> list[str]:
        """Digests of the versions of an agent."""
        return sorted(path.parent.name for path in (self._path(name) / _VERSIONS).glob(f"*/{_VERSION}"))

    def version(self, name: str, digest: str) -> Version:
        """One version.

        Raises:
          BundleError: it is not there, or damaged.
        """
        path = self.path_of(name, digest) / _VERSION
        if re.fullmatch(_DIGEST, digest) is None or not is_file(path):
            raise BundleError(
                f"the registry {str(self.folder)!r} holds no version {digest[:12]!r} of {name!r}. Put its bundle in again: "
                f"quickstudy registry put {shell_word(self.folder)} {name} BUNDLE."
            )
        try:
            version = from_plain(Version, read_record(path, "description of a version"), where=str(path))
        except UsageError as error:
            raise BundleError(f"{error} {PUT_AGAIN}") from error
        if version.agent != digest:
            raise BundleError(f"{path} describes another version, {version.agent[:12]}. {PUT_AGAIN}")
        return version

    def load(self, name: str, digest: str, load: Load) -> ServedAgent:
        """The agent of a version.

        Args:
          name: of the agent.
          digest: of the version.
          load: makes the agent from a bundle, a seed and the file of an envelope.
        Raises:
          BundleError: it is not there, or damaged.
        """
        folder, seed = self.path_of(name, digest), self.version(name, digest).seed
        served = load(folder, seed, folder / ENVELOPE if is_file(folder / ENVELOPE) else None)
        if served.digest != digest:
            raise BundleError(f"{self.path_of(name, digest)} holds another agent, {served.digest[:12]}. {PUT_AGAIN}")
        return served

    def path_of(self, name: str, digest: str) -> Path:
        """The folder of a version, which is that of a bundle."""
        return self._path(name) / _VERSIONS / digest

    def find(self, name: str, word: str) -> str:
        """The digest that a word means: that of an alias, or one that begins with the word.

        Raises:
          UnknownNameError: no version is meant.
          UsageError: several are.
        """
        aliases, versions = self.model(name).aliases, self.versions(name)
        if word in aliases:
            return aliases[word].agent
        found = [digest for digest in versions if len(word) >= _LEAST_DIGITS and digest.startswith(word)]
        if len(found) > 1:
            raise UsageError(f"{word!r} begins the digests of {len(found)} versions of {name!r}. Give more digits.")
        if not found:
            raise UnknownNameError(f"version of {name!r}", word, [*aliases, *(digest[:12] for digest in versions)])
        return found[0]

    def put(self, name: str, bundle: str | Path, *, seed: int, load: Load, envelope: str | Path | None = None) -> str:
        """Puts a bundle in as a version, whole or not at all. A version that is there already is written again.

        Args:
          name: of the agent.
          bundle: folder of the bundle, or of a run.
          seed: of training, whose agent is meant.
          load: makes the agent from a bundle, a seed and the file of an envelope.
          envelope: file of the envelope that the agent is within; None for none.
        Returns:
          The digest of the version.
        Raises:
          UsageError: the name has other characters, or the envelope cannot be read.
          BundleError: the bundle cannot be read.
        """
        if re.fullmatch(_NAME, name) is None:
            raise UsageError(f"a name has letters, digits and . _ -, at most 64; came {name!r:.80}.")
        rules = None if envelope is None else Path(envelope)
        served, source = load(Path(bundle), seed, rules), bundle_folder(bundle)
        version = Version(agent=served.digest, seed=seed, described=served.described())
        with whole_folder(self.path_of(name, served.digest)) as building:
            for part in _PARTS:
                shutil.copyfile(source / part, building / part)
            write_new_file(building / _VERSION, rendered_record(version))
            if rules is not None:
                copy_envelope(load_envelope(rules), building)
            if load(building, seed, None if rules is None else building / ENVELOPE).digest != served.digest:
                raise BundleError(f"{bundle} was replaced while it was put in. Put it in again.")
        with held(self._path(name)):
            if not is_file(self._path(name) / _MODEL):
                write_atomically(self._path(name) / _MODEL, rendered_record(Model()))
        return served.digest

    def promote(self, name: str, word: str, *, alias: str = CHAMPION, moves: Moves | None = None) -> Change:
        """Lets an alias name a version. Servers that follow the alias notice within seconds.

        Args:
          name: of the agent.
          word: as of `find`.
          alias: that is to name the version.
          moves: what becomes of sessions of other versions from now on; as before where it is None.
        Raises:
          UnknownNameError: there is no such agent or version.
          UsageError: the alias names this version already, or the version does not fit to the sessions of the one before.
        """
        if re.fullmatch(_ALIAS, alias) is None:
            raise UsageError(f"an alias has small letters, digits and _ -, and begins with a letter; came {alias!r:.80}.")
        with held(self._path(name)):
            model, digest = self.model(name), self.find(name, word)
            now = model.aliases.get(alias)
            rule: Moves = moves or model.moves
            if now is not None and now.agent == digest and rule == model.moves:
                raise UsageError(f"{alias} of {name!r} is version {digest[:12]} already.")
            if now is not None:
                self._check_fit(name, now.agent, digest, moves=rule)
            before = () if now is None else now.before if now.agent == digest else (*now.before, now.agent)
            self.version(name, digest)
            return self._write(name, model, alias, Alias(agent=digest, before=before), rule, "promote")

    def rollback(self, name: str, *, alias: str = CHAMPION, moves: Moves | None = None) -> Change:
        """Lets an alias name the version that it named before; again for the one before that.

        Raises:
          UnknownNameError: there is no such agent or alias.
          UsageError: the alias has named no other version.
        """
        with held(self._path(name)):
            now, model = self.digest_of(name, alias), self.model(name)
            before = model.aliases[alias].before
            if not before:
                raise UsageError(f"{alias} of {name!r} has named no version before {now[:12]}, so there is none to go back to.")
            rule: Moves = moves or model.moves
            self._check_fit(name, now, before[-1], moves=rule)
            return self._write(name, model, alias, Alias(agent=before[-1], before=before[:-1]), rule, "rollback")

    def _write(self, name: str, model: Model, alias: str, now: Alias, moves: Moves, what: str) -> Change:
        change = Change(
            at=datetime.now(UTC).isoformat(timespec="seconds"), what=what, alias=alias, agent=now.agent, moves=moves
        )
        changed = Model(moves=moves, aliases={**model.aliases, alias: now}, history=(*model.history, change))
        write_atomically(self._path(name) / _MODEL, rendered_record(changed))
        return change

    def _check_fit(self, name: str, old: str, new: str, *, moves: Moves) -> None:
        one, other = (self.version(name, digest).described for digest in (old, new))
        if same_form(one, other):
            return
        spaces = [[json.loads(text)["spec"][part] for part in ("observation_space", "action_space")] for text in (one, other)]
        if spaces[0] != spaces[1]:
            raise UsageError(
                f"version {new[:12]} has other spaces than version {old[:12]}, so clients would have to change. Put it in "
                "under another name, and serve both."
            )
        if moves != "pin":
            raise UsageError(
                f"sessions of version {old[:12]} cannot move to version {new[:12]}: the form of its decisions, or the length "
                "of its lifetimes, differs. Let them stay with their version: --moves pin."
            )

    def _path(self, name: str) -> Path:
        return self.folder / (name if re.fullmatch(_NAME, name) else "-")
