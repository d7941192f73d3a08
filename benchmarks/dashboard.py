"""Processor time of the dashboard's pages on 200 runs with 500 updates each: at first, when nothing was read yet, and later.

    python benchmarks/dashboard.py

The runs are made for it, with random numbers as metrics, and deleted again. Each page is asked for in a process of its own, so
that nothing is kept from one to the other. Processor time does not depend on what else the machine does; on a machine that does
nothing else, it is the time that the page takes.
"""

import multiprocessing
import random
import tempfile
import time
from pathlib import Path

from quickstudy.dashboard.asked import Asked
from quickstudy.dashboard.rendering import Pages
from quickstudy.dashboard.run_pages import RunPages
from quickstudy.dashboard.runs import Runs
from quickstudy.serving.http.tokens import EVERYBODY
from quickstudy.storage.metrics_file import MetricsFile
from quickstudy.storage.run_description import description_text

RUNS, UPDATES, SEEDS = 200, 500, 3
NAMES = ("train_return", "loss", "policy_loss", "value_loss", "entropy", "kl", "gradient_norm", "clip_fraction")
PAGES = ("/runs", "/runs/compare", "/runs/compare.csv")


def make_runs(folder: Path) -> None:
    """Writes the runs: a line for each update, and an evaluation in every fifth."""
    drawn = random.Random(0)
    for number in range(RUNS):
        run = folder / f"run-{number:03}"
        (run / "bundle").mkdir(parents=True)
        (run / "bundle" / "bundle.json").write_text("{}", encoding="utf-8")
        description = {
            "algorithm": {"name": "rl2"},
            "distribution": {"name": "bandits"},
            "training": {"seeds": SEEDS},
            "spec": {},
        }
        (run / "run.json").write_text(description_text(description), encoding="utf-8")
        file = MetricsFile(run / "metrics.jsonl")
        for update in range(1, UPDATES + 1):
            line = {"update": update, "steps": 12_800 * update, "seconds": round(1.1 * update, 2)}
            measured = (*NAMES, "held_out_return") if update % 5 == 0 else NAMES
            file.append(line | {name: [10 * drawn.random() for _ in range(SEEDS)] for name in measured})


def time_page(folder: Path, path: str) -> None:
    """Prints the processor time of a page, twice."""
    pages = RunPages(Runs(folder), Pages(form_key="", signs_out=False))
    answer = next(route.answer for route in pages.routes() if route.path == path)
    spent = []
    for _ in range(2):
        began = time.process_time()
        answer(Asked(caller=EVERYBODY, token=None, path=path, query={}))
        spent.append(1000 * (time.process_time() - began))
    print(f"{path:18} {spent[0]:5.0f} ms at first, {spent[1]:4.0f} ms later", flush=True)


def main() -> None:
    """Makes the runs, and times each page in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        make_runs(Path(folder))
        for path in PAGES:
            process = multiprocessing.get_context("spawn").Process(target=time_page, args=(Path(folder), path))
            process.start()
            process.join()


if __name__ == "__main__":
    main()
