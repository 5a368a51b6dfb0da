from __future__ import annotations

import keras
import pytest

from usrn_keras.backends.device_memory import training_device
from usrn_keras.machine import process_memory, total_memory


def test_a_cpu_has_what_is_available_and_what_the_process_holds():
    found = training_device()
    assert found.backend == keras.backend.backend()
    if found.gpu:
        pytest.skip("the backend trains on a GPU")
    assert process_memory() * 0.9 < found.room <= total_memory() * 1.1
