"""One run in a folder: the second is refused by name, and the lock of a process that has ended is taken over."""

import dataclasses
import fcntl
import json
import os
import subprocess
import sys
import threading

import pytest

from quickstudy.protocol.errors import UsageError
from quickstudy.storage.folder_lock import LOCK, FolderLock, in_use
from quickstudy.storage.process_identity import ProcessIdentity, is_running, start_time

HOLDER = """
import sys, pathlib
from quickstudy.storage.folder_lock import FolderLock
lock = FolderLock.take(pathlib.Path(sys.argv[1]))
print("taken", flush=True)
sys.stdin.read()
"""


def claim(folder, **changes):
    """Writes a lock of this process, but for some fields."""
    fields = dataclasses.asdict(ProcessIdentity.of_this_process()) | {"since": "noon"} | changes
    (folder / LOCK).write_text(json.dumps(fields))


@pytest.fixture
def dead():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_lock_is_released(tmp_path):
    lock = FolderLock.take(tmp_path)
    held = json.loads((tmp_path / LOCK).read_text())
    assert held["process"] == os.getpid()
    assert held["started"] == start_time(os.getpid())
    with pytest.raises(UsageError, match=f"in use: process {os.getpid()} on the host {held['host']} has run there since 2"):
        FolderLock.take(tmp_path)
    lock.release()
    assert not list(tmp_path.iterdir())
    FolderLock.take(tmp_path).release()


def test_another_process_is_refused_by_name_until_it_is_killed(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "taken\n"
        with pytest.raises(UsageError) as refused:
            FolderLock.take(tmp_path)
        assert f"process {holder.pid} on the host" in str(refused.value)
        assert "\n" not in str(refused.value)
    finally:
        holder.kill()
        holder.communicate()
    assert (tmp_path / LOCK).exists()
    FolderLock.take(tmp_path).release()


def test_the_lock_of_a_process_that_has_ended_is_taken_over(tmp_path, dead):
    claim(tmp_path, process=dead)
    FolderLock.take(tmp_path).release()


def test_a_process_that_has_ended_but_was_not_waited_for_has_ended(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    started = start_time(process.pid)
    process.stdout.read()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_running(process.pid)
    claim(tmp_path, process=process.pid, started=started)
    FolderLock.take(tmp_path).release()
    process.wait()
    process.stdout.close()


def test_a_number_that_was_used_again_is_recognised_by_its_start_time(tmp_path):
    parent = os.getppid()
    assert is_running(parent, started=start_time(parent))
    claim(tmp_path, process=parent, started="1")
    FolderLock.take(tmp_path).release()
    claim(tmp_path, process=parent, started=start_time(parent))
    with pytest.raises(UsageError, match=f"process {parent} on"):
        FolderLock.take(tmp_path)


def test_on_another_host_the_message_says_how_to_remove_the_lock(tmp_path):
    claim(tmp_path, host="far-away", boot="another", process=7)
    with pytest.raises(UsageError, match=f"process 7 on the host far-away.*remove the file {tmp_path}/{LOCK}"):
        FolderLock.take(tmp_path)


@pytest.mark.parametrize("elsewhere", [{"namespace": "pid:[1]"}, {"host": "container"}, {"boot": "an earlier start"}])
def test_in_another_container_or_before_a_restart_the_systems_lock_decides(tmp_path, elsewhere):
    claim(tmp_path, **elsewhere)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(UsageError, match="in use: process"):
        FolderLock.take(tmp_path)
    os.close(handle)
    FolderLock.take(tmp_path).release()


def test_a_forked_child_that_outlives_a_killed_run_keeps_nobody_out(tmp_path, dead):
    handle = os.open(tmp_path, os.O_RDONLY)  # as the child has inherited it
    fcntl.flock(handle, fcntl.LOCK_EX)
    claim(tmp_path, process=dead)
    FolderLock.take(tmp_path).release()
    os.close(handle)


@pytest.mark.parametrize("content", ["", "\0" * 100, "{", "[]", '{"process": "x", "host": "y"}', '{"process": 1, "host": 2}'])
def test_a_lock_that_a_power_cut_has_destroyed_is_taken_over(tmp_path, content):
    (tmp_path / LOCK).write_text(content)
    FolderLock.take(tmp_path).release()


def test_a_process_that_is_about_to_write_its_name_is_waited_for(tmp_path):
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    writer = threading.Timer(0.2, claim, (tmp_path,))
    writer.start()
    with pytest.raises(UsageError, match=f"process {os.getpid()} on the host"):
        FolderLock.take(tmp_path)
    writer.join()
    os.close(handle)


def test_a_lock_that_somebody_else_took_is_not_removed(tmp_path):
    lock = FolderLock.take(tmp_path)
    claim(tmp_path, process=1)
    lock.release()
    assert json.loads((tmp_path / LOCK).read_text())["process"] == 1


def test_where_the_disk_has_no_locks_the_file_alone_decides(tmp_path, monkeypatch, dead):
    def not_supported(*arguments):
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", not_supported)
    claim(tmp_path, process=dead)
    lock = FolderLock.take(tmp_path)
    with pytest.raises(UsageError, match=f"process {os.getpid()} on"):
        FolderLock.take(tmp_path)
    lock.release()


def test_whether_a_run_is_under_way_is_seen_without_a_lock(tmp_path):
    assert in_use(tmp_path) is False
    lock = FolderLock.take(tmp_path)
    assert in_use(tmp_path) is True
    lock.release()
    assert in_use(tmp_path) is False
    claim(tmp_path, process=2**22 + 1)  # no process has such a number
    assert in_use(tmp_path) is False
    claim(tmp_path, host="elsewhere")
    assert in_use(tmp_path) is None
