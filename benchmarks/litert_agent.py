"""An exported LiteRT agent as an agent in JAX, so that it can be evaluated like any other: every step calls its file."""

import importlib.util
import json

import jax
import jax.numpy as jnp
import numpy as np

from quickstudy.protocol.records import blank_observation
from quickstudy.protocol.sequences import where
from quickstudy.rollout.program_agent import decision_of
from quickstudy.rollout.wrapping import wrapped

FEEDBACK = ("action", "reward", "successor", "terminated", "truncated")


def litert_agent(agent, folder):
    """The agent whose steps are those of the file in a folder.

    The graph adapts and decides in one step. So `adapt` keeps the feedback, and `act` runs the graph. The next state of the
    graph goes to `adapt` with the decision.

    Args:
      agent: guarded, that was exported.
      folder: of the LiteRT form.
    """
    spec = importlib.util.spec_from_file_location("exported_agent", folder / "agent.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run, graph = module.open_graph(folder), json.loads((folder / "contract.json").read_text())["graph"]
    ports = {one["name"]: (tuple(one["shape"]), one["dtype"]) for one in graph["inputs"]}
    results = [(one["name"], jax.ShapeDtypeStruct(tuple(one["shape"]), one["dtype"])) for one in graph["outputs"]]
    state = [name for name in ports if name.startswith("state.")]

    def step(*feeds):
        batch = np.broadcast_shapes(
            *(feed.shape[: feed.ndim - len(shape)] for feed, (shape, _) in zip(feeds, ports.values(), strict=True))
        )
        if not batch:
            return tuple(run([np.asarray(feed) for feed in feeds]))
        whole = [np.broadcast_to(feed, batch + shape) for feed, (shape, _) in zip(feeds, ports.values(), strict=True)]
        rows = [run([np.asarray(feed[place]) for feed in whole]) for place in np.ndindex(batch)]
        return tuple(np.stack(parts).reshape(batch + parts[0].shape) for parts in zip(*rows, strict=True))

    def begin(params, key):
        del params, key
        blank = {name: jnp.zeros(*port) for name, port in ports.items() if name != "observation"}
        return blank | {"begins": jnp.asarray(True)}

    def act(params, memory, observation, key):
        feeds = [jnp.asarray((memory | {"observation": observation})[name], dtype) for name, (_, dtype) in ports.items()]
        shapes = tuple(shape for _, shape in results)
        made = jax.pure_callback(step, shapes, *feeds, vmap_method="broadcast_all")
        numbers = dict(zip([name for name, _ in results], made, strict=True))
        of_agent = jax.eval_shape(agent.begin, params, key)
        extras = jax.eval_shape(agent.act, params, of_agent, blank_observation(agent.spec), key).extras
        decision = decision_of(extras, numbers, key)
        decision.extras["next"] = {name: numbers[f"next_{name}"] for name in state}
        return decision

    def adapt(params, memory, experience, key):
        del params, key
        now = jax.tree.map(lambda leaf: leaf[0], experience)
        outcome = now.outcome
        feedback = (now.decision.action, outcome.reward, outcome.observation, outcome.terminated, outcome.truncated)
        after = now.decision.extras["next"] | dict(zip(FEEDBACK, feedback, strict=True)) | {"begins": jnp.asarray(False)}
        after = {name: jnp.asarray(after[name], leaf.dtype).reshape(leaf.shape) for name, leaf in memory.items()}
        return where(now.valid, after, memory)

    return wrapped(agent, begin=begin, act=act, adapt=adapt)
