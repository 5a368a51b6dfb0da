"""Memory that runs out in training."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from tests.tools import ROOT
from usrn_cli.main import main
from usrn_keras.backends import CompiledStep
from usrn_keras.backends.device_memory import TrainingDevice
from usrn_keras.errors import DataError, OutOfMemoryError, USRNError
from usrn_keras.memory_errors import ran_out_of_memory
from usrn_keras.recipe import Recipe, load_recipe
from usrn_keras.stages import memory_advice
from usrn_keras.stages.memory_advice import memory_watched
from usrn_keras.training import loop, read_header

# Addresses for 256 MB more than the process has, and a batch that needs more.
LIMITED = """
import resource, sys
import numpy as np
from tests.networks.tiny_branches import tiny_branches
from usrn_keras.methods import Supervised
from usrn_keras.recipe import Recipe, load_recipe
from usrn_keras.stages.memory_advice import memory_watched
from usrn_keras.optimizers import SGD
from usrn_keras.backends import CompiledStep

model = Supervised(tiny_branches()[0])
optimizer = SGD(0.01)
optimizer.build(model.trainable_variables)
model.compile(optimizer=optimizer)
recipe = load_recipe(sys.argv[1], ["training.batch_labelled=48", "views.crop_size=192"])
step = CompiledStep(model)
batch = {"labelled": np.zeros((48, 192, 192, 3), np.uint8), "labels": np.zeros((48, 192, 192), np.int32)}
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 256 * 2**20,) * 2)
with memory_watched(recipe, "1-baseline", unlabelled=False):
    step(batch)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of addresses are those of Linux")
def test_a_limit_of_the_system_on_torch(recipe_file):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(recipe_file)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    error = done.stderr[done.stderr.index("usrn_keras.errors.OutOfMemoryError: ") :].splitlines()
    assert error[0].endswith("memory ran out: 1-baseline, 48 labelled images of 192 x 192")
    assert error[1].startswith("  - the peak was ") and "; training could use " in error[1]
    assert error[2].startswith("  - RuntimeError: ") and "allocate" in error[2]
    assert error[3].startswith("With more memory free, run the same command again to resume")
    assert "--set training.batch_labelled=24 " in error[3] and "--set training.accumulation=2 " in error[3]


def test_the_checkpoint_stays_and_the_same_command_resumes(recipe_file, tmp_path, monkeypatch):
    """Exit code 11 in the third step; then the run ends as it would have ended."""
    calls = []

    class Greedy(CompiledStep):
        def __call__(self, batch):
            calls.append(len(batch["labelled"]))
            if len(calls) == 3:
                raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
            return super().__call__(batch)

    monkeypatch.setattr(loop, "CompiledStep", Greedy)
    command = ["fit", str(recipe_file), "--run", str(tmp_path / "run")]
    clock = iter(range(10**6))  # every step takes a second or more, so each leaves a checkpoint
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(2 * next(clock)))
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 11
    assert "error: memory ran out: 1-baseline, 2 labelled images of 32 x 32" in result.stderr
    assert "run the same command again to resume" in result.stderr
    assert read_header(tmp_path / "run/1-baseline/checkpoint.npz")["step"] == 2
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.stderr
    assert len(calls) == 3 + 2 + 4  # two were done of the four of the Baseline; four of USRN


def error_of(recipe: Recipe, error: Exception | None = None) -> OutOfMemoryError:
    with pytest.raises(OutOfMemoryError) as caught, memory_watched(recipe, "3-usrn", unlabelled=True):
        raise error or MemoryError
    return caught.value


def test_figures_and_advice(recipe_file, monkeypatch):
    monkeypatch.setattr(memory_advice, "training_device", lambda: TrainingDevice("torch", True, 3 * 10**9))
    batches = ["training.batch_labelled=8", "training.batch_unlabelled=4", "training.accumulation=2"]
    error = error_of(load_recipe(str(recipe_file), batches))
    assert error.message == "memory ran out: 3-usrn, 8 labelled and 4 unlabelled images of 32 x 32"
    assert error.errors[0].endswith("GB when it ran out; training could use 3.00 GB when it began")
    assert (
        "--set training.batch_labelled=4 --set training.batch_unlabelled=2 --set training.accumulation=4 "
        "--set training.baseline_steps=8 --set training.usrn_steps=8 --run FOLDER" in error.hint
    )


def test_the_smallest_batch_leaves_smaller_crops(recipe_file):
    error = error_of(load_recipe(str(recipe_file), ["views.crop_size=96"]))
    assert "a smaller step: --set views.crop_size=64 --run FOLDER" in error.hint


def test_a_device_of_unknown_memory(recipe_file, monkeypatch):
    monkeypatch.setattr(memory_advice, "training_device", lambda: TrainingDevice("tensorflow", True, None))
    assert error_of(load_recipe(str(recipe_file))).errors[0].endswith(" when it ran out")


def made_error(name: str, base: type[Exception], text: str) -> Exception:
    """An error as a backend would raise it, without the backend."""
    return type(name, (base,), {})(text)


SAID = [
    made_error("RuntimeError_", RuntimeError, "[alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    made_error("OutOfMemoryError", RuntimeError, "CUDA out of memory. Tried to allocate 20.00 GiB"),
    made_error("JaxRuntimeError", RuntimeError, "RESOURCE_EXHAUSTED: Out of memory allocating 85899 bytes"),
    made_error("ResourceExhaustedError", Exception, "OOM when allocating tensor with shape[8,720,720,177]"),
    made_error("InternalError", Exception, "RESOURCE_EXHAUSTED: Failed to allocate request for 5.00GiB"),
    MemoryError(),
    np._core._exceptions._ArrayMemoryError((2**40,), np.dtype("float32")),
]  # fmt: skip


@pytest.mark.parametrize("error", SAID, ids=lambda error: type(error).__name__)
def test_the_errors_of_each_backend_are_recognised(recipe_file, error):
    found = error_of(load_recipe(str(recipe_file)), error)
    assert found.message == "memory ran out: 3-usrn, 2 labelled and 2 unlabelled images of 32 x 32"
    _, theirs = found.errors
    assert theirs.startswith(type(error).__name__) and len(theirs) < 320
    assert found.__cause__ is error and found.exit_code == 11


@pytest.mark.parametrize(
    "error",
    [
        ValueError("shapes (2, 3) and (4,) do not fit"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        DataError("RESOURCE_EXHAUSTED.png is no image"),
        OutOfMemoryError("memory ran out"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_errors_stay_as_they_are(recipe_file, error):
    recipe = load_recipe(str(recipe_file))
    with pytest.raises(type(error)) as caught, memory_watched(recipe, "3-usrn", unlabelled=True):
        raise error
    assert caught.value is error


def test_every_error_has_an_exit_code_of_its_own():
    codes = [kind.exit_code for kind in USRNError.__subclasses__()]
    assert len(set(codes)) == len(codes)
    assert not ran_out_of_memory(USRNError("out of memory"))


def test_the_line_about_memory_is_found_in_what_keras_writes_around_it(recipe_file):
    text = "Exception encountered when calling call().\n\n\x1b[1mCUDA out of memory. Tried\x1b[0m\n\nArg"
    found = error_of(load_recipe(str(recipe_file)), RuntimeError(text))
    assert found.errors[1] == "RuntimeError: CUDA out of memory. Tried"
