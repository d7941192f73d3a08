"""What an installation offers: versions, devices, memory, folders and extras, each with what to do where it is missing."""

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import platformdirs

from quickstudy.protocol.machine import usable_cores
from quickstudy.protocol.memory import LIMIT_VARIABLE, free_bytes, in_words
from quickstudy.protocol.printable import shell_word
from quickstudy.storage.caches import cache_folder

EXTRAS = {
    "mujoco": "locomotion tasks",
    "metaworld": "Meta-World tasks",
    "procgen": "Procgen tasks",
    "xland": "XLand-MiniGrid tasks",
    "serve": "served sessions and the dashboard",
    "openfeature": "served agents as feature flags",
    "track": "trackers: TensorBoard and trackio",
    "mlflow": "MLflow as a tracker and a registry",
    "wandb": "Weights & Biases as a tracker, offline",
    "onnx": "export to ONNX",
    "litert": "export to LiteRT",
    "data": "tasks from real records, and real series",
    "sktime": "agents as forecasters of sktime",
    "ray": "collectors on several machines",
    "sweep": "sweeps whose settings Optuna chooses",
}
"""The extras that users install, and what each is for; others are for tests and benchmarks of this project."""

_PACKAGE = "quickstudy"
_LITTLE_MEMORY, _LITTLE_DISK = 10**9, 10**9
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?$")
_OF_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
_OF_SYSTEM = re.compile(r"""sys_platform\s*(==|!=)\s*['"]([^'"]+)['"]""")
_DRIVERS = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidia0"))


class Finding(NamedTuple):
    """One thing that was looked at.

    Args:
      state: `ok`; `note`, where something works less well; `missing`, an extra that is not installed; `fault`, where
        something is missing that every user needs.
      what: was looked at.
      found: in words.
      fix: what to do; empty where nothing is to be done.
    """

    state: Literal["ok", "note", "missing", "fault"]
    what: str
    found: str
    fix: str = ""


class Requirement(NamedTuple):
    """A package that an installation, or one extra of it, needs.

    Args:
      name: of the package.
      bounds: as in `>=2.1,<3`.
      extra: that needs it; empty for what every installation needs.
    """

    name: str
    bounds: str
    extra: str


def findings(folder: Path | None = None) -> list[Finding]:
    """Everything that was looked at, in the order in which it is shown. Nothing is installed, and only the cache is created.

    Args:
      folder: in which runs would be made; the working folder if None.
    """
    requirements = read_requirements(importlib.metadata.requires(_PACKAGE) or ())
    return [
        Finding("ok", "python", f"{platform.python_version()}, {sys.executable}"),
        Finding("ok", _PACKAGE, importlib.metadata.version(_PACKAGE)),
        *(_package(one) for one in requirements if not one.extra),
        *_devices(),
        Finding("ok", "cores", f"{usable_cores()} of {os.cpu_count()} may be used"),
        _memory(),
        _runs(Path.cwd() if folder is None else folder),
        _cache(),
        *(_extra(name, [one for one in requirements if one.extra == name]) for name in EXTRAS),
    ]


def read_requirements(lines: Iterable[str]) -> list[Requirement]:
    """Requirements from the lines of a package's metadata; those of other operating systems are left out.

    Example:
      >>> read_requirements(['numpy<3,>=2.1', 'msgspec>=0.20; extra == "serve"'])[1]
      Requirement(name='msgspec', bounds='>=0.20', extra='serve')
    """
    found = []
    for line in lines:
        parts = _REQUIREMENT.match(line.strip())
        if parts is None:
            continue
        name, bounds, marker = parts[1], parts[2].strip(), parts[3] or ""
        systems = _OF_SYSTEM.findall(marker)
        if all((sys.platform == system) is (relation == "==") for relation, system in systems):
            extra = _OF_EXTRA.search(marker)
            found.append(Requirement(name, bounds, extra[1] if extra else ""))
    return found


def is_within(version: str, bounds: str) -> bool:
    """Whether a version lies within bounds; the numbers of a release are compared, and what follows them is not.

    Args:
      version: as in `2.4.6`.
      bounds: as in `>=2.1,<3`, of `>=`, `<=`, `>`, `<`, `==` and `!=`; other relations allow everything.
    """
    came = _numbers(version)
    for bound in filter(None, (part.strip() for part in bounds.split(","))):
        relation = re.match(r"[<>=!~]+", bound)
        limit = _numbers(bound[relation.end() :]) if relation else ()
        length = max(len(came), len(limit))
        first, second = (one + (0,) * (length - len(one)) for one in (came, limit))
        kept = {">=": first >= second, "<=": first <= second, ">": first > second, "<": first < second}
        kept |= {"==": first == second, "!=": first != second}
        if relation and not kept.get(relation[0], True):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    release = re.match(r"\s*v?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in release[1].split(".")) if release else ()


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _package(required: Requirement) -> Finding:
    version = _installed(required.name)
    fix = f"pip install {shell_word(required.name + required.bounds)}"
    if version is None:
        return Finding("fault", required.name, "not installed", fix)
    if not is_within(version, required.bounds):
        return Finding("fault", required.name, f"{version}, where {required.bounds} is needed", fix)
    return Finding("ok", required.name, version)


def _devices() -> Iterator[Finding]:
    jaxlib = _installed("jaxlib")
    yield Finding("ok" if jaxlib else "fault", "jaxlib", jaxlib or "not installed", "" if jaxlib else "pip install jax")
    try:
        devices = jax.devices()
        works = float(jnp.sum(jnp.ones(3))) == 3.0
    except Exception as error:  # a driver may fail in any way
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        yield Finding("fault", "devices", f"JAX cannot start: {said}", "JAX_PLATFORMS=cpu quickstudy doctor")
        return
    on, found = devices[0].platform, ", ".join(_kinds(devices))
    if not works:
        yield Finding("fault", "devices", f"{found}, and a sum of three ones is wrong", "pip install --force-reinstall jaxlib")
    elif on == "cpu" and any(path.exists() for path in _DRIVERS):
        yield Finding(
            "note", "devices", f"{found}; there is an NVIDIA GPU, and JAX does not use it", "pip install 'jax[cuda12]'"
        )
    else:
        yield Finding("ok", "devices", found)


def _kinds(devices: Sequence[jax.Device]) -> Iterator[str]:
    """The number of devices of each kind, with the memory of one where it has its own."""
    for (kind, on), count in Counter((device.device_kind, device.platform) for device in devices).items():
        one = next(device for device in devices if device.device_kind == kind)
        limit = (one.memory_stats() or {}).get("bytes_limit") if on != "cpu" else None
        what = f"{count} × {kind}{'' if kind == on else f' ({on})'}"
        yield what if limit is None else f"{what}, {in_words(limit)} for JAX{' on each' if count > 1 else ''}"


def _memory() -> Finding:
    free = free_bytes()
    if free is None:
        return Finding("note", "memory", "the system does not tell what is free", f"set {LIMIT_VARIABLE} to gigabytes")
    if free < _LITTLE_MEMORY:
        return Finding("note", "memory", f"{in_words(free)} free", "end other programs, or train fewer --lifetimes")
    return Finding("ok", "memory", f"{in_words(free)} free")


def _runs(folder: Path) -> Finding:
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding("fault", "working folder", f"{folder} cannot be written", "go to a folder of your own, or use --folder")
    free = shutil.disk_usage(folder).free
    found = f"{folder} can be written; {in_words(free)} free on its disk"
    if free < _LITTLE_DISK:
        return Finding("note", "working folder", found, "make room, or use --folder on another disk")
    return Finding("ok", "working folder", found)


def _cache() -> Finding:
    place = platformdirs.user_cache_dir(_PACKAGE)
    folder = cache_folder("compiled")
    if folder is None:
        fix = "set XDG_CACHE_HOME to a folder of your own" if sys.platform == "linux" else "make it writable"
        return Finding("note", "cache folder", f"{place} cannot be written, so every start compiles again", fix)
    return Finding("ok", "cache folder", f"{place} can be written; {in_words(shutil.disk_usage(folder).free)} free on its disk")


def _extra(name: str, required: Sequence[Requirement]) -> Finding:
    lacking = []
    for one in required:
        version = _installed(one.name)
        if version is None:
            lacking.append(one.name)
        elif not is_within(version, one.bounds):
            lacking.append(f"{one.name}{one.bounds} (found {version})")
    what, fix = f"extra {name}", f"pip install 'quickstudy[{name}]'"
    if not required:
        return Finding(
            "note",
            what,
            f"{EXTRAS[name]}: this installation does not know it",
            "install quickstudy again, so that it knows its extras",
        )
    if lacking:
        return Finding("missing", what, f"{EXTRAS[name]}: {', '.join(lacking)} not installed", fix)
    return Finding("ok", what, EXTRAS[name])
