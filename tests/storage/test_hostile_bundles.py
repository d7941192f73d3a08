"""Bundles of strangers: each is refused in one line or works; nothing in them runs, and none takes much memory or time."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import hostile
from quickstudy import algorithms, tasks
from quickstudy.protocol.errors import BundleError, QuickstudyError
from quickstudy.storage.bundle import load_bundle, save_bundle

MOST_MEGABYTES, MOST_SECONDS = 300, 5.0
SENTENCES = ("Traceback", "\n", "\x1b")
LONGEST_LINE = 2000


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A sound bundle, which every case copies."""
    distribution = tasks.make("bernoulli-bandit", arms=3, pulls=6)
    algorithm = algorithms.make("rl2", distribution.spec, hidden_size=8, cell="gru")
    params = jax.vmap(algorithm.agent.init)(jax.random.split(jax.random.key(0), 2))
    path, results = tmp_path_factory.mktemp("sound") / "bundle", {"test": {"tasks": 4, "task_hash": "ab"}}
    return save_bundle(path, algorithm, params, distribution=distribution, command="made so", results=results)


@pytest.fixture
def folder(good, tmp_path):
    """A copy of it."""
    return Path(shutil.copytree(good, tmp_path / "bundle"))


@pytest.fixture
def runs_nothing(monkeypatch):
    """Fails where a file is imported, or a program started."""

    def refuse(*arguments, **named):
        pytest.fail(f"something was run: {arguments} {named}")

    monkeypatch.setattr("quickstudy.protocol.registry.load_file", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "system", refuse)


def said_of(folder):
    """The one line that refuses a bundle; None where it works."""
    try:
        bundle = load_bundle(folder)
        bundle.distribution()
    except QuickstudyError as error:
        line = str(error)
        assert not [part for part in SENTENCES if part in line], line
        assert 0 < len(line) < LONGEST_LINE
        return line
    assert bundle.seeds >= 1
    params, key = bundle.params_of(bundle.seeds - 1), jax.random.key(0)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    memory = jax.eval_shape(bundle.agent.begin, params, key)
    jax.eval_shape(bundle.agent.act, params, memory, np.int32(0), key)
    return None


@pytest.mark.parametrize("case", hostile.CARDS | hostile.FILES)
def test_a_bundle_that_is_changed_is_refused_in_one_line(case, folder, runs_nothing):
    (hostile.CARDS | hostile.FILES)[case](folder)
    with pytest.raises(BundleError):
        load_bundle(folder)
    assert said_of(folder) is not None


def test_numbers_that_json_does_not_have_are_refused(folder, good, runs_nothing):
    for case, text in hostile.raw_cards(hostile.read(good)).items():
        (folder / hostile.CARD).write_text(text)
        assert "does not parse" in (said_of(folder) or ""), case


@pytest.mark.slow
def test_a_card_that_is_changed_at_any_place_is_refused_in_one_line_or_works(folder, good, runs_nothing):
    card, tried, refused = hostile.read(good), 0, 0
    for case, at, changed in hostile.mutated_cards(card):
        hostile.write(folder, changed)
        line = said_of(folder)
        tried, refused = tried + 1, refused + (line is not None)
        if line is None:
            # What works has the same meaning: the same kinds of values, another note, or a setting of training.
            same = changed["spec"].keys() >= {"observation_space", "action_space", "horizon", "episodes"}
            assert same, case
            assert at[0] in (*hostile.NOTES, "algorithm", "spec", "distribution"), case
    assert tried > 800
    assert refused > 0.7 * tried


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limits of a process are those of Linux")
def test_what_would_take_memory_or_time_without_end_takes_little(good, tmp_path):
    command = [sys.executable, Path(__file__).parents[1] / "hostile_child.py", good, tmp_path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = {one["case"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert set(found) == set(hostile.ENDLESS)
    for case, one in found.items():
        assert one["said"].startswith("BundleError: "), case
        assert one["megabytes"] < MOST_MEGABYTES, case
        assert one["seconds"] < MOST_SECONDS, case


def test_a_link_to_a_regular_file_is_followed(folder, tmp_path):
    for name in (hostile.CARD, hostile.PARAMETERS):
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
    assert load_bundle(folder).seeds == 2


def test_names_are_visible_in_messages_and_quoted_in_commands(folder):
    hostile.card_with(("algorithm", "name"), "my tasks\x1b[2J.py:make")(folder)
    line = said_of(folder)
    assert r"--algorithm 'my tasks\x1b[2J.py:make'" in line


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"arms": "many"}, "arms must be a whole number; came 'many'"),
        ({"arms": 10**9}, "arms must be at most 1,048,576; came 1000000000"),
        ({"arms": 0}, "arms must be 2 or more"),
        ({"arm": 3}, "Did you mean 'arms'?"),
        ({"arms": [3]}, "arms must be a whole number; came [3]"),
    ],
)
def test_settings_of_the_tasks_are_checked(settings, said, folder):
    hostile.card_with(("distribution", "config"), settings)(folder)
    assert said in said_of(folder)


def of_version(version):
    return hostile.card_with(("versions", "quickstudy"), version)


VERSIONS = {
    "a later format": (
        [hostile.card_with(("format",), 2), of_version("0.9.0")],
        "has format 2; this version reads format 1. The bundle was saved by quickstudy 0.9.0",
    ),
    "a setting of a later version": (
        [hostile.card_with(("algorithm", "config", "depth"), 2), of_version("99.1")],
        "Install that version or a later one.",
    ),
    "a value of a later version": (
        [hostile.card_with(("algorithm", "config", "cell"), "mamba"), of_version("99.1")],
        "The bundle was saved by quickstudy 99.1",
    ),
    "an algorithm of a later version": (
        [hostile.card_with(("algorithm", "name"), "rl3"), of_version("99.1")],
        "The bundle was saved by quickstudy 99.1",
    ),
}


@pytest.mark.parametrize("case", VERSIONS)
def test_a_bundle_of_a_later_version_is_refused_with_what_to_install(case, folder):
    changes, said = VERSIONS[case]
    for change in changes:
        change(folder)
    assert said in said_of(folder)


def test_a_setting_of_this_version_is_not_blamed_on_another(folder):
    hostile.card_with(("algorithm", "config", "hidden_sise"), 2)(folder)
    assert "Did you mean 'hidden_size'?" in said_of(folder)
    assert "Install" not in said_of(folder)


def test_a_bundle_of_an_earlier_version_loads(folder, good):
    """It lacks settings that came later, and notes; a later version's notes are passed over."""
    card = hostile.read(good)
    for at in (("algorithm", "config", "reward_change"), ("command",), ("versions",)):
        card = hostile.without(card, at)
    hostile.write(folder, card | {"made_on": "a Tuesday"})
    assert said_of(folder) is None
    assert load_bundle(folder).card["made_on"] == "a Tuesday"
