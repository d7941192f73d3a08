"""Two processes on this machine that share a run, one device each, as two hosts would."""

import os
import re
import socket
import subprocess
import sys

DEVICES = re.compile(r"--xla_force_host_platform_device_count=\d+")


def free_address():
    """HOST:PORT of a port that nobody uses at this moment."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listening.getsockname()[1]}"


def with_devices(count):
    """The environment of this process, but with so many devices."""
    flags = DEVICES.sub(f"--xla_force_host_platform_device_count={count}", os.environ["XLA_FLAGS"])
    return os.environ | {"XLA_FLAGS": flags, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}


def started(program, *arguments, folders):
    """Both processes. Each gets the arguments, its number and one address, and has a working folder of its own."""
    address, streams = free_address(), {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", program, *arguments, "--processes", "2", "--coordinator", address, "--process-id"]
    return [
        subprocess.Popen([*command, str(number)], cwd=folder, env=with_devices(1), text=True, **streams)
        for number, folder in enumerate(folders)
    ]


def ended(processes, *, seconds):
    """(status, output, errors) of both; none lives on. What the library of collectives prints is left out."""
    try:
        outputs = [process.communicate(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
    said = [[re.sub(r"(?m)^\[Gloo\].*\n", "", text) for text in output] for output in outputs]
    return [(process.returncode, *texts) for process, texts in zip(processes, said, strict=True)]
