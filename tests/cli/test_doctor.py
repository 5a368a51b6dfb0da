"""`usrn doctor`: text and JSON, exit codes, a GPU that is not used, nothing left behind; fake backends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from tests.doctor.fakes import write_fakes
from usrn_cli import output
from usrn_cli.main import main
from usrn_keras import machine
from usrn_keras.doctor import doctor_checks

FINDING = {"name", "level", "message", "advice", "lines"}
SECTIONS = {
    "versions": {"usrn-keras", "Python", "system", "packages"},
    "backend": {"chosen", "chosen_by", "tensorflow", "jax", "torch"},
    "gpu": {"nvidia", "trains_on"},
    "machine": {"processor", "usable_cores", "threads", "memory_GiB", "free_memory_GiB"},
    "disk": {"run_folder", "free_GiB"},
}


def quick(monkeypatch):
    """Let torch be chosen and alone, and everything be timed for a moment only."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "DEVICE_FILES", ())
    monkeypatch.setattr(machine, "PCI_DEVICES", Path("/nowhere"))
    monkeypatch.setattr(doctor_checks, "is_installed", lambda name: name == "torch")
    monkeypatch.setattr(doctor_checks, "TIMED_SECONDS", 0.02)
    monkeypatch.setattr(doctor_checks, "MODULES", {"numpy": "numpy"})


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
    expected = ["versions", "backend", "gpu", "machine", "disk"]
    assert titles == [*expected, "notes: none", "suggested changes", "next"]
    assert "  chosen by                 KERAS_BACKEND" in lines
    assert "  threads                   OMP_NUM_THREADS 99999" in lines
    change = lines[lines.index("suggested changes") :]
    assert any(line.strip().startswith("-> export OMP_NUM_THREADS=") for line in change)
    assert "loading backends 1/1" in result.stderr
    assert list((tmp_path / "here").iterdir()) == []


def test_json_is_whole(doctor, monkeypatch):
    monkeypatch.setattr(doctor_checks, "is_installed", lambda name: True)
    result = doctor("--json", "--quiet")
    values = json.loads(result.stdout)
    assert result.stderr == "" and result.exit_code == values["exit_code"] == 0
    assert set(values) == {*SECTIONS, "findings", "trains", "exit_code", "next", "seconds"}
    assert {section: set(values[section]) for section in SECTIONS} == SECTIONS
    assert all(set(finding) == FINDING for finding in values["findings"])
    assert all("works on CPU" in values["backend"][name] for name in ("tensorflow", "jax", "torch"))


def test_of_a_recipe(recipe_file, tmp_path, monkeypatch):
    """With the real backend."""
    quick(monkeypatch)
    run = tmp_path / "run"
    command = ["doctor", recipe_file, "--json", "--quiet", "--run", run, "--set", "data.workers=0"]
    result = CliRunner().invoke(main, list(map(str, command)))
    assert result.exit_code == 0, result.output
    values = json.loads(result.stdout)
    assert values["recipe"]["labelled_images"] == 3 and values["recipe"]["loader_workers"] == 0
    assert values["recipe"]["step_images_per_second"] > 1
    assert values["disk"]["run_folder"] == str(run) and not run.exists()
    assert f"usrn fit {recipe_file} --set data.workers=0 --run {run} --dry-run" in values["next"][1]


def test_a_data_set_that_cannot_be_used_is_a_finding_and_its_exit_code(doctor, recipe_file):
    result = doctor(recipe_file, "--quiet", "--set", "data.root=.")
    assert result.exit_code == 4
    assert "cannot be used" in result.stdout and f"-> usrn data check {recipe_file}" in result.stdout


def test_a_broken_recipe_is_a_finding_and_its_exit_code(doctor):
    result = doctor("quickstart", "--set", "views.crop_size=33", "--set", "training.batch=2", "--quiet")
    assert result.exit_code == 3
    text = result.stdout
    assert "1. BROKEN: " in text and "views.crop_size" in text and "training.batch: unknown key" in text
    assert "next\n  usrn doctor quickstart --set views.crop_size=33 --set" in text
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
    assert f"a trial of {recipe_file} fails: " in result.stdout and "Traceback" not in result.output


def test_a_step_that_takes_too_long_is_a_note(doctor, recipe_file, tmp_path, monkeypatch):
    write_fakes(tmp_path / "fakes", keras="import time; time.sleep(60)")
    monkeypatch.setattr(doctor_checks, "SECONDS", 6.0)
    result = doctor(recipe_file, "--quiet")
    assert result.exit_code == 0
    assert "a training step took more than 6 seconds and was not timed" in result.stdout


def test_lines_are_wrapped_in_a_terminal_alone(doctor, recipe_file, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    line = "1. BROKEN: unknown Keras backend 'theano' (from KERAS_BACKEND); allowed: tensorflow, jax, torch"
    assert line in doctor("--quiet").stdout
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(output, "sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: True)))
    shown = doctor("--quiet").stdout
    assert line not in shown and line in " ".join(shown.split())


def test_a_backend_that_hangs_is_not_waited_for(doctor, tmp_path, monkeypatch):
    write_fakes(tmp_path / "fakes", torch="import time; time.sleep(60)")
    monkeypatch.setattr(doctor_checks, "SECONDS", 2.0)
    result = doctor("--quiet")
    assert result.exit_code == 7
    assert "does not work: it did not finish within 2 seconds" in result.stdout


def test_a_broken_backend_is_a_finding_and_its_exit_code(doctor, tmp_path):
    write_fakes(tmp_path / "fakes", torch="raise ImportError('libtorch.so: cannot open')")
    result = doctor("--quiet")
    assert result.exit_code == 7
    assert ", DOES NOT WORK" in result.stdout
    assert "does not work: ImportError: libtorch.so: cannot open" in result.stdout
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


def test_a_gpu_that_trains(doctor, tmp_path, monkeypatch):
    write_fakes(tmp_path / "fakes", gpus=1)
    fake_tool(tmp_path, monkeypatch, "echo 'NVIDIA H200, 143771, 143000, 9.0, 580.65.06'")
    result = doctor("--quiet")
    assert "works on NVIDIA H200, CPU" in result.stdout
    assert "  trains on                 NVIDIA H200" in result.stdout.splitlines()
    assert "does not find it" not in result.stdout


def test_a_backend_that_does_not_compute(doctor, tmp_path):
    write_fakes(tmp_path / "fakes", computes="1 / 0")
    result = doctor("--quiet")
    assert result.exit_code == 7
    assert "does not work: ZeroDivisionError: division by zero" in result.stdout


def test_a_package_that_cannot_be_loaded(doctor, tmp_path, monkeypatch):
    (tmp_path / "wrong_package.py").write_text("raise ImportError('wrong ABI')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(doctor_checks, "MODULES", {"wrong_package": "numpy"})
    result = doctor("--quiet")
    assert result.exit_code == 7
    assert "cannot be loaded: ImportError: wrong ABI" in result.stdout
    assert "-> pip install --force-reinstall numpy" in result.stdout


def test_keys_without_a_recipe_are_a_usage_error(doctor):
    result = doctor("--set", "data.workers=2")
    assert result.exit_code == 2
    assert "name a recipe" in result.stderr


def test_no_control_codes_and_no_backend_in_this_process(doctor):
    """Off a terminal, in a process that has loaded nothing before."""
    code = (
        "import sys; from usrn_cli.main import main; main(['doctor'], standalone_mode=False);"
        "print(*sys.modules, file=sys.stderr)"
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ["PYTHONPATH"]])
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": path}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert not {"torch", "jax", "tensorflow", "keras"} & set(done.stderr.split())
