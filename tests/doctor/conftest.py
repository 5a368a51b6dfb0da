"""What is examined where nothing real is: fake backends, no GPU."""

from __future__ import annotations

import pytest

from tests.doctor.fakes import write_fakes
from usrn_keras.machine import nvidia


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """Makes the processes of the doctor load fake backends; torch is chosen, and the machine has no GPU."""

    def make(gpus: int = 0, **texts: str) -> None:
        monkeypatch.setenv("PYTHONPATH", str(write_fakes(tmp_path / "fakes", gpus, **texts)))
        monkeypatch.setenv("KERAS_BACKEND", "torch")
        monkeypatch.setattr(nvidia, "DEVICE_FILES", ())

    return make
