from __future__ import annotations

import pytest

from usrn_keras.machine.control_group import ControlGroup
from usrn_keras.machine.memory import free_memory, total_memory


@pytest.fixture
def meminfo(tmp_path):
    path = tmp_path / "meminfo"
    path.write_text("MemTotal:       8000 kB\nMemFree:        1000 kB\nMemAvailable:   5000 kB\n")
    return path


@pytest.fixture
def no_group(tmp_path):
    return ControlGroup(tmp_path, tmp_path / "none")


def test_of_the_machine(meminfo, no_group):
    assert total_memory(no_group, meminfo) == 8000 * 1024
    assert free_memory(no_group, meminfo) == 5000 * 1024


def test_the_container_has_less(meminfo, tmp_path):
    (tmp_path / "cgroup").write_text("0::/\n")
    for name, text in {"memory.max": "3000000", "memory.current": "1000000", "memory.stat": ""}.items():
        (tmp_path / name).write_text(text)
    group = ControlGroup(tmp_path, tmp_path / "cgroup")
    assert total_memory(group, meminfo) == 3_000_000
    assert free_memory(group, meminfo) == 2_000_000


def test_where_the_system_has_no_such_file_half_is_taken_to_be_free(no_group, tmp_path):
    total = total_memory(no_group, tmp_path / "none")
    assert total > 2**26
    assert free_memory(no_group, tmp_path / "none") == total // 2


def test_this_machine():
    assert 2**26 < free_memory() <= total_memory()
