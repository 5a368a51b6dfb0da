from __future__ import annotations

import os

import pytest

from usrn_keras.machine.control_group import ControlGroup
from usrn_keras.machine.cores import Cores, look_at_cores


@pytest.mark.parametrize(
    ("allowed", "quota", "usable"), [(8, None, 8), (8, 2.0, 2), (8, 1.5, 1), (2, 6.0, 2), (4, 0.5, 1)]
)
def test_affinity_and_the_container_both_limit(allowed, quota, usable):
    assert Cores(present=8, allowed=allowed, quota=quota).usable == usable


def test_these_cores():
    found = look_at_cores()
    assert 1 <= found.usable <= found.allowed <= found.present == os.cpu_count()
    assert found.load is None or found.load >= 0


@pytest.mark.parametrize(
    ("text", "name", "bfloat16"),
    [
        ("model name\t: Some CPU\nflags\t\t: sse avx512_bf16\n\nmodel name\t: other", "Some CPU", True),
        ("model name\t: Old CPU\nflags\t\t: sse avx2\n", "Old CPU", False),
        ("processor\t: 0\nFeatures\t: fp asimd bf16\n", "", True),
        ("", "", False),
    ],
)
def test_what_the_system_tells_of_the_processor(tmp_path, text, name, bfloat16):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(text)
    found = look_at_cores(ControlGroup(tmp_path, tmp_path / "none"), cpuinfo)
    assert (found.name, found.bfloat16, found.quota) == (name, bfloat16, None)


def test_a_system_that_tells_nothing(tmp_path):
    assert look_at_cores(cpuinfo=tmp_path / "none").name == ""
