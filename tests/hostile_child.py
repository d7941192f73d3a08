"""Loads bundles that would take memory or time without end, in a process with limits: GOOD_BUNDLE WORK_FOLDER.

Prints a line of JSON for each: what was said, the growth of the peak of memory, and the seconds.
"""

import json
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

import hostile
from quickstudy.storage.bundle import load_bundle

MORE_BYTES = 600 * 2**20
"""Of address space, beyond what the process has after one good bundle."""


def status(name: str) -> int:
    """A size of this process, in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def measured(case: str, folder: Path) -> dict:
    """Loads one bundle."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory starts again
    before, began = status("VmRSS"), time.monotonic()
    signal.alarm(20)
    try:
        load_bundle(folder)
        said = "it loaded"
    except BaseException as error:
        said = f"{type(error).__name__}: {error}"
    signal.alarm(0)
    seconds = time.monotonic() - began
    return {"case": case, "said": said[:200], "megabytes": (status("VmHWM") - before) / 1e6, "seconds": seconds}


def main(good: str, work: str) -> None:
    """Every case, in the order of the table."""
    load_bundle(good)
    resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + MORE_BYTES,) * 2)
    for number, (case, change) in enumerate(hostile.ENDLESS.items()):
        folder = Path(shutil.copytree(good, Path(work) / str(number)))
        change(folder)
        print(json.dumps(measured(case, folder)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
