"""What to do instead, for words of other libraries that have no name here, such as logging services and devices.

`suggestions` gives a name that is probably meant. Where there is no such name, a sentence says how the same is done.
"""

_LOGGING = (
    "Every run writes metrics.jsonl. `quickstudy track RUN` writes it to TensorBoard, trackio, MLflow or wandb, and "
    "`quickstudy report RUN RUN` draws the curves of several runs; in Python, meta_train(..., watch=...) tells every update."
)
_TASKS = "Tasks are the second name of `quickstudy train ALGORITHM TASKS`, and --on of `quickstudy evaluate`."
_DEVICE = (
    "JAX takes all accelerators that it finds. The environment variable CUDA_VISIBLE_DEVICES=0,1 chooses some of them, and "
    "JAX_PLATFORMS=cpu keeps JAX on the processor."
)
_LENGTH = "The length of a lifetime belongs to the tasks: --horizon and --episodes, or --pulls of a bandit."
_ALGORITHM = (
    "Algorithms here learn to adapt; `quickstudy list` names them. One policy for all tasks, trained by PPO, is `multi-task`. "
    "PPO from scratch on one new task is the baseline `ppo`."
)
_TRAIN = "Agents are trained with `quickstudy train ALGORITHM TASKS`; `quickstudy list` names both, and the baseline PPO."

_SETTINGS = {
    **dict.fromkeys(("tensorboard", "tensorboard-log", "tb-log", "wandb", "track", "logger", "mlflow", "neptune"), _LOGGING),
    **dict.fromkeys(("env", "env-id", "env-name", "environment"), _TASKS),
    **dict.fromkeys(("cuda", "gpu", "device", "num-gpus"), _DEVICE),
    **dict.fromkeys(("n-steps", "num-steps", "rollout-length", "rollout-fragment-length"), _LENGTH),
    "anneal-lr": "The learning rate always decreases along the budget.",
    "capture-video": "`quickstudy video RUN` makes a video of a trained agent, if its tasks have a camera.",
    "save-model": "Every run that ends saves its agent: the folder `bundle` in the folder of the run.",
}
_COMMANDS = {
    **dict.fromkeys(("tensorboard", "wandb", "mlflow", "log"), _LOGGING),
    **dict.fromkeys(("ppo", "sac", "dqn", "a2c", "td3", "rl2", "maml", "varibad", "pearl"), _TRAIN),
    "compare": "Curves of runs: `quickstudy report A B`. Returns on the same held-out tasks: `quickstudy evaluate A B`.",
    "deploy": "To use a trained agent: `quickstudy serve BUNDLE` over HTTP, or qs.Actor in Python.",
    "predict": "To use a trained agent: `quickstudy serve BUNDLE` over HTTP, or qs.Actor in Python.",
    "resume": "Give the `quickstudy train` command of the run again, with --resume.",
}
_ALGORITHMS = dict.fromkeys(("a2c", "a3c", "appo", "ddpg", "dqn", "impala", "rainbow", "sac", "td3", "trpo"), _ALGORITHM)
_BY_KIND = {"command": _COMMANDS, "flag": _SETTINGS, "setting": _SETTINGS, "key": _SETTINGS, "algorithm": _ALGORITHMS}


def advice(kind: str, name: str) -> str | None:
    """A sentence on how to do what a name stands for in other libraries; None where there is nothing to say.

    Args:
      kind: of the name, as in messages: "command", "flag", "setting of ...", "key in ...", "algorithm".
      name: that is not known.
    Example:
      >>> advice("flag", "--anneal-lr"), advice("flag", "--xyz")
      ('The learning rate always decreases along the budget.', None)
    """
    table = _BY_KIND.get(kind.partition(" ")[0], {})
    word = name.lstrip("-").replace("_", "-").lower()
    if word.startswith("wandb-"):
        word = "wandb"
    return table.get(word)
