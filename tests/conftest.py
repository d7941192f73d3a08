"""What every test insists on: strict types, no silent rank promotion, two devices; warnings are errors.

These are set before JAX starts. Compiled programs are kept in the user's cache folder, so a second run is quick.
"""

import itertools
import os

# Two devices, without threads of their own as in `use_whole_machine`. The newest fusions and optimisation cost more time to
# compile than they save in small programs.
FLAGS = (
    "--xla_force_host_platform_device_count=2",
    "--xla_cpu_multi_thread_eigen=false",
    "--xla_backend_optimization_level=0",
    "--xla_cpu_use_fusion_emitters=false",
)
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), *FLAGS])
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax  # noqa: E402
import platformdirs  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_compilation_cache_dir", str(platformdirs.user_cache_path("quickstudy") / "tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

TESTS_BETWEEN_CLEARINGS = 100
"""Every compiled program is mapped into memory several times, and Linux lets a process have 65,530 mappings: a worker that
keeps the programs of all its tests ends there, without a word."""

_tests = itertools.count(1)


def pytest_runtest_teardown():
    """Lets go of compiled programs now and then; those that are needed again come from the folder."""
    if next(_tests) % TESTS_BETWEEN_CLEARINGS == 0:
        jax.clear_caches()


@pytest.fixture
def key():
    return jax.random.key(0)
