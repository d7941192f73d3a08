"""What an installation offers: bounds of versions, extras, folders, devices, and the fix for what is missing."""

import importlib.metadata
import os
import tomllib
from pathlib import Path

import jax
import pytest

from docs.pages import ROOT
from quickstudy.storage import installation
from quickstudy.storage.installation import EXTRAS, Requirement, findings, is_within, read_requirements

DEVELOPMENT = {
    "test", "check", "peers", "ray-serve", "api-check", "browser-check", "deploy-check",
    "track-check",
    "classic-series",
}  # fmt: skip


class Usage:
    """Of a disk."""

    free = 5_000_000


LINES = [
    "numpy<3,>=2.1",
    "ray[client]<3,>=2.50; extra == 'ray'",
    "psycopg[binary] (>=3.2,<4) ; extra == 'serve'",
    'uvloop>=0.21; sys_platform != "win32" and extra == "serve"',
    'pywin>=1; sys_platform == "win32" and extra == "serve"',
    "tyro",
]


def by_name(folder=None):
    return {one.what: one for one in findings(folder)}


def test_requirements_of_metadata(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    assert read_requirements(LINES) == [
        Requirement("numpy", "<3,>=2.1", ""),
        Requirement("ray", "<3,>=2.50", "ray"),
        Requirement("psycopg", ">=3.2,<4", "serve"),
        Requirement("uvloop", ">=0.21", "serve"),
        Requirement("tyro", "", ""),
    ]
    monkeypatch.setattr("sys.platform", "win32")
    assert [one.name for one in read_requirements(LINES)] == ["numpy", "ray", "psycopg", "pywin", "tyro"]


@pytest.mark.parametrize(
    ("version", "bounds", "expected"),
    [
        ("2.1.0", ">=2.1,<3", True),
        ("2.0.9", ">=2.1,<3", False),
        ("3", ">=2.1,<3", False),
        ("0.10.2", ">=0.9", True),
        ("0.10.2rc1", ">=0.10.2,<0.13", True),
        ("3.1.1", "==3.1.1", True),
        ("3.1.1.0", "==3.1.1", True),
        ("3.1.2", "==3.1.1", False),
        ("5.0", "", True),
    ],
)
def test_versions_and_their_bounds(version, bounds, expected):
    assert is_within(version, bounds) is expected


def test_this_installation_has_what_every_user_needs(tmp_path):
    found = by_name(tmp_path)
    assert not [one for one in found.values() if one.state == "fault"]
    assert found["jax"].found == jax.__version__
    assert found["devices"].found == f"{len(jax.devices())} × cpu"
    assert found["working folder"].found.startswith(f"{tmp_path} can be written; ")


def test_packages_that_are_missing_or_of_another_version(monkeypatch):
    installed = importlib.metadata.version
    lines = ["numpy>=2.1,<3", "tyro>=1.0.8,<2", 'envpool>=1.2; extra == "procgen"', 'msgspec>=0.20; extra == "serve"']

    def version(name):
        if name in ("tyro", "envpool"):
            raise importlib.metadata.PackageNotFoundError(name)
        return {"numpy": "1.26.4", "msgspec": "0.19.0"}.get(name) or installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    found = by_name()
    assert (found["numpy"].state, found["numpy"].found) == ("fault", "1.26.4, where >=2.1,<3 is needed")
    assert found["numpy"].fix == "pip install 'numpy>=2.1,<3'"
    assert (found["tyro"].state, found["tyro"].found) == ("fault", "not installed")
    assert found["extra procgen"].state == "missing"
    assert found["extra procgen"].fix == "pip install 'quickstudy[procgen]'"
    assert "msgspec>=0.20 (found 0.19.0)" in found["extra serve"].found
    assert found["extra onnx"].state == "note"


def test_folders_that_cannot_be_written(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # the tests may run as root, who may write everywhere
    found = by_name(tmp_path)
    assert (found["working folder"].state, found["cache folder"].state) == ("fault", "note")
    assert found["working folder"].fix == "go to a folder of your own, or use --folder"


def test_a_full_disk_and_little_memory(monkeypatch, tmp_path):
    monkeypatch.setenv("QUICKSTUDY_MEMORY_GB", "0.5")
    monkeypatch.setattr(installation.shutil, "disk_usage", lambda folder: Usage)
    found = by_name(tmp_path)
    assert (found["memory"].state, found["memory"].found) == ("note", "500 MB free")
    assert found["working folder"].state == "note"
    assert found["working folder"].found.endswith("; 5.0 MB free on its disk")


def test_devices_that_fail_and_a_card_that_is_not_used(monkeypatch, tmp_path):
    (tmp_path / "driver").touch()
    monkeypatch.setattr(installation, "_DRIVERS", (tmp_path / "driver",))
    assert by_name()["devices"].fix == "pip install 'jax[cuda12]'"

    def fails():
        raise RuntimeError("no\ndevice")

    monkeypatch.setattr(jax, "devices", fails)
    found = by_name()["devices"]
    assert (found.state, found.found) == ("fault", "JAX cannot start: RuntimeError: no device")


class Card:
    """Stands in for an accelerator."""

    platform = "gpu"

    def __init__(self, kind, limit):
        self.device_kind, self._limit = kind, limit

    def memory_stats(self):
        return {"bytes_limit": self._limit}


def test_several_devices_are_counted_by_their_kind(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: [Card("H200", 106e9), Card("H200", 106e9), Card("L4", 18e9)])
    assert by_name()["devices"].found == "2 × H200 (gpu), 106 GB for JAX on each, 1 × L4 (gpu), 18 GB for JAX"


def test_every_extra_is_for_users_or_for_development():
    declared = tomllib.loads(Path(ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(EXTRAS) | DEVELOPMENT == set(declared)
