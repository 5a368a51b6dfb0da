from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from usrn_keras.budget import room
from usrn_keras.budget.room import free_memory, peak_memory, process_memory

LIMITED = """
from usrn_keras.budget.room import free_memory
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))
print(free_memory())
"""


def test_this_process_holds_less_than_its_peak_and_more_than_its_array():
    held = process_memory()
    array = bytearray(os.urandom(2**20) * 100)
    assert process_memory() - held > 90 * 2**20
    assert process_memory() <= peak_memory() + 2**24
    assert len(array) == 100 * 2**20


def test_what_the_machine_does_not_tell(monkeypatch):
    monkeypatch.setattr(room, "free_of_machine", lambda: None)
    assert free_memory() is None
    monkeypatch.setattr(room, "free_of_machine", lambda: 1000)
    assert free_memory() == 1000


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="no limit of addresses here")
def test_the_limit_of_a_process():
    done = subprocess.run([sys.executable, "-c", LIMITED], stdout=subprocess.PIPE, text=True, check=True)
    assert 0 < int(done.stdout) < 2**29
