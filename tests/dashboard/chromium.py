"""Chromium for tests: the one of the system, driven by playwright.

Where it is not installed and this process may install it, it is installed. Where that fails, the tests that need it are
skipped; `QUICKSTUDY_NEEDS_CHROMIUM` makes them fail instead.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def program():
    """The path of Chromium; None where there is none."""
    return next((found for name in NAMES if (found := shutil.which(name)) is not None), None)


def installed():
    """The path of Chromium, installed where it may be."""
    if program() is None and hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        with Path(tempfile.gettempdir(), "quickstudy-install-chromium.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]):
                if program() is None:
                    subprocess.run(command, check=False, env=environment, capture_output=True, timeout=600)
    return program()


def missing(reason):
    if os.environ.get("QUICKSTUDY_NEEDS_CHROMIUM"):
        pytest.fail(f"{reason}, and QUICKSTUDY_NEEDS_CHROMIUM is set")
    pytest.skip(reason)
