"""Messages to and from a process: nothing waits for one that has ended, whoever holds its socket open."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import time

import pytest

from quickstudy.rollout.collecting.process_channel import Channel

OTHER_END = """
import os, pickle, sys, time
from multiprocessing.connection import Connection
connection = Connection(int(sys.argv[1]))
"""
FOREVER = 60.0
SOON = 20.0
"""Seconds within which something happens at once on a machine that is busy with something else."""


@pytest.fixture(params=["woken by the system", "looking"])
def other_end(request, monkeypatch):
    """Starts a program at the other end; the system may be one that cannot wake us when a process ends."""
    if request.param == "looking":
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    opened = []

    def start(code):
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-S", "-c", OTHER_END + code, str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )
        opened.append((Channel(ours, process), process))
        return opened[-1]

    yield start
    for channel, process in opened:
        channel.close()
        process.kill()
        process.wait()


@pytest.mark.parametrize("size", [0, 1, 20_000, 3_000_000])
def test_messages_of_any_size_go_there_and_back(other_end, size):
    channel, _ = other_end("connection.send_bytes(connection.recv_bytes()[::-1]); time.sleep(60)")
    message = os.urandom(size)
    channel.send(message, FOREVER)
    assert channel.receive(FOREVER) == message[::-1]


def test_an_end_is_noticed_although_a_child_holds_the_socket_open(other_end):
    # A child by fork that does nothing but wait; the test waits for its number, to end it.
    channel, process = other_end(
        "child = os.fork()\nif child: connection.send_bytes(pickle.dumps(child)); os._exit(5)\ntime.sleep(60)"
    )
    child = pickle.loads(channel.receive(FOREVER))
    try:
        began = time.monotonic()
        with pytest.raises(EOFError):
            channel.receive(FOREVER)
        assert time.monotonic() - began < SOON
        assert process.wait() == 5
        with pytest.raises(EOFError):
            channel.send(bytes(10_000_000), FOREVER)  # more than the socket holds
        assert time.monotonic() - began < SOON
    finally:
        os.kill(child, signal.SIGKILL)


def test_what_was_sent_before_the_end_is_received(other_end):
    channel, process = other_end("connection.send_bytes(b'last words'); os._exit(0)")
    process.wait()
    assert channel.receive(FOREVER) == b"last words"
    with pytest.raises(EOFError):
        channel.receive(FOREVER)


def test_an_end_in_the_middle_of_a_message_is_an_end(other_end):
    channel, _ = other_end("os.write(connection.fileno(), bytes([0, 0, 1, 0]) + b'begin'); os._exit(0)")
    with pytest.raises(EOFError):
        channel.receive(FOREVER)


@pytest.mark.parametrize("message", [b"", bytes(10_000_000)], ids=["empty", "long"])
def test_a_stopped_process_costs_the_time_limit_and_no_more(other_end, message):
    channel, process = other_end("connection.send_bytes(b''); connection.recv_bytes(); time.sleep(60)")
    channel.receive(FOREVER)
    process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(TimeoutError):  # noqa: PT012, since either of them may be the one
        channel.send(message, 0.3)
        channel.receive(0.3)
    assert 0.2 < time.monotonic() - began < SOON
