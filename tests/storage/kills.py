"""Carries out one change of a run folder again and again, and ends the process at another one of its file operations each time.

    python kills.py CHANGE FOLDER

`FOLDER/before` holds what is changed. Every state that a kill leaves goes to `FOLDER/killed-N`, that of the whole change to
`FOLDER/after`. Each change runs in a forked process, which ends at the N-th call that opens, writes, syncs, renames or removes
something. A write is cut off in the middle. Nothing is computed here, because JAX does not survive a fork.
"""

import dataclasses
import itertools
import os
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np

EVENTS = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.listdir", "os.scandir"}
FIRST, SECOND = {"weights": np.zeros((1, 40), np.float32)}, {"weights": np.ones((1, 40), np.float32)}


class Tasks:
    """What a bundle stores of a distribution."""

    name, config = "tasks", {}


@dataclasses.dataclass(frozen=True)
class Config:
    """A configuration without settings."""


class Algorithm:
    """What a bundle stores of an algorithm."""

    class agent:  # noqa: N801
        class spec:  # noqa: N801
            describe = staticmethod(dict)

    name, config = "algorithm", Config()


def save_checkpoint(folder):
    from quickstudy.storage.checkpoints import Checkpoints

    checkpoints = Checkpoints(folder / "checkpoints")
    checkpoints._whole = {1, 2}  # as after a restore, which computes
    checkpoints.save(3, SECOND, {"updates": 9, "seconds": 3.0}, {"command": "second"})


def replace_bundle(folder):
    from quickstudy.storage.bundle import save_bundle

    save_bundle(folder / "bundle", Algorithm, SECOND, distribution=Tasks, command="second")


def replace_bundle_without_exchange(folder):
    import errno

    from quickstudy.storage import whole_folders

    def not_supported(one, other):
        raise OSError(errno.ENOSYS, "Function not implemented")

    whole_folders.exchange = not_supported
    replace_bundle(folder)


def note_results(folder):
    from quickstudy.storage.bundle import add_results

    add_results(folder / "bundle", "test", {"second": 1})


def begin(folder):
    from quickstudy.storage.run_folder import RunFolder

    run = RunFolder(folder / "new" / "run")
    run.describe({"command": "second"})
    run.append_metrics({"update": 1})
    run.close()


def overwrite(folder):
    from quickstudy.storage.run_folder import RunFolder

    run = RunFolder(folder, overwrite=True)
    run.describe({"command": "second"})
    run.append_metrics({"update": 1})
    run.close()


def drop_metrics(folder):
    from quickstudy.storage.metrics_file import MetricsFile

    file = MetricsFile(folder / "metrics.jsonl")
    file.keep(2)
    file.append({"update": 3, "again": True})


def ending_at(operation):
    """Ends this process at the operation of this number."""
    count, write, sync = itertools.count(1), os.write, os.fsync

    def hook(event, arguments):
        if event in EVENTS and next(count) == operation:
            os._exit(9)

    def half_a_write(handle, data):
        if next(count) == operation:
            write(handle, bytes(data[: len(data) // 2]))
            os._exit(9)
        return write(handle, data)

    def no_sync(handle):
        if next(count) == operation:
            os._exit(9)
        return sync(handle)

    os.write, os.fsync = half_a_write, no_sync
    sys.addaudithook(hook)


def main(change, folder):
    warnings.simplefilter("ignore")
    import quickstudy.storage.bundle
    import quickstudy.storage.run_folder  # noqa: F401

    for operation in itertools.count(1):
        state = folder / f"killed-{operation}"
        shutil.copytree(folder / "before", state)
        child = os.fork()
        if child == 0:
            try:
                ending_at(operation)
                globals()[change](state)
                os._exit(0)
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
                os._exit(1)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != 9:
            state.rename(folder / "after")
            sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
