"""Videos of adaptation: the lifetime that evaluation measures, pictures where they belong, refusals in one line."""

import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image

import quickstudy as qs
from laws.toy_environments import Dial, dials
from quickstudy.evaluation.evaluate import draw_tasks
from quickstudy.evaluation.video import Frame
from quickstudy.protocol.errors import CollectingError, UsageError
from quickstudy.reports.video_files import scenes, strip
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.runner import Runner

TASKS = 5


class Drawn(Dial):
    """A dial that draws itself: the further to the right it stands, the brighter. It ends nothing, so episodes are whole."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    render_mode = "rgb_array"

    def step(self, action):
        observation, reward, _, _, info = super().step(action)
        return observation, reward, False, False, info

    def render(self):
        return np.full((4, 6, 3), self.brightness(), np.uint8)

    def brightness(self):
        return round(100 + 100 * self.position)


class EndsOnTarget(Drawn):
    def step(self, action):
        observation, reward, _, _, info = super().step(action)
        return observation, reward, abs(self.position - self.target) < 0.3, False, info


def rl2(distribution):
    algorithm = qs.algorithms.make("rl2", distribution.spec, hidden_size=8, lifetimes=4, minibatches=1)
    return algorithm.agent, algorithm.agent.init(jax.random.key(3))


def recorded(distribution, agent, params, **asked):
    return qs.adaptation_video(agent, params, distribution, **{"split": "test", "tasks": TASKS, "every": 2} | asked)


@pytest.mark.slow
@pytest.mark.parametrize("environment", [Drawn, EndsOnTarget])
def test_it_is_the_lifetime_that_evaluation_measures(environment):
    distribution = dials(environment)
    agent, params = rl2(distribution)
    task_list, keys = draw_tasks(distribution, split="test", tasks=TASKS, seed=4)
    with Runner(distribution, CollectingConfig(collectors="inline")) as living:
        earned = living.run(agent, params, task_list, keys)
    for task in (0, 3):
        video = recorded(distribution, agent, params, task=task, seed=4)
        by_episode = earned.reward[task].reshape(3, 6).sum(1)
        steps = earned.valid[task].reshape(3, 6).sum(1)
        assert video.lifetime_return == pytest.approx(by_episode.sum(), rel=1e-5)
        assert video.task["target"] == task_list["target"][task]
        for frames, episode in ((video.first, 0), (video.last, 2)):
            assert frames[-1].reward == pytest.approx(by_episode[episode], rel=1e-5)
            assert frames[-1].step == steps[episode]
            assert [frame.step for frame in frames] == sorted({*range(0, steps[episode], 2), steps[episode]})


def test_pictures_are_of_the_moment_that_the_caption_says():
    distribution = dials(Drawn)
    agent, params = rl2(distribution)
    seen = {"first": [], "last": []}

    class Watched(Drawn):
        def reset(self, **given):
            found = super().reset(**given)
            seen["first" if not seen["first"] else "last"] = [self.brightness()]
            return found

        def step(self, action):
            found = super().step(action)
            seen["last" if seen["last"] else "first"].append(self.brightness())
            return found

    video = recorded(dials(Watched), agent, params, every=1)
    for frames, brightness in ((video.first, seen["first"]), (video.last, seen["last"])):
        assert [int(frame.picture.max()) for frame in frames] == [int(frame.picture.min()) for frame in frames] == brightness
    assert video.first[0].picture.shape == (4 * 53, 6 * 53, 3)


def test_it_is_written_as_a_gif_and_a_strip(tmp_path):
    distribution = dials(EndsOnTarget)
    video = recorded(distribution, *rl2(distribution), every=1)
    moving, still = qs.write_video(video, tmp_path / "deep" / "down")
    with Image.open(moving) as gif, Image.open(still) as png:
        assert gif.size == scenes(video)[0].size
        assert 1 <= gif.n_frames <= 7  # images that are the same are one
        assert np.array_equal(np.asarray(png), np.asarray(strip(video)))
    assert sorted(path.name for path in moving.parent.iterdir()) == ["adaptation.gif", "adaptation.png"]


def test_an_episode_that_is_over_stays_as_it_ended():
    dark, bright = (np.full((40, 240, 3), value, np.uint8) for value in (0, 200))
    short = (Frame(step=0, reward=0.0, picture=dark), Frame(step=1, reward=1.0, picture=bright))
    long = tuple(Frame(step=step, reward=0.0, picture=dark) for step in range(4))
    video = qs.Video(title="one", task={}, episodes=2, first=long, last=short, lifetime_return=1.0)
    pages = [np.asarray(page) for page in scenes(video)]
    assert len(pages) == 4
    panels = [page[60, 300] for page in pages]
    assert [int(panel[0]) for panel in panels] == [0, 200, 200, 200]
    assert strip(video).width > strip(dataclasses.replace(video, first=short)).width


def without_picture(_):
    environment = Drawn()
    environment.render_mode = None
    return environment


class CannotDraw(Drawn):
    def render(self):
        raise RuntimeError("no OpenGL")


class DrawsGrey(Drawn):
    def render(self):
        return np.zeros((4, 4), np.uint8)


REFUSED = {
    "in JAX": (lambda: qs.tasks.make("bernoulli-bandit", arms=2, pulls=3), {}, "written in JAX"),
    "no camera": (lambda: dataclasses.replace(dials(Drawn), camera=None), {}, "give its HostDistribution a camera"),
    "one episode": (lambda: dials(Drawn, episodes=1), {}, "Make it 2 or more"),
    "no such task": (lambda: dials(Drawn), {"task": TASKS}, "0 to 4; came 5"),
    "no step": (lambda: dials(Drawn), {"every": 0}, "1 step or more; came 0"),
    "no such split": (lambda: dials(Drawn), {"split": "tset"}, "Did you mean 'test'?"),
    "no render mode": (lambda: dials(make=without_picture), {}, 'render_mode="rgb_array"'),
    "no OpenGL": (lambda: dials(CannotDraw), {}, "MUJOCO_GL=egl"),
    "grey": (lambda: dials(DrawsGrey), {}, r"uint8 \[4, 4\]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_recorded_is_refused_in_one_line(case):
    make, asked, expected = REFUSED[case]
    distribution = make()
    with pytest.raises(UsageError, match=expected) as error:
        recorded(distribution, *rl2(distribution), **asked)
    assert "\n" not in str(error.value)


def test_speeds_that_a_gif_does_not_have(tmp_path):
    distribution = dials(Drawn)
    video = recorded(distribution, *rl2(distribution))
    with pytest.raises(UsageError, match=r"between 0.1 and 50; came 0"):
        qs.write_video(video, tmp_path, pictures_per_second=0)
    assert not list(tmp_path.iterdir())


def test_a_lifetime_that_is_lost_is_said():
    class Breaks(Drawn):
        def step(self, action):
            raise RuntimeError("a leg came off")

    distribution = dials(Breaks)
    with pytest.raises(CollectingError, match="a leg came off"):
        recorded(distribution, *rl2(distribution))
