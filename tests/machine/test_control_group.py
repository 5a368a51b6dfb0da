from __future__ import annotations

import pytest

from usrn_keras.machine.control_group import ControlGroup

GIB = 2**30


@pytest.fixture
def group(tmp_path):
    """Makes a group from the line that names it and from files of the hierarchy."""

    def make(line: str, files: dict[str, str]) -> ControlGroup:
        membership = tmp_path / "cgroup"
        membership.write_text(f"{line}\n")
        for name, text in files.items():
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")
        return ControlGroup(tmp_path / "root", membership)

    return make


def test_without_groups_there_is_no_limit(tmp_path):
    found = ControlGroup(tmp_path / "nothing", tmp_path / "nowhere")
    assert (found.cores(), found.memory(), found.free_memory()) == (None, None, None)


def test_version_2_in_a_container(group):
    found = group(
        "0::/",
        {
            "cpu.max": "150000 100000",
            "memory.max": str(4 * GIB),
            "memory.current": str(3 * GIB),
            "memory.stat": f"anon 5\ninactive_file {GIB}",
        },
    )
    assert found.cores() == 1.5
    assert found.memory() == 4 * GIB
    assert found.free_memory() == 2 * GIB  # 1 left, and 1 of files that can be dropped


def test_a_limit_of_a_group_above_holds_too(group):
    """As a job of a scheduler has it: the step has no limit of its own."""
    found = group(
        "0::/slurm/job_7/step_0",
        {
            "slurm/job_7/step_0/cpu.max": "max 100000",
            "slurm/job_7/step_0/memory.max": "max",
            "slurm/job_7/step_0/memory.current": "1000",
            "slurm/job_7/cpu.max": "800000 100000",
            "slurm/job_7/memory.max": "5000",
            "slurm/job_7/memory.current": "6000",
            "slurm/job_7/memory.stat": "anon 1",
        },
    )
    assert found.cores() == 8
    assert found.memory() == 5000
    assert found.free_memory() == 0


def test_version_1_where_the_container_does_not_see_its_own_path(group):
    found = group(
        "4:cpu,cpuacct:/docker/abc\n5:memory:/docker/abc",
        {
            "cpu/cpu.cfs_quota_us": "200000",
            "cpu/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": "9000",
            "memory/memory.usage_in_bytes": "4000",
            "memory/memory.stat": "total_inactive_file 500",
        },
    )
    assert found.cores() == 2
    assert (found.memory(), found.free_memory()) == (9000, 5500)


def test_what_version_1_writes_where_there_is_no_limit(group):
    found = group(
        "4:cpu:/\n5:memory:/",
        {
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/cpu.cfs_period_us": "100000",
            "memory/memory.limit_in_bytes": "9223372036854771712",
            "memory/memory.usage_in_bytes": "4000",
            "memory/memory.stat": "total_rss 1",
        },
    )
    assert (found.cores(), found.memory(), found.free_memory()) == (None, None, None)
