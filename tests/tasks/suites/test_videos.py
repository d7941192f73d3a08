"""Films of tasks on MuJoCo: looking on changes nothing, and where nothing can be drawn one line says what to install."""

import jax
import numpy as np
import pytest

pytest.importorskip("mujoco")

import quickstudy as qs
from quickstudy.evaluation.evaluate import draw_tasks
from quickstudy.protocol.errors import UsageError
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.runner import Runner
from quickstudy.tasks.suites import mujoco_camera

pytestmark = pytest.mark.suites

LOOKED_AT = {
    "half-cheetah-velocity": {},
    "hopper-parameters": {},
    "metaworld-ml1": {"task": "push"},
}


def made(name):
    if name.startswith("metaworld"):
        pytest.importorskip("metaworld")
    return qs.tasks.make(name, horizon=12, episodes=2, **LOOKED_AT[name])


@pytest.mark.parametrize("name", LOOKED_AT)
def test_it_is_the_lifetime_that_evaluation_measures(name):
    distribution = made(name)
    agent = distribution.baselines["random"]()
    params = agent.init(jax.random.key(0))
    try:
        film = qs.adaptation_video(agent, params, distribution, split="test", task=1, tasks=2, every=6)
    except UsageError as error:
        pytest.skip(str(error))
    task_list, keys = draw_tasks(distribution, split="test", tasks=2, seed=0)
    with Runner(distribution, CollectingConfig(collectors="inline")) as runner:
        returned = runner.run(agent, params, task_list, keys)
    assert film.lifetime_return == pytest.approx(returned.reward[1].sum(dtype=np.float64), rel=1e-6)
    for shots in (film.first, film.last):
        pictures = [shot.picture for shot in shots]
        assert all(picture.std() > 10 for picture in pictures)
        assert not np.array_equal(pictures[0], pictures[-1])


def test_one_line_says_what_is_missing_to_draw(monkeypatch):
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(mujoco_camera, "HEADLESS", (("libNoSuchThing.so.1", "mujoco.egl"),))
    monkeypatch.setattr(mujoco_camera.sys, "platform", "linux")
    distribution = made("half-cheetah-velocity")
    agent = distribution.baselines["random"]()
    with pytest.raises(UsageError, match="libegl1 libgl1-mesa-dri libopengl0") as error:
        qs.adaptation_video(agent, agent.init(jax.random.key(0)), distribution, split="test", tasks=2)
    assert "\n" not in str(error.value)
