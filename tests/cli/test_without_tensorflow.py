"""Everything but what needs TensorFlow works in an environment that has neither TensorFlow nor keras-cv."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

import usrn_cli
import usrn_keras
import usrn_recipes
from tests.conftest import make_recipe

ABSENT = ("tensorflow", "keras_cv")
PACKAGES = (usrn_keras, usrn_cli, usrn_recipes)
SCRIPT = """
import json, sys
from click.testing import CliRunner
from usrn_cli.main import main

done = []
for words in json.loads(sys.argv[1]):
    result = CliRunner().invoke(main, words)
    done.append([result.exit_code, result.output])
print(json.dumps(done))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """Python of an environment with the packages of this one, but without TensorFlow and keras-cv."""
    folder = tmp_path_factory.mktemp("without_tensorflow") / "venv"
    venv.create(folder, symlinks=True)
    here = Path(sysconfig.get_path("purelib"))
    there = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    own = {package.__name__ for package in PACKAGES}
    for entry in here.iterdir():
        if not entry.name.startswith(ABSENT) and entry.suffix != ".pth" and entry.name not in own:
            (there / entry.name).symlink_to(entry)
    for package in PACKAGES:
        (there / package.__name__).symlink_to(Path(package.__file__).parent)
    return folder / "bin/python"


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_verbs_work_from_training_to_export(backend, python, tmp_path):
    recipe, run = make_recipe(tmp_path), tmp_path / "run"
    photo = tmp_path / "data/images/0.png"
    verbs = [
        ["--help"],
        ["doctor", "--json"],
        ["fit", recipe, "--run", run, "--set", "training.baseline_steps=2", "--set", "training.usrn_steps=2"],
        ["evaluate", run],
        ["predict", run, photo, "--out", tmp_path / "out"],
        ["report", run],
        *[["export", run, "--format", "torch", "--size", "32x32"]] * (backend == "torch"),
    ]
    done = invoke(python, backend, verbs)
    for words, (code, output) in zip(verbs, done, strict=True):
        assert code == 0, (words, output)
    assert '"tensorflow"' in done[1][1] and "not installed" in done[1][1]


def test_what_needs_tensorflow_says_so(python, tmp_path):
    recipe = make_recipe(tmp_path)
    wanted = ["--run", tmp_path / "run", "--set", "network.backbone=keras_cv/resnet18"]
    ((code, output),) = invoke(python, "torch", [["fit", recipe, *wanted]])
    assert code == 7 and "keras-cv" in output and "pip install" in output


def invoke(python: Path, backend: str, verbs: list[list[object]]) -> list[tuple[int, str]]:
    """Exit code and output of each call of `usrn`, all in one process."""
    words = json.dumps([[str(word) for word in verb] for verb in verbs])
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", SCRIPT, words], capture_output=True, text=True,
        env=environment | {"KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_environment_lacks_them(python):
    code = "import importlib.util as i; print(i.find_spec('tensorflow'), i.find_spec('keras_cv'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, env={})
    assert done.stdout == "None None\n" and sys.executable != str(python)
