"""Runs and results with numbers that tests know; nothing is trained for them."""

import json

from evaluation.made_runs import make_run
from quickstudy.evaluation.task_table import TaskTable
from quickstudy.evaluation.worst_lifetimes import WorstLifetimes
from quickstudy.storage.metrics_file import MetricsFile
from reports.made_evaluation import made
from reports.made_lifetime import LIFETIME

RUN_WITH_RESULTS = "study/best"
TABLE = TaskTable(
    split="ood:far",
    returns={"rl2": (3.0, 5.0, 1.0, 2.0), "random": (1.0, 1.0, 2.0, 0.0)},
    parameters={"mass (kg)": (1.0, 1.0, 2.0, 2.0), "length (m)": (0.5, 0.5, 0.5, 3.0), "friction": (0.1, 0.2, 0.3, 0.4)},
    training_range={"mass (kg)": (0.5, 1.5), "length (m)": (0.5, 1.0), "friction": (0.1, 0.4)},
    pictures=True,
)
LEVELS = {"rl2": 0.85, "Thompson sampling": 0.7, "random": 0.2}
RAW = """agent,split,task,seed,return
rl2,test,0,0,4.0
rl2,test,0,1,6.0
rl2,test,1,0,1.0
rl2,test,1,1,2.0
rl2,test,2,0,9.0
rl2,test,2,1,9.0
random,test,0,0,7.0
random,test,1,0,0.5
random,test,2,0,3.0
"""


WITHIN = [[[1.0, 2.0], [3.0, 6.0]], [[2.0, 6.0], [4.0, 10.0]]]
"""Returns within a task after 1 and 10 steps, of two seeds, at two moments of training."""


def make_runs(folder):
    make_run(folder / "first", [[1.0, 3.0], [2.0, 4.0]], finished=False)
    make_run(folder / "second", [[5.0], [6.0], [7.0]], algorithm="maml")
    best = make_run(folder / RUN_WITH_RESULTS, [[2.0, 4.0], [6.0, 8.0]])
    for split in ("train", "test", "ood:far"):
        made(LEVELS, split=split).save(best)
    (best / "returns.csv").write_text(RAW)
    LIFETIME.save(best)
    file = MetricsFile(best / "within.jsonl")
    for at, seeds in enumerate(WITHIN, start=1):
        file.append({"update": at, "steps": 100 * at, "seconds": 10.0 * at, "points": [1, 10], "return_so_far": seeds})
    TABLE.save(best)
    WorstLifetimes(agent="rl2", split="ood:far", tasks=4, seed=0, lifetimes={"2": LIFETIME}).save(best)


def table(text):
    """The rows of a CSV file, numbers as numbers and empty cells as None."""
    header, *rows = [line.split(",") for line in text.splitlines()]
    return header, [[None if cell == "" else _number(cell) for cell in row] for row in rows]


def _number(cell):
    try:
        return json.loads(cell)
    except ValueError:
        return cell
