"""Workers import what the user's program imported, and nothing else of the folder that it was started in."""

import inspect
import os
import subprocess
import sys
import textwrap
import types

import gymnasium
import pytest

from quickstudy.protocol import registry
from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.collecting.user_code import UserCode, UserFile, install, own_folders, user_code


@pytest.fixture(autouse=True)
def _restored(monkeypatch):
    """The module path, the modules and the list of loaded files, as they were."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(registry, "_loaded", {})
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_scripts_folder_and_the_working_folder_are_the_users(tmp_path, monkeypatch):
    for name in ("script", "work", "library"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    main = types.ModuleType("__main__")
    main.__file__ = str(tmp_path / "script" / "train.py")
    monkeypatch.setitem(sys.modules, "__main__", main)
    paths = [str(tmp_path / "script"), "", str(tmp_path / "library"), str(tmp_path / "work")]
    monkeypatch.setattr(sys, "path", paths)
    assert own_folders() == [str(tmp_path / "script"), str(tmp_path / "work")]
    monkeypatch.setattr(sys, "path", paths[2:3])  # what is not on the path is nobody's
    assert own_folders() == []


def test_modules_beside_a_file_are_found_and_take_no_other_modules_place(tmp_path):
    (tmp_path / "helper_beside.py").write_text("value = 3\n")
    (tmp_path / "colorsys.py").write_text("raise AssertionError('the standard library comes first')\n")
    (tmp_path / "own.py").write_text("import colorsys\nfrom helper_beside import value\n")
    sys.modules.pop("colorsys", None)
    assert registry.load_file(tmp_path / "own.py").value == 3
    assert sys.path[-1] == str(tmp_path)


def test_a_file_that_is_elsewhere_is_loaded_from_its_text_and_leaves_nothing(tmp_path):
    text = b"def made():\n    raise ValueError('in the sent text')\n"
    path = str(tmp_path / "sent_file.py")
    install(UserCode(files=[UserFile(path=path, text=text)]))
    made = sys.modules["quickstudy_file_sent_file"].made
    assert "in the sent text" in inspect.getsource(made)
    with pytest.raises(ValueError, match="sent") as raised:
        made()
    assert str(raised.traceback[-1].path) == path
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_deleted_since_is_left_out(tmp_path):
    (tmp_path / "gone.py").write_text("X = 1")
    registry.load_file(tmp_path / "gone.py")
    path = str((tmp_path / "gone.py").resolve())
    assert path in [file.path for file in user_code().files]
    (tmp_path / "gone.py").unlink()
    assert path not in [file.path for file in user_code().files]


def test_a_text_that_does_not_import_is_said(tmp_path):
    file = UserFile(path=str(tmp_path / "wrong_file.py"), text=b"import nothing_of_that_name\n")
    with pytest.raises(UsageError, match=r"wrong_file\.py does not import on this machine: ModuleNotFoundError"):
        install(UserCode(files=[file]))


def test_environments_that_are_registered_here_are_registered_there():
    try:
        gymnasium.register("Sent-v7", entry_point=lambda: None, max_episode_steps=9)
        gymnasium.register("Unsendable-v7", entry_point=lambda lock=__import__("threading").Lock(): lock)
        sent = user_code()
        assert "Unsendable-v7" not in sent.environments
        del gymnasium.registry["Sent-v7"], gymnasium.registry["Unsendable-v7"]
        install(UserCode(environments=sent.environments | {"Damaged-v7": b"damaged"}))
        assert gymnasium.registry["Sent-v7"].max_episode_steps == 9
        assert gymnasium.registry["Sent-v7"].entry_point() is None
        assert "Damaged-v7" not in gymnasium.registry
    finally:
        gymnasium.registry.pop("Sent-v7", None)
        gymnasium.registry.pop("Unsendable-v7", None)


def test_modules_that_the_script_imported_are_imported_there(tmp_path, monkeypatch):
    (tmp_path / "registers_itself.py").write_text("def something(): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    main = types.ModuleType("__main__")
    exec("from registers_itself import something\nimport json, quickstudy\nvalue = object()", vars(main))
    monkeypatch.setitem(sys.modules, "__main__", main)
    names = user_code().modules
    assert names == ["registers_itself"]
    del sys.modules["registers_itself"]
    install(UserCode(modules=[*names, "nothing_of_that_name"]))
    assert "registers_itself" in sys.modules


DOOR = """
    import gymnasium

    class Door(gymnasium.Env):
        observation_space = gymnasium.spaces.Discrete(1)
        action_space = gymnasium.spaces.Discrete(2)

        def __init__(self, best=0):
            self.best = best

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return 0, {}

        def step(self, action):
            return 0, float(action == self.best), False, False, {}
"""
TASKS = """
    import gymnasium

    import quickstudy as qs
    from door_of_mine import Door

    gymnasium.register("Door-v0", entry_point=Door, max_episode_steps=4)

    def open_door(task):
        return gymnasium.make("Door-v0", best=int(task["best"]))

    def make():
        return qs.from_gymnasium(open_door, lambda split, generator: {"best": int(generator.integers(2))}, episodes=2)
"""
SCRIPT = """
    algorithm = qs.algorithms.make("rl2", make().spec, hidden_size=8, lifetimes=8)
    config = qs.TrainingConfig(budget="64 steps", held_out_tasks=8)
    run = qs.meta_train(algorithm, make(), config, collecting=qs.CollectingConfig(workers=1))
    print("lost", run.lost)
"""


@pytest.fixture
def folders(tmp_path):
    """A folder with tasks, and another one to work in, whose files are named like modules that workers import."""
    tasks, work = tmp_path / "tasks", tmp_path / "work"
    tasks.mkdir()
    work.mkdir()
    (tasks / "door_of_mine.py").write_text(textwrap.dedent(DOOR))
    (tasks / "door_tasks.py").write_text(textwrap.dedent(TASKS))
    (tasks / "script.py").write_text(textwrap.dedent(TASKS) + textwrap.dedent(SCRIPT))
    for name in ("random", "jax", "numpy", "gymnasium", "cloudpickle", "sitecustomize", "quickstudy"):
        for folder in (work, tasks) if name == "random" else (work,):
            (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'a').write(__file__)\n")
    return tasks, work


@pytest.mark.slow
def test_a_task_file_finds_what_lies_beside_it_in_worker_processes(folders, tmp_path):
    _, work = folders
    command = "import sys; sys.path.pop(0); from quickstudy.cli import main; sys.exit(main())"
    small = ["--hidden-size", "8", "--lifetimes", "8", "--held-out-tasks", "8", "--budget", "64 steps", "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-c", command, "train", "rl2", "../tasks/door_tasks.py:make", *small, "--folder", "run"],
        cwd=work, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "lifetimes" not in done.stdout  # none was lost
    assert not (tmp_path / "executed").exists()


@pytest.mark.slow
def test_a_script_trains_on_environments_that_it_registered_itself(folders, tmp_path):
    """Run as Python runs scripts: its folder is on the path, and the working folder is not."""
    tasks, work = folders
    (tasks / "random.py").unlink()  # Python itself would import it there
    done = subprocess.run(
        [sys.executable, os.path.join("..", "tasks", "script.py")], cwd=work, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "lost 0\n"
    assert not (tmp_path / "executed").exists()
