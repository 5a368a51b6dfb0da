"""Memory that runs out in training, and a step that is too large before it begins."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from tests.budget.tiny import PARENTS, tiny_branches
from tests.tools import ROOT
from usrn_cli.main import main
from usrn_keras.budget import device
from usrn_keras.errors import OutOfMemoryError
from usrn_keras.methods import USRN
from usrn_keras.recipe import Recipe
from usrn_keras.stages.memory import memory_watched
from usrn_keras.training import loop, read_header
from usrn_keras.training.backend import CompiledStep

# Addresses for 256 MB more than the process has, and a batch that needs more.
LIMITED = """
import resource, sys
import numpy as np
from tests.budget.tiny import tiny_branches
from usrn_keras.methods import Supervised
from usrn_keras.recipe import Recipe
from usrn_keras.stages.memory import memory_watched
from usrn_keras.training import SGD
from usrn_keras.training.backend import CompiledStep

model = Supervised(tiny_branches()[0])
optimizer = SGD(0.01)
optimizer.build(model.trainable_variables)
model.compile(optimizer=optimizer)
recipe = Recipe.load(sys.argv[1], ["training.batch_labelled=48", "views.crop_size=192"])
step = CompiledStep(model)
batch = {"labelled": np.zeros((48, 192, 192, 3), np.uint8), "labels": np.zeros((48, 192, 192), np.int32)}
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 256 * 2**20,) * 2)
with memory_watched(recipe, "1-baseline", model, print):
    step(batch)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of addresses are those of Linux")
def test_a_limit_of_the_system_on_torch(recipe_file):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(recipe_file)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    warning = done.stdout.splitlines()[-1]
    assert warning.startswith("1-baseline, 48 labelled images of 192 x 192: a step needs about")
    assert "--set training.batch_labelled=" in warning
    error = done.stderr[done.stderr.index("usrn_keras.errors.OutOfMemoryError: ") :].splitlines()
    assert error[0].endswith("memory ran out: 1-baseline, 48 labelled images of 192 x 192")
    assert error[1].startswith("  - a step needs about ") and "there were" in error[1]
    assert error[2].startswith("  - RuntimeError: ") and "allocate" in error[2]
    assert error[3].startswith("With more memory free, the same command goes on: ")
    assert "--set training.accumulation=" in error[3]


def test_the_checkpoint_stays_and_the_same_command_goes_on(recipe_file, tmp_path, monkeypatch):
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
    assert "the same command goes on" in result.stderr
    assert read_header(tmp_path / "run/1-baseline/checkpoint.npz")["step"] == 2
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.stderr
    assert len(calls) == 3 + 2 + 4  # two were done of the four of the Baseline; four of USRN


@pytest.fixture
def model():
    return USRN(*tiny_branches(), PARENTS)


def test_a_step_that_fits_is_not_spoken_of(model, recipe_file):
    said = []
    with memory_watched(Recipe.load(str(recipe_file)), "3-usrn", model, said.append):
        pass
    assert said == []


def test_a_step_that_does_not_fit_is_tried_all_the_same(model, recipe_file, monkeypatch):
    monkeypatch.setattr(device, "free_memory", lambda: 1000)
    said = []
    with (
        pytest.raises(OutOfMemoryError) as caught,
        memory_watched(Recipe.load(str(recipe_file)), "3-usrn", model, said.append),
    ):
        raise MemoryError
    (line,) = said
    assert line.startswith(
        "3-usrn, 2 labelled and 2 unlabelled images of 32 x 32 and 7 subclasses: a step needs"
    )
    assert caught.value.message.endswith("32 x 32 and 7 subclasses")
    assert "No smaller step is known to fit" in line


def test_where_the_system_does_not_tell(model, recipe_file, monkeypatch):
    monkeypatch.setattr(device, "free_memory", lambda: None)
    with (
        pytest.raises(OutOfMemoryError) as caught,
        memory_watched(Recipe.load(str(recipe_file)), "3-usrn", model, print),
    ):
        raise MemoryError
    assert "there were" not in caught.value.faults[0]
