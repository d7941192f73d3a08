"""Settings of every test: strict types, no silent rank promotion, two devices; warnings are errors.

They are set before JAX starts. Nearly all of the tests' time is compilation, and most of their memory is compiled programs.
"""

import ctypes
import gc
import os
import signal
from pathlib import Path

# A shell starts what stands before `&` with Ctrl-C ignored, and `nohup` ignores SIGHUP. quickstudy would honour that, and tests
# send the signals themselves.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

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
# The workers share compiled programs through this folder, and so do two runs. `make clean` removes it.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "programs"))

if os.environ.get("QUICKSTUDY_CHECK_ANNOTATIONS"):
    # Every call of a function of the package is held to its annotations, shapes included. `make test` runs the laws so.
    from jaxtyping import install_import_hook

    install_import_hook("quickstudy", "annotations.checked")

import jax  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)

MOST_MEGABYTES = 1000
"""JAX keeps every compiled program, and about 1.3 MB with even the smallest. A worker that has grown to this size lets go of
them; those that are needed again come from the folder."""
LEAST_GROWTH = 150
"""Megabytes that a worker must have grown since it last let go of its programs: what is not a program stays."""


def resident_megabytes() -> float:
    """Memory of this process; none where the system does not tell (it is only told on Linux)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return 0.0


def give_memory_back():
    """Returns freed memory to the system, which the C library keeps otherwise; only glibc can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Programs:
    """The compiled programs of this worker."""

    def __init__(self):
        self.floor = resident_megabytes()

    def let_go_of_many(self):
        if resident_megabytes() > max(MOST_MEGABYTES, self.floor + LEAST_GROWTH):
            jax.clear_caches()
            gc.collect()
            give_memory_back()
            self.floor = resident_megabytes()


_programs = Programs()


def pytest_runtest_teardown():
    _programs.let_go_of_many()


@pytest.hookimpl(tryfirst=True)  # the plugin that spreads tests over workers reads the groups in a hook of the same name
def pytest_collection_modifyitems(items):
    """The tests of a file share compiled programs, so one worker runs them; learning tests share none and are spread."""
    for item in items:
        if not (item.get_closest_marker("xdist_group") or item.get_closest_marker("learning")):
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(Path(__file__).parent).as_posix()))


@pytest.fixture
def key():
    return jax.random.key(0)
