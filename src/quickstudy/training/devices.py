"""The configuration of JAX for this machine, made once before JAX starts."""

import os

import jax

from quickstudy.protocol.machine import usable_cores
from quickstudy.storage.caches import cache_folder

_MOST_CPU_DEVICES = 8


def use_whole_machine() -> None:
    """Gives every core a device of its own and turns the compilation cache on; call it before anything is computed.

    Small recurrent networks leave a second core idle if one device owns both; with a device per core the lifetimes of an
    update are shared among them. Compiled programs are kept in the user's cache folder, if there is one that can be written,
    so that the second run starts at once. Settings that the user has made are kept.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_force_host_platform_device_count" not in flags:
        cores = usable_cores()
        jax.config.update("jax_num_cpu_devices", min(cores, _MOST_CPU_DEVICES))
        if cores <= _MOST_CPU_DEVICES and "xla_cpu_multi_thread_eigen" not in flags:
            # A device that owns one core gains nothing from threads of its own. With them, a user's task that calls LAPACK
            # deadlocks more easily (`numerics.linear_algebra` explains it).
            os.environ["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    if not jax.config.values["jax_compilation_cache_dir"]:
        folder = cache_folder("compiled")
        if folder is not None:
            jax.config.update("jax_compilation_cache_dir", str(folder))
            jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
