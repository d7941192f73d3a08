"""What a worker needs before it can unpack what a user's program defines: files, folders, modules, registered environments."""

import dataclasses
import importlib
import importlib.abc
import importlib.util
import os
import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import FunctionType, ModuleType

import cloudpickle
import gymnasium

import quickstudy
from quickstudy.protocol import registry
from quickstudy.protocol.errors import UsageError


@dataclasses.dataclass(frozen=True, kw_only=True)
class UserFile:
    """A file that a user's functions came from: its path there, and its content."""

    path: str
    text: bytes


@dataclasses.dataclass(frozen=True, kw_only=True)
class UserCode:
    """The user's part of a program.

    Args:
      files: task and algorithm files that were named by their path.
      folders: the script's folder and the working folder, if the program imports from them.
      modules: names of the modules that the script imported.
      environments: Gymnasium's registered environments by their names, each as it is sent.
    """

    files: Sequence[UserFile] = ()
    folders: Sequence[str] = ()
    modules: Sequence[str] = ()
    environments: dict[str, bytes] = dataclasses.field(default_factory=dict)


def user_code() -> UserCode:
    """The user's part of this program."""
    return UserCode(
        files=list(_files()),
        folders=own_folders(),
        modules=list(_imported_by_script()),
        environments=_registered(),
    )


def _files() -> Iterator[UserFile]:
    """The files that were named by their path. One that was deleted since is left out: what needs it says so."""
    for path in registry.loaded_files():
        with suppress(OSError):
            yield UserFile(path=str(path), text=path.read_bytes())


def own_folders() -> list[str]:
    """The script's folder and the working folder, if the program imports from them.

    Python puts them in front of the module path, or the user did. Another process puts them at its end, where they cannot take
    the place of the standard library or of what is installed. The folder that this package was imported from stays in place.
    """
    own = set()
    with suppress(OSError):  # the working folder may have been deleted
        own.add(os.getcwd())
        script = getattr(sys.modules.get("__main__"), "__file__", None)
        if script:
            own.add(os.path.dirname(os.path.abspath(script)))
        own.discard(str(Path(quickstudy.__file__).parents[1]))
        return list(dict.fromkeys(folder for folder in map(os.path.abspath, module_path()) if folder in own))
    return []


def module_path() -> list[str]:
    """The module path without what is no text, which imports ignore."""
    return [folder for folder in sys.path if isinstance(folder, str)]


def install(code: UserCode) -> None:
    """Makes this process ready to unpack what another one sends.

    Raises:
      UsageError: a file does not import.
    """
    sys.path += [folder for folder in code.folders if folder not in sys.path and Path(folder).is_dir()]
    for file in code.files:
        _load(file)
    for name in code.modules:
        # The script may have imported it for something else. If not, unpacking names it.
        with suppress(Exception, SystemExit):
            importlib.import_module(name)
    for name, content in code.environments.items():
        # Its package may not be installed here. If an environment needs it, Gymnasium names it.
        with suppress(Exception):
            wanted = pickle.loads(content)
            if gymnasium.registry.get(name) != wanted:
                gymnasium.registry[name] = wanted


def _imported_by_script() -> Iterator[str]:
    """Names of the modules that the script's own names came from, which may register things when they are imported."""
    names = dict.fromkeys(
        value.__name__ if isinstance(value, ModuleType) else value.__module__
        for value in list(vars(sys.modules["__main__"]).values())
        if isinstance(value, (ModuleType, FunctionType, type))
    )
    skipped = {"__main__", "quickstudy", *sys.stdlib_module_names}
    for name in names:
        if not isinstance(name, str) or name.partition(".")[0] in skipped:
            continue
        if getattr(sys.modules.get(name), "__spec__", None) is not None and not name.startswith("quickstudy_file_"):
            yield name


def _registered() -> dict[str, bytes]:
    environments = {}
    for name, spec in gymnasium.registry.items():
        try:
            environments[name] = cloudpickle.dumps(spec)
        except Exception:
            continue  # what cannot be sent is missing there, and Gymnasium will say so if it is needed
    return environments


def _load(file: UserFile) -> None:
    """Loads a file from its path if the same file is there, so that it finds the files beside it; else from its text."""
    path = Path(file.path)
    try:
        same = path.read_bytes() == file.text
    except OSError:
        same = False
    if same:
        registry.load_file(path)
        return
    name = f"quickstudy_file_{path.stem}"
    spec = importlib.util.spec_from_loader(name, _TextLoader(file))
    assert spec is not None  # a loader was given
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(f"{path} does not import on this machine: {type(error).__name__}: {error}") from error


class _TextLoader(importlib.abc.SourceLoader):
    """Loads a module from text that was sent, and leaves nothing on disk. Tracebacks show its lines."""

    def __init__(self, file: UserFile):
        self._file = file

    def get_filename(self, fullname: str) -> str:
        return self._file.path

    def get_data(self, path: str) -> bytes:
        if path != self._file.path:
            raise OSError(f"{path} was not sent.")
        return self._file.text
