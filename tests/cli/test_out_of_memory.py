"""Memory that runs out is exit code 11 in every command, under a limit of the system and in any library."""

from __future__ import annotations

import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from tests.tools import ROOT, tiny_branches
from usrn_cli.main import main
from usrn_keras.data.decoding import decode
from usrn_keras.errors import DataError, ExportError, OutOfMemoryError
from usrn_keras.export.conversion import explained
from usrn_keras.memory_errors import ran_out_of_memory
from usrn_keras.networks import saved_segmenter
from usrn_keras.worker import WorkerError

LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from click.testing import CliRunner
from tests.tools import tiny_branches
from usrn_cli.main import main
from usrn_keras.evaluation import Predictor, memory_needed, predict, prediction_jobs

predictor = Predictor(tiny_branches(decoder="pspnet")[0].segmenter())  # cannot be computed in tiles
predictor.ids(np.zeros((64, 64, 3), np.uint8))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 256 * 2**20,) * 2)
predict.open_run = lambda path: None
predict.run_predictor = lambda run, mode: predictor
predict.rendering_of = lambda run, max_side: prediction_jobs.Rendering(np.zeros((2, 3), np.uint8))
prediction_jobs.read_image = lambda path, **options: np.zeros((4000, 5000, 3), np.uint8)
Path(sys.argv[1], "a.png").touch()
for memory_needed.ALWAYS_FITS in (2**26, 2**60):  # estimated, and not
    words = ["predict", "run", sys.argv[1], "--out", sys.argv[1] + "-out", "--quiet"]
    result = CliRunner().invoke(main, words)
    print(result.exit_code, result.stderr)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of addresses are those of Linux")
def test_predict_under_a_limit_of_the_system(tmp_path):
    environment = os.environ | {"KERAS_BACKEND": "torch"}
    command = [sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    estimated, failed = done.stdout.split(f"{OutOfMemoryError.exit_code} error: ")[1:]
    assert "a.png: predicting 5000 x 4000 pixels as whole needs at least" in estimated
    assert failed.startswith("memory ran out: ") and "5000 x 4000 pixels" in failed
    assert "internal error" not in done.stdout


def opencv_error() -> cv2.error:
    error = cv2.error("OpenCV(5.0) error: (-4:Insufficient memory) Failed to allocate 3 bytes")
    error.err = "Failed to allocate 3 bytes"
    return error


def test_an_image_that_does_not_fit_is_not_a_damaged_image(monkeypatch):
    def fail(error):
        def imdecode(*args):
            raise error

        monkeypatch.setattr(decode.cv2, "imdecode", imdecode)
        decode.decode("a.png", np.zeros(3, np.uint8), cv2.IMREAD_COLOR)

    with pytest.raises(cv2.error):
        fail(opencv_error())
    damaged = cv2.error("bad header")
    damaged.err = "bad header"
    with pytest.raises(DataError, match="bad header"):
        fail(damaged)


def test_a_data_check_without_memory(recipe_file, monkeypatch):
    def read_image(*args, **options):
        raise MemoryError

    monkeypatch.setattr("usrn_keras.inspection.reading.read_sample_image", read_image)
    result = CliRunner().invoke(main, ["data", "check", str(recipe_file)])
    assert result.exit_code == 11 and "memory ran out" in result.stderr, result.output


def test_a_model_that_does_not_fit_is_not_damaged(tmp_path, monkeypatch):
    file = tmp_path / "model.keras"
    tiny_branches()[0].segmenter().save(file)

    def load_model(*args, **options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(saved_segmenter.keras.models, "load_model", load_model)
    with pytest.raises(OutOfMemoryError, match=r"memory ran out while .*model.keras was loaded"):
        saved_segmenter.load_segmenter(file)


def test_a_converter_without_memory():
    with pytest.raises(RuntimeError), explained("the export failed", None):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
    with pytest.raises(ExportError), explained("the export failed", None):
        raise RuntimeError("an operation is missing")


@pytest.mark.parametrize(
    ("code", "lines", "memory"),
    [(-9, (), True), (1, ("MemoryError",), True), (1, ("ValueError: shapes",), False), (-15, (), False)],
)
def test_a_worker_without_memory(code, lines, memory):
    assert ran_out_of_memory(WorkerError("module:function", code, "", lines)) is memory
