"""Cards of agents: every number on a card is a stored one, losses are shown, and what is not finite is refused.

The cards are read back with PyYAML, which shares no code with the writer.
"""

import json
import shutil

import pytest
import yaml

from docs.pages import ROOT
from marks import slow_but
from quickstudy.cli import main
from quickstudy.evaluation.agent_record import agent_record
from quickstudy.protocol.errors import BundleError, UsageError
from quickstudy.reports.agent_card import MARK, render_card, write_card
from quickstudy.reports.front_matter import front_matter
from quickstudy.storage.bundle import add_results
from quickstudy.storage.envelope_file import load_envelope

BUNDLES = sorted(path.name for path in (ROOT / "bundles").iterdir())
QUICK = ("bandit-n100-k10", "quick-n100-k5", "two-arms-hard")
HASH = "ab" * 32


def read_back(text):
    """The metadata of a card."""
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("\n---\n")[0])


def stored_numbers(name):
    """Value, low and high of everything that is stored of a shipped agent: from the plain files, not through the library."""
    card = json.loads((ROOT / "bundles" / name / "bundle.json").read_text(encoding="utf-8"))
    found = set()
    for path in (ROOT / "results" / "rows").glob("*.json"):
        row = json.loads(path.read_text(encoding="utf-8"))
        sign = -1 if row["measure"] == "regret" else 1
        for one in row["measurements"]:
            for agent, measured in one["agents"].items():
                if measured["parameters_sha256"] == card["parameters_sha256"]:
                    found.add(("agent", one["task_hash"], str(one["settings"]), *measured["value"].values()))
                    for opponent, other in one["opponents"].items():
                        value, low, high = (sign * x for x in other["differences"][agent].values())
                        low, high = min(low, high), max(low, high)
                        found.add((opponent, one["task_hash"], str(one["settings"]), value, low, high))
    measured = {key[1] for key in found}
    for noted in card["results"].values():
        if noted["task_hash"] not in measured:
            settings = str(card["distribution"]["config"])
            found.add(("agent", noted["task_hash"], settings, *noted["lifetime_return"].values()))
    return found


@pytest.mark.parametrize("name", slow_but(QUICK, BUNDLES))
def test_the_card_of_a_shipped_agent_parses_back_to_the_stored_numbers(name):
    text = render_card(agent_record(ROOT / "bundles" / name))
    data = read_back(text)
    assert (data["library_name"], data["model-index"][0]["name"]) == ("quickstudy", name)
    found = set()
    for result in data["model-index"][0]["results"]:
        assert {"type", "name"} <= set(result["task"])
        about = (result["dataset"]["revision"], str(result["dataset"]["args"]))
        for metric in result["metrics"]:
            args = metric["args"]
            found.add((args.get("baseline", "agent"), *about, metric["value"], args["low"], args["high"]))
            assert all(type(x) in (int, float) for x in (metric["value"], args["low"], args["high"]))
    stored = stored_numbers(name)
    assert found <= stored
    # A row and a matrix may both hold the agent on the same tasks; the card shows one of them.
    assert {key[:3] for key in found} == {key[:3] for key in stored}
    assert "nan" not in text.lower().split()


def test_losses_and_bounds_of_a_shipped_agent():
    text = render_card(agent_record(ROOT / "bundles" / "bandit-n100-k10"))
    assert "| Gittins index | 83.98 [83.61, 84.32] | −0.241 [−0.450, −0.029] | **worse** |" in text
    assert "the agent loses here. Use one of these" in " ".join(text.split())
    assert "10,009,600" in text
    assert "One lifetime needs 92 bytes of memory. The agent has 12,327 parameters." in text
    of_regret = render_card(agent_record(ROOT / "bundles" / "two-arms-hard"))
    assert "mean regret" in of_regret
    assert "(upper bound)" in of_regret
    assert not [line for line in of_regret.splitlines() if line.startswith("- ") and "upper bound" in line]


@pytest.fixture
def bundle(tmp_path):
    """A shipped bundle, alone: no stored row lies above it."""
    return shutil.copytree(ROOT / "bundles" / "quick-n10-k5", tmp_path / "agent")


def test_a_bundle_alone_has_what_it_has_noted(bundle, tmp_path):
    page = write_card(bundle, folder=tmp_path / "out", name="mine | `x`")
    (result,) = read_back(page.read_text(encoding="utf-8"))["model-index"][0]["results"]
    assert (
        result["metrics"][0]["value"]
        == json.loads((bundle / "bundle.json").read_text())["results"]["test"]["lifetime_return"]["value"]
    )
    text = page.read_text(encoding="utf-8")
    assert "# mine \\| \\`x\\`" in text
    assert "no baseline was measured, so nothing shows that the agent is the right choice" in " ".join(text.split())
    assert "| time of all seeds | not stored |" in text
    with_rows = render_card(agent_record(bundle, checkout=ROOT))
    assert "Bayes optimum" in with_rows


def test_an_envelope_beside_the_bundle(bundle):
    rules = {"format": 1, "fallback": "random", "holdback": 0.05, "note": "first trial"}
    (bundle / "envelope.json").write_text(json.dumps(rules), encoding="utf-8")
    text = render_card(agent_record(bundle))
    assert '"holdback": 0.05' in text
    assert load_envelope(bundle / "envelope.json").digest[:12] in text
    assert "no envelope lies beside" not in text


@pytest.mark.parametrize("number", [float("nan"), float("inf"), None])
def test_numbers_that_are_not_finite_are_refused(bundle, number, capsys):
    estimate = {"value": 5.0, "low": number, "high": 6.0}
    add_results(bundle, "ood:close-arms", {"tasks": 10, "task_hash": HASH, "lifetime_return": estimate})
    with pytest.raises((UsageError, BundleError)) as refused:
        write_card(bundle)
    assert not (bundle / "README.md").exists()
    assert main(["card", str(bundle)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    if number is None:
        assert "split ood:close-arms: the low of the agent is None, and a card states finite numbers only." in str(
            refused.value
        )


@pytest.mark.slow
def test_the_card_of_a_run_that_was_trained_and_evaluated(tmp_path, capsys):
    run = tmp_path / "run"
    small = ["--arms", "2", "--pulls", "5", "--hidden-size", "4", "--lifetimes", "8", "--held-out-tasks", "16"]
    assert (
        main(["train", "rl2", "bernoulli-bandit", "--budget", "400 steps", "--seeds", "2", "--folder", str(run), *small]) == 0
    )
    assert main(["evaluate", str(run), "--tasks", "64", "--splits", "test", "ood:rare-successes", "--no-controls"]) == 0
    assert main(["card", str(run), "--out", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    (entry,) = read_back(text)["model-index"]
    assert entry["name"] == "run"
    for result in entry["results"]:
        path = run / f"evaluation-{result['dataset']['split'].replace(':', '-')}.json"
        evaluation = json.loads(path.read_text(encoding="utf-8"))
        assert result["dataset"]["revision"] == evaluation["task_hash"]
        (ours,) = [one for one in evaluation["results"].values() if one["trained"]]
        assert result["metrics"][0]["value"] == ours["lifetime_return"]["value"]
        assert len(result["metrics"]) == len(evaluation["results"])
    assert [result["dataset"]["split"] for result in entry["results"]] == ["test", "ood:rare-successes"]
    assert "| budget of each seed | 400 steps |" in text
    assert "no other split of" not in " ".join(text.split())


def test_results_of_the_same_tasks_that_differ_are_refused(bundle):
    card = json.loads((bundle / "bundle.json").read_text())
    card["results"]["test"]["lifetime_return"]["value"] += 0.001
    (bundle / "bundle.json").write_text(json.dumps(card))
    with pytest.raises(UsageError, match=r"results/rows/quick-n10-k5\.json and bundle\.json have different results"):
        agent_record(bundle, checkout=ROOT)


def test_an_agent_that_was_never_measured(bundle):
    card = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps(card | {"results": {}}))
    with pytest.raises(UsageError, match="nothing was measured of"):
        agent_record(bundle)


def test_a_page_that_somebody_wrote_is_kept(bundle, capsys):
    page = bundle / "README.md"
    page.write_text("# My own words\n")
    assert main(["card", str(bundle)]) == 2
    assert "is no card that this command wrote" in capsys.readouterr().err
    assert page.read_text() == "# My own words\n"
    page.unlink()
    assert main(["card", str(bundle)]) == 0
    first = page.read_text(encoding="utf-8")
    assert MARK in first
    assert main(["card", str(bundle)]) == 0
    assert page.read_text(encoding="utf-8") == first


@pytest.mark.parametrize(
    "value",
    [1e-05, 1e20, -2.5e-300, 3.0, 7, True, None, "1e5", "yes", "a: b # c", 'quo"te\\', "ε\n−", "", [], {}, [1, [2.5, "x"]]],
)
def test_values_in_the_metadata_come_back(value):
    data = {"one": value, "list": [{"low": value, "off": value}, value], "null": {"y": value}}
    back = yaml.safe_load(front_matter(data).strip("-"))
    if value == "ε\n−":  # a line that ends becomes visible
        value = "ε\\n−"
        data = {"one": value, "list": [{"low": value, "off": value}, value], "null": {"y": value}}
    assert back == data
