"""`quickstudy bench` as people meet it, on toy rows of a few hundred steps."""

import contextlib
import dataclasses
import io
import json
import shutil

import numpy as np
import pytest

from quickstudy import algorithms
from quickstudy.cli import main
from quickstudy.evaluation.bench.rows import find, load_groups
from quickstudy.evaluation.bench.stored import load
from quickstudy.numerics.statistics import Estimate
from quickstudy.protocol.errors import MissingExtraError
from quickstudy.storage.bundle import load_bundle, save_bundle
from quickstudy.tasks import make

pytestmark = pytest.mark.slow
ROWS = """
title = "Toys"
about = "Small bandits."
bounds = ["Bayes optimum (exact)"]

[sources]
exact = "worked out by hand"

[shared]
distribution = "bernoulli-bandit"
algorithm_settings = { hidden_size = 8, lifetimes = 32 }
budget = "500 steps"
seeds = 2
tasks = 300
baselines = ["greedy", "Bayes optimum (exact)"]

[rows.toy]
title = "2 arms, 5 pulls"
readme = "toy: 5 pulls"
settings = { arms = 2, pulls = 5 }
target = 4.5
note = "A toy cannot earn that."
references.exact = { "Bayes optimum" = 2.75 }

[rows.toy-longer]
title = "2 arms, 6 pulls"
settings = { arms = 2, pulls = 6 }
bundle = "toy"
measure = "regret"
target = 3

[rows.toy-later]
title = "tasks that nobody has written yet"
distribution = "no-such-tasks"

[matrices.toy-transfer]
title = "Who carries over where"
agents = ["toy"]
tasks = 300
baselines = []

[[matrices.toy-transfer.columns]]
title = "uniform"
distribution = "bernoulli-bandit"
settings = { arms = 2, pulls = 5 }

[[matrices.toy-transfer.columns]]
title = "rare"
distribution = "bernoulli-bandit"
settings = { arms = 2, pulls = 5 }
split = "ood:rare-successes"
"""


def bench(folder, verb, *arguments):
    """Exit status, standard output, standard error of one command on the toy rows of a folder."""
    out, err = io.StringIO(), io.StringIO()
    words = ["bench", verb, *arguments, "--rows", str(folder / "rows.toml"), "--folder", str(folder)]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
    return status, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A checkout in which everything was run."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "rows.toml").write_text(ROWS)
    (folder / "results").mkdir()
    (folder / "README.md").write_text("# Toy\n\n<!-- measured -->\nold\n<!-- /measured -->\nThe end.\n")
    for name in ("toy", "toy-longer", "toy-transfer"):
        status, out, err = bench(folder, "run", name)
        assert status == 0, out + err
    return folder


@pytest.fixture
def checkout(finished, tmp_path):
    """A copy of it that a test may change."""
    return shutil.copytree(finished, tmp_path / "checkout")


def stored(folder, name="toy"):
    return load(folder, find(load_groups(folder / "rows.toml"), name))


def changed(folder, **fields):
    """Stores the toy's result with other values in its one measured agent, under a digest that is right."""
    result = stored(folder)
    (measurement,) = result.measurements
    (agent,) = measurement.agents.values()
    agents = {"rl2": dataclasses.replace(agent, **fields.pop("agent", {}))}
    measurement = dataclasses.replace(measurement, agents=agents, **fields.pop("measurement", {}))
    dataclasses.replace(result, measurements=(measurement,), **fields).save(folder)


def test_a_run_stores_everything_beside_its_numbers(finished):
    result = stored(finished)
    (measurement,) = result.measurements
    agent = measurement.agents["rl2"]
    assert result.command == result.training.command == "quickstudy bench run toy"
    assert agent.value.low <= agent.value.value <= agent.value.high
    assert len(agent.by_seed) == agent.seeds == result.training.seeds == 2
    assert np.mean(agent.by_seed) == pytest.approx(agent.value.value, abs=1e-5)
    assert result.training.steps >= 500
    assert result.training.seconds > 0
    assert result.training.curve[-1][0] == result.training.steps
    assert {"cores", "processor"} <= set(result.machine)
    assert "jax" in result.versions
    assert set(measurement.opponents) == {"greedy", "Bayes optimum (exact)"}
    assert measurement.opponents["greedy"].outcomes["rl2"] == "loss"
    card = load_bundle(finished / "bundles" / "toy").card
    assert card["parameters_sha256"] == agent.parameters_sha256
    assert card["results"]["test"]["task_hash"] == measurement.task_hash


def test_the_measure_and_the_tasks_are_those_of_evaluate(finished, tmp_path):
    words = [str(finished / "bundles" / "toy"), "--tasks", "300", "--splits", "test", "--no-baselines"]
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["evaluate", *words, "--folder", str(tmp_path)]) == 0
    evaluation = json.loads((tmp_path / "evaluation-test.json").read_text())
    (measurement,) = stored(finished).measurements
    assert evaluation["task_hash"] == measurement.task_hash
    ours = evaluation["results"]["rl2"]["lifetime_return"]
    for end in ("value", "low", "high"):
        assert ours[end] == pytest.approx(getattr(measurement.agents["rl2"].value, end), rel=1e-5)


def test_an_agent_serves_a_longer_lifetime_and_regret_counts_down(finished):
    result = stored(finished, "toy-longer")
    (measurement,) = result.measurements
    assert measurement.lifetime_steps == 6
    assert result.training is None
    agent, best = measurement.agents["rl2"], measurement.opponents["Bayes optimum (exact)"]
    assert agent.bundle == "toy"
    assert 0 < best.value.value < agent.value.value
    assert best.differences["rl2"].value == pytest.approx(best.value.value - agent.value.value, abs=1e-5)


@pytest.mark.parametrize("more", [(), ("--quick",)])
def test_what_was_stored_comes_out_again(finished, more):
    status, out, err = bench(finished, "verify", *more)
    assert status == 0, out + err
    assert out.count("ok ") == out.count(", equal") == 4
    assert "4 of 4 stored results came out again; 1 rows were not run." in out


def test_rows_whose_suite_is_missing_are_passed_over_unless_they_are_named(checkout, monkeypatch):
    def made(name, **settings):
        raise MissingExtraError("MuJoCo", "mujoco")

    monkeypatch.setattr("quickstudy.evaluation.bench.measuring.tasks.make", made)
    status, out, _ = bench(checkout, "verify")
    assert status == 0
    assert "toy: not measured. MuJoCo is not installed. Install it with: pip install 'quickstudy[mujoco]'" in out
    assert "rows need a suite that is not installed." in out
    status, _, err = bench(checkout, "verify", "toy")
    assert status == 2
    assert "pip install 'quickstudy[mujoco]'" in err


def test_another_number_on_the_same_machine_differs(checkout):
    value = stored(checkout).measurements[0].agents["rl2"].value
    changed(checkout, agent={"value": dataclasses.replace(value, value=value.value + 1e-4)})
    status, out, _ = bench(checkout, "verify", "toy")
    assert status == 1
    assert "not equal on the same kind of machine" in out
    assert "0 of 1 stored results came out again" in out


def test_elsewhere_the_interval_decides(checkout):
    value = stored(checkout).measurements[0].agents["rl2"].value
    changed(checkout, machine={"cores": 1000}, agent={"value": dataclasses.replace(value, value=value.value + 1e-4)})
    status, out, _ = bench(checkout, "verify", "toy")
    assert status == 0
    assert out.startswith("ok ")
    assert "within" in out
    off = value.high + 1
    changed(checkout, machine={"cores": 1000}, agent={"value": Estimate(value=off, low=off - 0.5, high=off + 0.5)})
    status, out, _ = bench(checkout, "verify", "toy")
    assert status == 1
    assert "outside the stored interval" in out


def test_another_task_list_differs(checkout):
    changed(checkout, measurement={"task_hash": "0" * 64})
    status, out, _ = bench(checkout, "verify", "toy", "--quick")
    assert status == 1
    assert "the task list is another" in out


def test_another_bundle_differs(checkout):
    bundle = load_bundle(checkout / "bundles" / "toy")
    bandits = make("bernoulli-bandit", arms=2, pulls=5)
    algorithm = algorithms.make("rl2", bandits.spec, hidden_size=8, lifetimes=32)
    ones = {"network": bundle.params.network, "statistics": bundle.params.statistics}
    other = dataclasses.replace(bundle.params, **(ones | {"statistics": _doubled(ones["statistics"])}))
    save_bundle(checkout / "bundles" / "toy", algorithm, other, distribution=bandits)
    status, out, _ = bench(checkout, "verify", "toy")
    assert status == 1
    assert "the bundle is not the one that was measured" in out


def _doubled(statistics):
    return dataclasses.replace(statistics, weight=2 * statistics.weight)


def test_measuring_alone_keeps_the_record_of_the_training(checkout):
    before = stored(checkout)
    shutil.rmtree(checkout / "runs")
    (checkout / "rows.toml").write_text(ROWS.replace("[rows.toy]", '[rows.toy]\nsplit = "train"', 1))
    status, out, err = bench(checkout, "run", "toy", "--evaluate-only")
    assert status == 0, out + err
    after = stored(checkout)
    assert after.training == before.training
    assert after.command == "quickstudy bench run toy --evaluate-only"
    assert after.measurements[0].split == "train"
    assert "TRAINING TASKS" in out


def test_a_bundle_alone_tells_what_it_knows_of_its_training(checkout):
    shutil.rmtree(checkout / "runs")
    (checkout / "results" / "rows" / "toy.json").unlink()
    status, out, err = bench(checkout, "run", "toy", "--evaluate-only")
    assert status == 0, out + err
    training = stored(checkout).training
    assert (training.command, training.seeds, training.seconds) == ("quickstudy bench run toy", 2, None)
    assert bench(checkout, "page")[0] == 0
    page = (checkout / "docs" / "results.md").read_text()
    assert "2 seeds, steps and time not recorded" in " ".join(page.split())


def test_pages_are_drawn_from_what_is_stored(checkout):
    status, out, err = bench(checkout, "page")
    assert status == 0, out + err
    page, readme = (checkout / "docs" / "results.md").read_text(), (checkout / "README.md").read_text()
    assert readme.startswith("# Toy\n\n<!-- measured -->\nMean")
    assert readme.endswith("<!-- /measured -->\nThe end.\n")
    assert "| toy: 5 pulls | " in readme
    assert " (greedy) | worse: −" in readme
    assert "2 arms" not in readme
    assert "4.5: missed by" in page
    assert "A toy cannot earn that." in page
    assert "Held-out return during training" in " ".join(page.split())
    assert "≤ 3: " in page
    assert "### Who carries over where" in page
    assert "**`toy`**" in page
    assert "Not run yet: `toy-later`.\n" in page
    assert "*exact*: worked out by hand." in page
    assert bench(checkout, "page")[0] == 0
    assert (checkout / "docs" / "results.md").read_text() == page
    assert (checkout / "README.md").read_text() == readme


def test_list_shows_what_is_stored_and_what_is_not_run(finished):
    status, out, _ = bench(finished, "list")
    assert status == 0
    assert "missed" in out
    assert "not run" in out
    assert "toy-later" in out


def edited(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


SPOILT = {
    "unknown row": (("run", "toi"), None, "unknown row 'toi'. Did you mean 'toy'?"),
    "unknown row to verify": (("verify", "toy-transfr"), None, "Did you mean 'toy-transfer'?"),
    "unknown verb": (("lst",), None, "Did you mean 'list'?"),
    "missing row": (("run",), None, "ROW missing"),
    "unknown flag": (("verify", "--quik"), None, "Did you mean '--quick'?"),
    "not run": (("verify", "toy-later"), None, "toy-later was not run"),
    "unknown tasks": (("run", "toy-later"), None, "unknown task distribution 'no-such-tasks'"),
    "budget for nothing": (("run", "toy-longer", "--budget", "1m"), None, "nothing is trained for toy-longer"),
    "missing bundle": (
        ("verify", "toy"),
        lambda folder: shutil.rmtree(folder / "bundles" / "toy"),
        "Train it: quickstudy bench run toy",
    ),
    "damaged bundle": (
        ("verify",),
        lambda folder: (folder / "bundles" / "toy" / "parameters.safetensors").write_bytes(b"0"),
        "truncated or altered",
    ),
    "tampered result": (
        ("verify", "toy"),
        lambda folder: edited(folder / "results" / "rows" / "toy.json", '"seeds": 2', '"seeds": 5'),
        "its digest differs",
    ),
    "result cut off": (
        ("list",),
        lambda folder: (folder / "results" / "rows" / "toy.json").write_text("{"),
        "toy.json does not parse",
    ),
    "row redefined": (
        ("page",),
        lambda folder: edited(folder / "rows.toml", "tasks = 300", "tasks = 400"),
        "tasks was 300, now 400",
    ),
    "corrupt rows": (("list",), lambda folder: edited(folder / "rows.toml", "[sources]", "[sources"), "does not parse"),
    "unknown key": (("list",), lambda folder: edited(folder / "rows.toml", "target =", "targt ="), "Did you mean 'target'?"),
    "wrong type": (("list",), lambda folder: edited(folder / "rows.toml", "target = 4.5", "target = 'x'"), "must be a number"),
    "unknown mark": (("list",), lambda folder: edited(folder / "rows.toml", "references.exact", "references.exakt"), "'exakt'"),
    "unknown agent": (("list",), lambda folder: edited(folder / "rows.toml", '["toy"]', '["tay"]'), "Did you mean 'toy'?"),
    "no rows": (("list",), lambda folder: (folder / "rows.toml").unlink(), "cannot be read"),
    "no README": (("page",), lambda folder: (folder / "README.md").unlink(), "has no lines <!-- measured -->"),
    "no checkout": (("verify",), lambda folder: shutil.rmtree(folder / "results"), "name it with --folder"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_wrong_input_gets_one_line_and_status_2(case, checkout):
    arguments, spoil, expected = SPOILT[case]
    if spoil is not None:
        spoil(checkout)
    status, out, err = bench(checkout, *arguments)
    assert status == 2, out
    assert expected in err
    assert err.count("\n") == 1
    assert "Traceback" not in out + err
