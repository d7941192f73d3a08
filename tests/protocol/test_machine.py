"""The cores that a process may use, on every system."""

import os

import pytest

from quickstudy.protocol import machine as protocol_machine
from quickstudy.protocol.machine import processor_quota, usable_cores
from quickstudy.rollout.collecting import pool
from quickstudy.rollout.collecting.config import CollectingConfig


def test_cores_that_the_process_is_bound_to_are_counted(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert usable_cores() == 3


@pytest.mark.parametrize(("found", "counted"), [(8, 8), (None, 1)])
def test_macos_and_windows_have_no_affinity_and_count_all_cores(found, counted, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: found)
    assert usable_cores() == counted


@pytest.mark.parametrize(("asked", "started"), [(0, 5), (2, 2)])
def test_without_affinity_there_is_a_worker_for_each_core(asked, started, monkeypatch):
    """Which there was not: a default of one worker on macOS and Windows."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    counts = []
    monkeypatch.setattr(pool, "WorkerPool", lambda distribution, spawn, *, workers: counts.append(workers))
    pool.open_pool(None, CollectingConfig(workers=asked))
    assert counts == [started]


def control_groups(root, *, groups, mounts, files):
    """A system's files under `root`: the process's groups, the mounts, and the files of groups by their paths."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    (root / "proc/self/mountinfo").write_text(mounts)
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)


VERSION_2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
VERSION_1 = "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
OTHER = "32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n1 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
QUOTAS = {
    "container, version 2": ("0::/\n", VERSION_2 + OTHER, {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2.0),
    "no limit, version 2": ("0::/\n", VERSION_2, {"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
    "service in a slice that has less": (
        "0::/jobs.slice/mine.service\n",
        VERSION_2,
        {
            "sys/fs/cgroup/jobs.slice/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/jobs.slice/mine.service/cpu.max": "800000 100000\n",
        },
        1.5,
    ),
    "version 1": (
        "4:memory:/x\n3:cpu,cpuacct:/jobs\n0::/\n",
        VERSION_1 + OTHER,
        {
            "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us": "300000\n",
            "sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        3.0,
    ),
    "container, version 1, that shows its own group as the root": (
        "3:cpu,cpuacct:/docker/abc\n",
        VERSION_1.replace("0:27 / ", "0:27 /docker/abc "),
        {
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        0.5,
    ),
    "no control groups": ("", OTHER, {}, None),
    "damaged": ("0::/\n", VERSION_2, {"sys/fs/cgroup/cpu.max": "much\n"}, None),
}


@pytest.mark.parametrize("case", QUOTAS)
def test_the_quota_of_control_groups_is_read(case, tmp_path):
    groups, mounts, files, quota = QUOTAS[case]
    control_groups(tmp_path, groups=groups, mounts=mounts, files=files)
    assert processor_quota(tmp_path) == quota


def test_systems_without_control_groups_have_no_quota(tmp_path):
    assert processor_quota(tmp_path) is None


@pytest.mark.parametrize(("quota", "counted"), [(None, 64), (2.0, 2), (1.5, 2), (0.2, 1), (100.0, 64)])
def test_the_smaller_of_cores_and_quota_counts(quota, counted, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    monkeypatch.setattr(protocol_machine, "processor_quota", lambda: quota)
    assert usable_cores() == counted
