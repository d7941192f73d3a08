"""`quickstudy video` as people meet it, on a file of their own; nothing here needs OpenGL."""

import textwrap

import jax
import pytest

import quickstudy as qs
from quickstudy import cli

OWN_TASKS = textwrap.dedent(
    """
    import gymnasium
    import numpy as np

    import quickstudy as qs


    class Slider(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
        action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
        render_mode = "rgb_array"

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.place = 0.0
            return np.zeros(1), {}

        def step(self, action):
            self.place = float(np.clip(self.place + 0.3 * action[0], -1.0, 1.0))
            return np.array([self.place]), -abs(self.place - self.goal), False, False, {}

        def render(self):
            return np.full((8, 8, 3), round(100 + 100 * self.place), np.uint8)


    def make_slider(task):
        slider = Slider()
        slider.goal = float(task["goal"])
        return slider


    def make(*, episodes: int = 2):
        def sample(split, generator):
            return {"goal": generator.uniform(0.0, 1.0) * (1 if split == "test" else -1)}

        return qs.from_gymnasium(make_slider, sample, episodes=episodes, horizon=5)
    """
)


@pytest.fixture
def bundle(tmp_path):
    """A bundle of an untrained agent on tasks from a file, and the name of these tasks."""
    file = tmp_path / "sliders.py"
    file.write_text(OWN_TASKS)
    return saved(tmp_path / "agent", f"{file}:make", episodes=3), f"{file}:make"


def saved(path, name, **config):
    distribution = qs.tasks.make(name, **config)
    algorithm = qs.algorithms.make("rl2", distribution.spec, hidden_size=4, lifetimes=4, minibatches=1)
    params = jax.tree.map(lambda leaf: leaf[None], algorithm.agent.init(jax.random.key(0)))
    qs.save_bundle(path, algorithm, params, distribution=distribution)
    return path


def video(*arguments, capsys, monkeypatch):
    monkeypatch.setattr(cli, "_prepare_machine", lambda: None)
    status = cli.main(["video", *map(str, arguments)])
    return status, *capsys.readouterr()


@pytest.mark.slow
def test_it_records_tasks_from_a_file(bundle, tmp_path, capsys, monkeypatch):
    path, name = bundle
    asked = ["--on", name, "--tasks", 3, "--task", 2, "--every", 2, "--folder", tmp_path / "video"]
    status, out, err = video(path, *asked, capsys=capsys, monkeypatch=monkeypatch)
    assert status == 0, err
    assert "task 2 of test (held-out tasks). First episode: -" in out
    assert "last, number 3: -" in out
    assert sorted(file.name for file in (tmp_path / "video").iterdir()) == ["adaptation.gif", "adaptation.png"]


def test_what_cannot_be_recorded_gets_one_line_and_status_2(bundle, tmp_path, capsys, monkeypatch):
    path, name = bundle
    bandit = saved(tmp_path / "bandit", "bernoulli-bandit", arms=2, pulls=3)
    wrong = (
        (path, [], f"--on {name}"),
        (path, ["--on", name, "--task", "2000"], "0 to 1999; came 2000"),
        (path, ["--on", name, "--seed-of-training", "1"], "the bundle holds seeds 0 to 0; came 1"),
        (path, ["--on", name, "--pictures-per-second", "1000"], "between 0.1 and 50; came 1000"),
        (bandit, [], "bernoulli-bandit are written in JAX"),
        (tmp_path / "nowhere", [], "there is no folder"),
    )
    for subject, asked, expected in wrong:
        status, out, err = video(subject, *asked, "--folder", tmp_path / "video", capsys=capsys, monkeypatch=monkeypatch)
        assert status == 2
        assert expected in err
        assert err.count("\n") == 1
        assert "Traceback" not in out + err
    assert not (tmp_path / "video").exists()
