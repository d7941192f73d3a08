"""The image and the manifests under `deploy/`: linters find nothing, and the parts agree with one another."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quickstudy import cli

DEPLOY = Path(__file__).parents[2] / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


def program(name):
    """A linter of the extra `deploy-check`, which is installed beside this Python."""
    found = Path(sys.executable).with_name(name)
    if not found.exists() and shutil.which(name) is None:
        pytest.skip(f"{name} is missing: pip install 'quickstudy[deploy-check]'")
    return str(found if found.exists() else name)


def lint(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.suites
def test_the_dockerfile_is_as_it_should_be():
    lint(program("hadolint"), "--failure-threshold", "style", str(DEPLOY / "Dockerfile"))


@pytest.mark.suites
def test_the_yaml_is_as_it_should_be():
    lint(program("yamllint"), "--strict", "--config-file", str(DEPLOY / "yamllint.yaml"), str(DEPLOY))


@pytest.mark.suites
def test_the_manifests_have_the_fields_of_kubernetes(tmp_path):
    validate = [program("kubernetes-validate"), "--strict"]
    lint(*validate, *map(str, MANIFESTS))
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(MANIFESTS[0].read_text().replace("replicas: 3", "replicas: three"))
    assert subprocess.run([*validate, str(wrong)], capture_output=True, check=False, timeout=600).returncode != 0


def documents():
    yaml = pytest.importorskip("yaml")
    found = [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text())]
    return {one["kind"]: one["spec"] for one in found}


@pytest.mark.suites
def test_the_manifests_agree_with_one_another():
    kinds = documents()
    assert set(kinds) == {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"}
    pod = kinds["Deployment"]["template"]
    labels, (container,) = pod["metadata"]["labels"], pod["spec"]["containers"]
    selectors = [
        kinds["Deployment"]["selector"]["matchLabels"],
        kinds["Service"]["selector"],
        kinds["PodDisruptionBudget"]["selector"]["matchLabels"],
        kinds["NetworkPolicy"]["podSelector"]["matchLabels"],
    ]
    assert selectors == [labels] * 4
    assert kinds["PodDisruptionBudget"]["minAvailable"] < kinds["Deployment"]["replicas"]
    port = str(container["ports"][0]["containerPort"])
    assert container["args"][container["args"].index("--port") + 1] == port
    assert str(kinds["NetworkPolicy"]["ingress"][0]["ports"][0]["port"]) == port
    assert (container["readinessProbe"]["httpGet"]["path"], container["livenessProbe"]["httpGet"]["path"]) == (
        "/readyz",
        "/healthz",
    )
    assert pod["spec"]["securityContext"]["runAsUser"] == int(re.search(r"^USER (\d+):", DOCKERFILE, re.M)[1])
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["spec"]["terminationGracePeriodSeconds"] >= pause + 30  # the server itself takes at most 30 seconds
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}


def test_the_server_has_the_flags_that_both_name(capsys):
    with pytest.raises(SystemExit):
        cli.main(["serve", "--help"])
    known = capsys.readouterr().out
    text = re.sub(r"^(RUN|COPY|HEALTHCHECK|    ).*", "", DOCKERFILE, flags=re.M) + MANIFESTS[0].read_text()
    named = set(re.findall(r"(?<=[\s\"])--[a-z][a-z-]*", text))
    assert named >= {"--registry", "--store", "--host", "--port"}
    assert [flag for flag in named if f"{flag} " not in known] == []


def test_the_image_runs_nothing_as_root():
    *_, build, last = DOCKERFILE.split("\nFROM ")
    assert " AS build\n" in build
    assert re.search(r"^USER 10001:10001$", last, re.M)
    assert re.search(r"^HEALTHCHECK ", last, re.M)
    assert last.index("USER 10001") < last.index("ENTRYPOINT")
