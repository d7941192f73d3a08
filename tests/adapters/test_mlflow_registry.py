"""Versions in the model registry of MLflow: they come back as the same agent, and nothing else comes back."""

from pathlib import Path

import pytest

from quickstudy.cli import main
from quickstudy.protocol.errors import BundleError, UnknownNameError, UsageError
from quickstudy.serving.registry import Registry

pytestmark = [
    pytest.mark.suites,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),  # MLflow names it to SQLAlchemy 2.1
]
BUNDLE = Path(__file__).parents[2] / "bundles" / "quick-n10-k5"


def test_a_version_comes_back_with_its_digest(tmp_path, capsys, monkeypatch):
    from mlflow.tracking import MlflowClient

    from quickstudy.adapters.mlflow_registry import pull_version, push_version
    from quickstudy.cli.registry import _load as load

    monkeypatch.chdir(tmp_path)
    address, registry = "sqlite:///models/mlflow.db", Registry("agents")
    with pytest.raises(UsageError, match="there is no file"):
        pull_version(registry, "bandit", "champion", address=address, load=load)
    digest = registry.put("bandit", BUNDLE, seed=0, load=load)
    registry.promote("bandit", digest)

    done = push_version(registry, "bandit", "champion", address=address, load=load, card="# A bandit")
    assert (done.digest, done.version, done.made, done.aliases) == (digest, "1", True, ("champion",))
    client = MlflowClient(tracking_uri=address, registry_uri=address)
    version = client.get_model_version_by_alias("bandit", "champion")
    assert (version.tags["quickstudy.agent"], version.description) == (digest, "# A bandit")
    files = {one.path for one in client.list_artifacts(version.run_id, "version")}
    assert files == {"version/bundle.json", "version/parameters.safetensors", "version/version.json"}
    again = push_version(registry, "bandit", digest[:8], address=address, load=load, alias="reserve")
    assert (again.version, again.made) == ("1", False)
    assert set(client.get_model_version("bandit", "1").aliases) == {"champion", "reserve"}

    for word in ("champion", "1", digest[:10]):
        assert pull_version(Registry(f"back-{word}"), "bandit", word, address=address, load=load) == digest
    assert Registry("back-1").load("bandit", digest, load).digest == digest
    with pytest.raises(UnknownNameError, match="Did you mean 'champion'"):
        pull_version(registry, "bandit", "chapion", address=address, load=load)
    with pytest.raises(UnknownNameError, match="Known: bandit"):
        pull_version(registry, "bandits", "1", address=address, load=load)
    with pytest.raises(UsageError, match="refuses: "):
        push_version(registry, "bandit", "champion", address=address, load=load, alias="latest")

    capsys.readouterr()
    assert main(["registry", "pull", "other", "bandit", "1", "--address", address, "--alias", "champion"]) == 0
    assert f"bandit has version {digest[:12]}, from MLflow" in capsys.readouterr().out
    assert Registry("other").digest_of("bandit", "champion") == digest
    assert main(["registry", "push", "other", "bandit", "champion", "--address", address]) == 0
    assert f"bandit {digest[:12]} was already version 1 in MLflow" in capsys.readouterr().out

    client.set_model_version_tag("bandit", "1", "quickstudy.agent", "0" * 64)
    with pytest.raises(BundleError, match=f"holds agent {digest[:12]}, and its tag names 000000000000"):
        pull_version(Registry("wrong"), "bandit", "1", address=address, load=load)
    (parameters,) = tmp_path.glob("models/mlflow-files/*/artifacts/version/parameters.safetensors")
    parameters.write_bytes(parameters.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BundleError):
        pull_version(Registry("damaged"), "bandit", "1", address=address, load=load)
    assert not Registry("wrong").names()
    assert not Registry("damaged").names()
