from __future__ import annotations

import subprocess

import pytest

from usrn_keras.errors import ExportError
from usrn_keras.export import elsewhere
from usrn_keras.export.parity import Parity


@pytest.fixture
def child(monkeypatch):
    """Replace the subprocess; returns a function that says how it ends."""

    def child(result: str | None, *, code: int = 0, stderr: str = ""):
        def run(request, backend):
            if result is not None:
                (request.parent / "result.json").write_text(result)
            return subprocess.CompletedProcess([], code, "", stderr)

        monkeypatch.setattr(elsewhere, "_run", run)

    return child


def convert(network, folder):
    return elsewhere.convert_elsewhere(network, folder / "model.pb", "litert", None, 1e-3, "tensorflow")


def test_parity_of_the_subprocess(child, network, tmp_path):
    child('{"max_abs_difference": 1, "relative_difference": 2, "argmax_agreement": 3}')
    assert convert(network, tmp_path) == Parity(1, 2, 3)


def test_error_of_the_subprocess(child, network, tmp_path):
    child('{"error": "too far", "faults": ["a", "b"], "hint": "do this"}')
    with pytest.raises(ExportError, match="too far") as caught:
        convert(network, tmp_path)
    assert (caught.value.faults, caught.value.hint) == (("a", "b"), "do this")


def test_a_subprocess_that_dies_shows_its_last_words(child, network, tmp_path):
    child(None, code=-9, stderr="one\nout of memory\n")
    with pytest.raises(ExportError, match="code -9") as caught:
        convert(network, tmp_path)
    assert caught.value.faults == ("out of memory",)
    assert "KERAS_BACKEND=tensorflow" in caught.value.hint


def test_the_capable_backend_stays_here_on_the_cpu(monkeypatch):
    monkeypatch.setattr(elsewhere, "on_accelerator", lambda: False)
    assert elsewhere.why_elsewhere(elsewhere.keras.backend.backend(), "onnx") == ""


def test_an_accelerator_is_left_for_the_cpu(monkeypatch):
    monkeypatch.setattr(elsewhere, "on_accelerator", lambda: True)
    assert "on the CPU" in elsewhere.why_elsewhere(elsewhere.keras.backend.backend(), "onnx")
