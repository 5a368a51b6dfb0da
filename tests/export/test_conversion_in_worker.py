from __future__ import annotations

import keras
import pytest

from usrn_keras.errors import ExportError
from usrn_keras.export import conversion as module
from usrn_keras.export.conversion import convert_in_worker, reason_for_worker
from usrn_keras.export.parity import Parity
from usrn_keras.worker import Worker


def child(monkeypatch, tmp_path, function: str) -> None:
    """Let the worker run another function, given as its lines, in place of the conversion."""
    code = f"from usrn_keras.errors import ExportError\nimport os, sys\ndef run(order, send):\n    {function}"
    (tmp_path / "replacement.py").write_text(code)

    def start(target, order, environment):
        return Worker("replacement:run", order, {**environment, "PYTHONPATH": str(tmp_path)})

    monkeypatch.setattr(module, "Worker", start)


def convert(network, folder):
    return convert_in_worker(network, folder / "model.pb", "litert", None, 1e-3, "tensorflow")


def test_result_of_the_worker(monkeypatch, network, tmp_path):
    child(
        monkeypatch,
        tmp_path,
        "return dict(max_abs_difference=1, relative_difference=len(order['format']), argmax_agreement=3)",
    )
    assert convert(network, tmp_path) == Parity(1, 6, 3)


def test_error_of_the_worker(monkeypatch, network, tmp_path):
    child(monkeypatch, tmp_path, "raise ExportError('too far', errors=['a', 'b'], hint='do this')")
    with pytest.raises(ExportError, match="too far") as caught:
        convert(network, tmp_path)
    assert (caught.value.errors, caught.value.hint) == (("a", "b"), "do this")


def test_worker_that_is_killed_shows_its_last_line(monkeypatch, network, tmp_path):
    child(
        monkeypatch,
        tmp_path,
        "print('one\\nout of memory\\n', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)",
    )
    with pytest.raises(ExportError, match="code -9") as caught:
        convert(network, tmp_path)
    assert caught.value.errors == ("out of memory",)
    assert "KERAS_BACKEND=tensorflow" in caught.value.hint


def test_worker_computes_on_the_cpu_with_the_backend(monkeypatch, network, tmp_path):
    child(
        monkeypatch,
        tmp_path,
        "raise ExportError(' '.join(map(os.environ.get, ('KERAS_BACKEND', 'CUDA_VISIBLE_DEVICES'))))",
    )
    with pytest.raises(ExportError, match=r"^tensorflow -1$"):
        convert(network, tmp_path)


def test_the_capable_backend_converts_here_on_the_cpu(monkeypatch):
    monkeypatch.setattr(module, "is_on_accelerator", lambda: False)
    assert reason_for_worker(keras.backend.backend(), "onnx") == ""


def test_an_accelerator_is_left_for_the_cpu(monkeypatch):
    monkeypatch.setattr(module, "is_on_accelerator", lambda: True)
    assert "on the CPU" in reason_for_worker(keras.backend.backend(), "onnx")
