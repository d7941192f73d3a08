"""`use_whole_machine`, in processes of its own, since JAX must not have started."""

import os
import subprocess
import sys

SHOW = "import os, jax, quickstudy; quickstudy.use_whole_machine(); print(jax.device_count(), os.environ.get('XLA_FLAGS', ''))"
WITHOUT_THREADS = "--xla_cpu_multi_thread_eigen=false"


def shown(**environment):
    """What a fresh process prints: how many devices it has, and XLA's flags."""
    inherited = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run([sys.executable, "-c", SHOW], env=inherited | environment, capture_output=True, text=True, check=True)
    devices, _, flags = done.stdout.strip().partition(" ")
    return int(devices), flags


def test_every_core_has_a_device_and_no_threads_besides():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert shown() == (min(cores, 8), WITHOUT_THREADS if cores <= 8 else "")


def test_what_the_user_has_configured_is_left_alone():
    assert shown(XLA_FLAGS="--xla_force_host_platform_device_count=3") == (3, "--xla_force_host_platform_device_count=3")
    _, flags = shown(XLA_FLAGS="--xla_cpu_multi_thread_eigen=true")
    assert flags == "--xla_cpu_multi_thread_eigen=true"
