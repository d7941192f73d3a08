"""The experts of some tasks and the agent of a bundle, on the same tasks with the same keys. Other benchmarks import this."""

import jax

import quickstudy as qs

# Compiling takes longer than running here, and half as long at this level.
QUICKLY = {"xla_backend_optimization_level": 1}


def contenders(distribution, folder):
    """The experts and, unless `folder` is empty, the `agent` of a bundle: (agent, params of each seed) by name."""
    found = {name: (make(), [()]) for name, make in distribution.baselines.items()}
    if folder:
        bundle = qs.load_bundle(folder)
        found["agent"] = bundle.agent_for(distribution.spec), [bundle.params_of(seed) for seed in range(bundle.seeds)]
    return found


def compiled_returns(distribution, agents):
    """`(tasks, keys) -> returns by name`, each `[tasks]`: the mean over the seeds of an agent. `agents` are `contenders`."""

    def play(task, key):
        return {
            name: sum(qs.run_lifetime(agent, distribution, each, task, key)[0].outcome.reward.sum() for each in params)
            / len(params)
            for name, (agent, params) in agents.items()
        }

    return jax.jit(jax.vmap(play), compiler_options=QUICKLY)
