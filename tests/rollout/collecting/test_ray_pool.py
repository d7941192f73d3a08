"""Collectors on a Ray cluster of several nodes: the same lifetimes as in this process, whatever dies meanwhile."""

import dataclasses
import socket
import threading

import jax
import numpy as np
import pytest

from quickstudy import algorithms, tasks
from quickstudy.baselines.random import random_agent
from quickstudy.protocol.errors import CollectingError, MissingExtraError, UsageError
from quickstudy.rollout.collecting import ray_pool
from quickstudy.rollout.collecting.config import CollectingConfig
from quickstudy.rollout.collecting.pool import open_pool
from quickstudy.rollout.collecting.user_code import UserCode
from quickstudy.training.loop import TrainingConfig, meta_train
from rollout.collecting.from_jax import as_host

ray = pytest.importorskip("ray", reason="Ray is not installed")
_explicitly_enable_client_mode = pytest.importorskip("ray._private.client_mode_hook")._explicitly_enable_client_mode
# Ray forks to start a node; the child starts another program at once, and computes nothing. It leaves files of its own open.
pytestmark = [
    pytest.mark.suites,
    pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:.*ray_client_server:pytest.PytestUnraisableExceptionWarning"),
]
NODES = 2
LIFETIMES = 8

OWN_FILE = """
import dataclasses, os, pathlib, signal, time
import gymnasium
import quickstudy as qs
from quickstudy.protocol.errors import UsageError

class Mishap(gymnasium.Wrapper):
    def __init__(self, environment, *, kind, once):
        super().__init__(environment)
        self.kind, self.once, self.steps = kind, pathlib.Path(once), 0

    def step(self, action):
        self.steps += 1
        if self.kind == "slow":
            time.sleep(0.01)
        elif self.kind and self.steps == 8 and not self.once.exists():
            self.once.touch()
            if self.kind == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(3600)
        return super().step(action)

def carts(*, kind: str = "", once: str = ""):
    def make(task):
        environment = gymnasium.make("CartPole-v1")
        environment.unwrapped.length = float(task["length"])
        return Mishap(environment, kind=kind, once=once)

    def sample_task(split, generator):
        return {"length": generator.uniform(0.3, 0.7)}

    def refuse():
        raise UsageError("there is no such cart here")

    made = qs.from_gymnasium(make, sample_task, episodes=2, horizon=20, name="own-carts")
    return dataclasses.replace(made, open=refuse) if kind == "refuses" else made
"""


@pytest.fixture(scope="module")
def cluster():
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")  # whatever tokens this machine has
        patch.setenv("RAY_worker_niceness", "0")
        # gRPC crashes sometimes in a process that was forked and has not started its own program yet.
        patch.setenv("GRPC_ENABLE_FORK_SUPPORT", "0")
        port = free_port()
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "ray_client_server_port": port})
        cluster.from_afar = f"ray://127.0.0.1:{port}"
        yield cluster
        ray.shutdown()
        cluster.shutdown()


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture
def nodes(cluster):
    """As many nodes with one core each, whatever an earlier test did."""
    while len(cluster.worker_nodes) < NODES:
        cluster.add_node(num_cpus=1)
    return sorted(cluster.worker_nodes, key=lambda node: node.node_id)


@pytest.fixture
def own_carts(tmp_path, monkeypatch):
    """Distributions from a file of the user's, which other machines do not have."""
    path = tmp_path / "own_carts.py"
    path.write_text(OWN_FILE)
    sent = ray_pool.user_code

    def elsewhere():
        code = sent()
        files = [dataclasses.replace(file, path=f"/elsewhere{file.path}") for file in code.files]
        return dataclasses.replace(code, files=files)

    monkeypatch.setattr(ray_pool, "user_code", elsewhere)

    def make(kind=""):
        return tasks.make(f"{path}:carts", kind=kind, once=str(tmp_path / "once"))

    return make


def on(cluster, **settings):
    return CollectingConfig(collectors=f"ray:{cluster.address}", workers=NODES, **settings)


def lived(distribution, agent, collecting, *, seed=0):
    """A batch of lifetimes, and the pool that ran it."""
    key_params, key_tasks, key_lives = jax.random.split(jax.random.key(seed), 3)
    drawn = distribution.sample_tasks("train", key_tasks, tasks=LIFETIMES)
    with open_pool(distribution, collecting) as pool:
        whole = pool.run(agent, agent.init(key_params), drawn, jax.random.split(key_lives, LIFETIMES))
    return whole, pool


def assert_same(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


INLINE = CollectingConfig(collectors="inline")


@pytest.mark.usefixtures("nodes")
def test_lifetimes_are_those_of_this_process(cluster, own_carts):
    distribution = own_carts()
    agent = algorithms.make("rl2", distribution.spec, hidden_size=8, lifetimes=LIFETIMES).agent
    here, _ = lived(distribution, agent, INLINE)
    there, pool = lived(distribution, agent, on(cluster))
    assert_same(here.lifetimes, there.lifetimes)
    assert here.steps == there.steps
    assert pool.replaced == pool.lost == 0
    assert not ray.is_initialized()


@pytest.mark.usefixtures("nodes")
def test_a_machine_that_is_no_part_of_the_cluster_has_its_lifetimes_lived_there(cluster, own_carts):
    distribution = own_carts()
    agent = random_agent(distribution.spec)
    there, pool = lived(distribution, agent, dataclasses.replace(on(cluster), collectors=cluster.from_afar))
    here, _ = lived(distribution, agent, INLINE)
    assert_same(here.lifetimes, there.lifetimes)
    assert pool.replaced == 0


def test_a_node_that_is_lost_changes_nothing(cluster, nodes, own_carts, capsys):
    distribution = own_carts("slow")
    algorithm = algorithms.make("rl2", distribution.spec, hidden_size=8, lifetimes=LIFETIMES)
    config = TrainingConfig(budget="1280 steps", held_out_tasks=2, evaluation_seconds=1e6)
    killed = []

    def watch(progress):
        if progress.update == 2:
            killed.append(threading.Timer(0.3, cluster.remove_node, (nodes[0],), {"allow_graceful": False}))
            killed[0].start()

    disturbed = meta_train(algorithm, distribution, config, collecting=on(cluster), watch=watch)
    killed[0].join()
    assert capsys.readouterr().err.count("a worker was replaced") >= 1
    quiet = meta_train(algorithm, own_carts(), config, collecting=INLINE)
    assert disturbed.finished
    assert disturbed.lost == 0
    assert disturbed.steps == quiet.steps
    assert [line["environment_steps"] for line in disturbed.metrics] == [line["environment_steps"] for line in quiet.metrics]
    assert_same(disturbed.params, quiet.params)


@pytest.mark.usefixtures("nodes")
@pytest.mark.parametrize(("kind", "patience_seconds"), [("dies", 120), ("hangs", 15)])
def test_an_actor_that_dies_or_hangs_is_replaced(cluster, own_carts, kind, patience_seconds, capsys):
    distribution = own_carts(kind)
    agent = random_agent(distribution.spec)
    there, pool = lived(distribution, agent, on(cluster, patience_seconds=patience_seconds))
    here, _ = lived(own_carts(), agent, INLINE)
    assert_same(here.lifetimes, there.lifetimes)
    assert pool.replaced == 1
    assert not there.lost.any()
    said = capsys.readouterr().err
    assert "ActorDiedError" in said if kind == "dies" else "did nothing for 15 s" in said


@pytest.mark.usefixtures("nodes")
def test_an_actor_that_dies_while_it_starts_is_started_again(cluster, own_carts, monkeypatch):
    opened, killed = ray_pool.RayWorker.open, []

    def dies_once(actor, *arguments, **limits):
        if not killed:
            killed.append(actor)
            ray.kill(actor._actor)
        return opened(actor, *arguments, **limits)

    monkeypatch.setattr(ray_pool.RayWorker, "open", dies_once)
    distribution = own_carts()
    agent = random_agent(distribution.spec)
    there, pool = lived(distribution, agent, on(cluster))
    here, _ = lived(distribution, agent, INLINE)
    assert_same(here.lifetimes, there.lifetimes)
    assert (len(killed), pool.replaced) == (1, 0)


@pytest.mark.usefixtures("nodes")
def test_what_an_actor_refuses_comes_back_as_itself(cluster, own_carts):
    distribution = own_carts("refuses")
    found = dataclasses.replace(on(cluster), collectors="ray:auto")
    with pytest.raises(UsageError, match="no such cart here"):
        lived(distribution, random_agent(distribution.spec), found)


@pytest.mark.usefixtures("nodes")
def test_a_distribution_that_no_node_can_open_is_said(cluster, own_carts, monkeypatch):
    distribution = own_carts()
    monkeypatch.setattr(ray_pool, "user_code", UserCode)
    with pytest.raises(CollectingError, match="quickstudy_file_own_carts"):
        open_pool(distribution, on(cluster))
    assert not ray.is_initialized()


@pytest.mark.parametrize("address", ["ray:127.0.0.1:9", "ray://127.0.0.1:9"])
def test_a_cluster_that_does_not_answer_is_said(address):
    with pytest.raises(UsageError, match=f"no Ray cluster answers at {address}.*ray start --head"):
        open_pool(as_host(tasks.make("cart-pole")), CollectingConfig(collectors=address))


@pytest.mark.usefixtures("nodes")
@pytest.mark.parametrize("crashes", [2, 3])
def test_a_server_of_this_client_that_crashes_is_started_again_and_no_later_cluster_is_refused(
    cluster, own_carts, monkeypatch, crashes
):
    """Ray starts a process for each client from afar. Three attempts are made; afterwards a cluster is reached as ever."""
    distribution, start, failed = own_carts(), ray.init, []

    def crash(*arguments, **settings):
        if settings["address"].startswith("ray://") and len(failed) < crashes:
            failed.append(settings)
            _explicitly_enable_client_mode()  # where a real failure leaves Ray
            raise ConnectionAbortedError("Initialization failure from server")
        return start(*arguments, **settings)

    monkeypatch.setattr(ray, "init", crash)
    afar = dataclasses.replace(on(cluster), collectors=cluster.from_afar)
    if crashes == 3:
        with pytest.raises(UsageError, match="no Ray cluster answers"):
            open_pool(distribution, afar)
    else:
        open_pool(distribution, afar).__exit__(None, None, None)
    assert len(failed) == crashes
    open_pool(distribution, on(cluster)).__exit__(None, None, None)


def test_where_ray_is_missing_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"quickstudy\[ray\]"):
        open_pool(as_host(tasks.make("cart-pole")), CollectingConfig(collectors="ray"))
