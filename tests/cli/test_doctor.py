"""`usrn doctor`: text and JSON, exit codes, a GPU that is not used, nothing left behind; fake backends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.doctor.fakes import KERAS, write_fakes
from usrn_cli.main import main
from usrn_keras import machine
from usrn_keras.doctor import examination, installation, resources

FINDING = {"name", "level", "message", "advice", "lines"}
SECTIONS = {
    "versions": {"usrn_keras", "python", "system", "packages", "broken"},
    "backend": {"chosen", "source", "works", "backends"},
    "gpu": {"hardware", "fault", "gpus", "used"},
    "precision": {"convolution_flops", "bfloat16_gain", "recommended"},
    "machine": {"present", "load", "name", "usable", "threads", "memory", "free_memory"},
    "pipeline": {"source", "images_per_second", "workers", "batch", "training"},
    "disk": {"runs"},
}
BACKEND = {"installed", "version", "loads", "error", "seconds", "devices"}


def quick(monkeypatch):
    """Let torch be chosen and alone, and everything be timed for a moment only."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "DEVICE_FILES", ())
    monkeypatch.setattr(machine, "PCI_DEVICES", Path("/nowhere"))
    monkeypatch.setattr(examination, "is_installed", lambda name: name == "torch")
    monkeypatch.setattr(examination, "TIMED_SECONDS", 0.02)
    monkeypatch.setattr(examination, "SAMPLE_IMAGES", (2, 128, 256))
    monkeypatch.setattr(installation, "MODULES", {"numpy": "numpy"})
    monkeypatch.setattr(resources, "WRITTEN", resources.CHUNK)


@pytest.fixture
def doctor(tmp_path, monkeypatch):
    """Runs the verb in an empty folder, where torch is chosen, a fake, alone, and there is no GPU."""
    monkeypatch.setenv("PYTHONPATH", str(write_fakes(tmp_path / "fakes")))
    quick(monkeypatch)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return lambda *arguments: CliRunner().invoke(main, ["doctor", *map(str, arguments)])


def fake_tool(folder, monkeypatch, line):
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{line}\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_text_ends_with_suggested_changes_and_the_next_commands(doctor, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "99999")
    result = doctor()
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    titles = [line for line in lines if not line.startswith(" ")]
    expected = ["versions", "backend", "GPU", "precision", "cores and memory", "input pipeline", "disk"]
    assert titles[:7] == expected and titles[-2:] == ["suggested changes", "next"]
    assert "  torch (KERAS_BACKEND); KERAS_BACKEND=NAME usrn ... selects another" in lines
    change = lines[lines.index("suggested changes") :]
    assert any(line.strip().startswith("-> export OMP_NUM_THREADS=") for line in change)
    assert "loading backends 1/1" in result.stderr
    assert "timing the input pipeline" in result.stderr
    assert list((tmp_path / "here").iterdir()) == []


def test_json_is_whole(doctor, monkeypatch):
    monkeypatch.setattr(examination, "is_installed", lambda name: True)
    result = doctor("--json", "--quiet")
    values = json.loads(result.stdout)
    assert result.stderr == "" and result.exit_code == values["exit_code"] == 0
    assert set(values) == {*SECTIONS, "findings", "trains", "exit_code", "next", "seconds"}
    for section, keys in SECTIONS.items():
        assert set(values[section]) == keys, section
    assert all(set(finding) == FINDING for finding in values["findings"])
    assert {name: set(its) for name, its in values["backend"]["backends"].items()} == dict.fromkeys(
        ("tensorflow", "jax", "torch"), BACKEND
    )
    assert values["precision"]["bfloat16_gain"] == pytest.approx(2, rel=0.4)
    assert values["pipeline"]["images_per_second"] > 1


def test_of_a_recipe(recipe_file, tmp_path, monkeypatch):
    """With the real backend."""
    quick(monkeypatch)
    run = tmp_path / "run"
    command = ["doctor", recipe_file, "--json", "--quiet", "--run", run, "--set", "data.workers=0"]
    result = CliRunner().invoke(main, list(map(str, command)))
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert values["recipe"]["images"]["labelled"] == 3
    assert values["pipeline"]["source"] == f"the images and views of {recipe_file}"
    assert values["pipeline"]["batch"] == [2, 2]
    assert values["pipeline"]["training"]["images_per_second"] == pytest.approx(
        2 / values["pipeline"]["training"]["seconds"]
    )
    assert values["precision"]["bfloat16_gain"] > 0
    assert values["disk"]["runs"]["folder"] == str(run) and not run.exists()
    assert f"usrn fit {recipe_file} --set data.workers=0 --run {run} --dry-run" in values["next"][1]


def test_a_data_set_that_cannot_be_used_is_a_finding_and_its_exit_code(doctor, recipe_file):
    result = doctor(recipe_file, "--quiet", "--set", "data.root=.")
    assert result.exit_code == 4
    assert "the data set cannot be used" in result.stdout and "generated JPEGs" in result.stdout


def test_a_broken_recipe_is_a_finding_and_its_exit_code(doctor):
    result = doctor("quickstart", "--set", "views.crop_size=33", "--set", "training.batch=2", "--quiet")
    assert result.exit_code == 3
    text = result.stdout
    assert "1. BROKEN: " in text and "views.crop_size" in text and "training.batch: unknown key" in text
    assert "next\n  usrn doctor quickstart --set views.crop_size=33 --set" in text
    assert "generated JPEGs" in text  # the rest is examined all the same
    assert result.stderr.startswith("error: training cannot run here: ")


def test_broken_images_are_a_finding(doctor, recipe_file):
    for path in (recipe_file.parent / "data/images").iterdir():
        path.write_bytes(b"")
    result = doctor(recipe_file, "--quiet")
    assert result.exit_code == 4
    assert "1. BROKEN: " in result.stdout and "0.png" in result.stdout


def test_a_step_that_crashes_is_a_finding(doctor, recipe_file):
    """The fake backend has no networks."""
    result = doctor(recipe_file, "--quiet")
    assert result.exit_code == 7
    assert "a training step fails: " in result.stdout and "Traceback" not in result.output


def test_a_step_that_takes_too_long_is_a_note(doctor, recipe_file, tmp_path, monkeypatch):
    slow = "\ndef __getattr__(name): time.sleep(60)\n"  # what building a network asks for
    write_fakes(tmp_path / "fakes", keras=KERAS + slow)
    monkeypatch.setattr(examination, "SECONDS", 6.0)
    result = doctor(recipe_file, "--quiet")
    assert result.exit_code == 0
    assert "a training step took more than 6 seconds and was not timed" in result.stdout


def test_long_lists_are_cut_for_people_alone(doctor, recipe_file):
    (recipe_file.parent / "data/val.txt").write_text("\n".join(f"missing_{n}" for n in range(30)))
    lines = doctor(recipe_file, "--quiet").stdout.splitlines()
    assert sum("missing_" in line for line in lines) == 20 and any("and 10 more" in line for line in lines)
    values = json.loads(doctor(recipe_file, "--quiet", "--json").stdout)
    assert len(values["findings"][0]["lines"]) == 30


def test_a_backend_that_hangs_is_not_waited_for(doctor, tmp_path, monkeypatch):
    write_fakes(tmp_path / "fakes", torch="import time; time.sleep(60)")
    monkeypatch.setattr(examination, "SECONDS", 2.0)
    result = doctor("--quiet")
    assert result.exit_code == 7
    assert "cannot be loaded: it did not finish within 2 seconds" in result.stdout


def test_a_broken_backend_is_a_finding_and_its_exit_code(doctor, tmp_path):
    write_fakes(tmp_path / "fakes", torch="raise ImportError('libtorch.so: cannot open')")
    result = doctor("--quiet")
    assert result.exit_code == 7
    assert ": BROKEN: ImportError: libtorch.so: cannot open" in result.stdout
    assert "-> pip install --force-reinstall torch" in result.stdout
    assert "Traceback" not in result.output


def test_an_unknown_backend(doctor, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    result = doctor("--quiet")
    assert result.exit_code == 7
    assert "BROKEN: unknown Keras backend 'theano' (from KERAS_BACKEND)" in result.stdout


def test_a_gpu_that_the_backend_does_not_see(doctor, tmp_path, monkeypatch):
    fake_tool(tmp_path, monkeypatch, "echo 'NVIDIA H200, 143771, 143000, 9.0, 580.65.06'")
    result = doctor("--quiet")
    assert result.exit_code == 0
    change = result.stdout[result.stdout.index("suggested changes") :]
    assert "an NVIDIA GPU is present (NVIDIA H200), but torch does not find it" in change
    assert "- CUDA initialization: no driver" in change
    assert "-> pip install --force-reinstall torch  (on Linux" in change


def test_a_gpu_that_trains(doctor, tmp_path, monkeypatch, recipe_file):
    write_fakes(tmp_path / "fakes", gpus=1)
    fake_tool(tmp_path, monkeypatch, "echo 'NVIDIA H200, 143771, 143000, 9.0, 580.65.06'")
    result = doctor(recipe_file, "--quiet")
    assert "torch trains on NVIDIA H200" in result.stdout
    assert "-> --set training.precision=mixed_bfloat16" in result.stdout


def test_a_package_that_cannot_be_loaded(doctor, tmp_path):
    (tmp_path / "fakes" / "numpy.py").write_text("raise ImportError('wrong ABI')")
    result = doctor("--quiet")
    assert result.exit_code == 7
    assert "cannot be loaded: ImportError: wrong ABI" in result.stdout
    assert "-> pip install --force-reinstall numpy" in result.stdout
    assert "input pipeline" not in result.stdout  # it needs the package


def test_keys_without_a_recipe_are_a_usage_error(doctor):
    result = doctor("--set", "data.workers=2")
    assert result.exit_code == 2
    assert "name a recipe" in result.stderr


def test_no_control_codes_and_no_backend_in_this_process(doctor):
    """Off a terminal, in a process that has loaded nothing before."""
    code = (
        "import sys; from usrn_keras.doctor import installation; installation.MODULES = {'numpy': 'numpy'};"
        "from usrn_cli.main import main; main(['doctor'], standalone_mode=False);"
        "print(*sys.modules, file=sys.stderr)"
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ["PYTHONPATH"]])
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": path}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert not {"torch", "jax", "tensorflow", "keras"} & set(done.stderr.split())
