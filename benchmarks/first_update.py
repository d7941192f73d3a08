"""Seconds from the start of `quickstudy train` to the end of its first update; also after a change of the learning rate.

    python benchmarks/first_update.py
    python benchmarks/first_update.py --changes 5 --task tabular-mdp

Every start is a new process, which trains RL² with default sizes for one update. *cold*: nothing was compiled before.
*changed*: programs are kept, and the learning rate is another one each time. The cache is a new folder, so neither earlier runs
nor the user's cache count. Nothing else should run meanwhile: seconds of the processor are printed beside those of the clock,
and both should be alike on one core. Each run adds a line to `benchmarks/first_update.jsonl`.
"""

import argparse
import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HISTORY = Path(__file__).with_name("first_update.jsonl")
COMMAND = [sys.executable, "-c", "import sys; from quickstudy.cli import main; sys.exit(main())"]
OFTEN = 0.01


def start(task: str, learning_rate: float, *, cache: Path, folder: Path) -> dict[str, float | str]:
    """One process: seconds until it names the run, until the first update is over, and of the processor."""
    words = ["train", "rl2", task, "--learning-rate", str(learning_rate), "--budget", "1 steps", "--folder", str(folder)]
    output = folder.with_suffix(".txt")
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "PYTHONUNBUFFERED": "1"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    with output.open("wb") as file:
        began = time.monotonic()
        process = subprocess.Popen([*COMMAND, *words], stdout=file, stderr=subprocess.STDOUT, env=environment)
        named = first = 0.0
        while not first:
            time.sleep(OFTEN)
            now, over = time.monotonic() - began, process.poll() is not None
            named = named or (now if b", budget " in output.read_bytes() else 0.0)
            metrics = folder / "metrics.jsonl"
            if metrics.is_file() and b"\n" in metrics.read_bytes():
                first = now
            elif over:
                sys.exit(f"{words} ended without an update:\n{output.read_text()}")
        _, status, usage = os.wait4(process.pid, 0) if process.returncode is None else (0, process.returncode, None)
        process.returncode = status
    said = re.search(r"^time: .*$", output.read_text(), re.M)
    processor = 0.0 if usage is None else usage.ru_utime + usage.ru_stime
    return {
        "run_named_seconds": round(named, 2),
        "first_update_seconds": round(first, 2),
        "processor_seconds_of_whole_run": round(processor, 2),
        "said": said[0] if said else "",
    }


def main() -> None:
    """Measures, prints, and adds a line to the history."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="bernoulli-bandit", help="task distribution to train on")
    parser.add_argument("--changes", type=int, default=3, help="starts with another learning rate")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        cache = Path(temporary) / "cache"
        found = []
        for place in range(1 + asked.changes):
            rate = 1e-3 * (1 + place) / 2
            one = start(asked.task, rate, cache=cache, folder=Path(temporary) / f"run-{place}")
            print("changed" if place else "cold", one, flush=True)
            found.append(one)
    line = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": platform.platform(),
        "load": os.getloadavg()[0],
        "task": asked.task,
        "cold": found[0],
        "changed": found[1:],
    }
    with HISTORY.open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
