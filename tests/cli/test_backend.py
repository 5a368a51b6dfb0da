from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from usrn_cli.backend import require_backend
from usrn_cli.main import main
from usrn_keras.errors import BackendError


@pytest.fixture(autouse=True)
def environment_restored(monkeypatch):
    """`require_backend` tells Keras its choice through the environment."""
    monkeypatch.setenv("KERAS_BACKEND", os.environ["KERAS_BACKEND"])


@pytest.fixture
def no_choice(monkeypatch, tmp_path):
    """Neither the environment nor a file of Keras names a backend; gives the folder of that file."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["tensorflow", "jax", "torch"])
def test_the_environment_chooses(monkeypatch, name):
    monkeypatch.setenv("KERAS_BACKEND", name)
    assert require_backend() == name


def test_kerass_own_file_chooses_next(no_choice):
    (no_choice / "keras.json").write_text(json.dumps({"backend": "torch"}))
    assert require_backend() == "torch"


@pytest.mark.parametrize("content", [None, "{", "{}", '{"backend": "tensorflow"}'])
def test_without_a_choice_it_is_jax(no_choice, content):
    """Keras itself writes a file with tensorflow in it: that is nobody's choice."""
    if content is not None:
        (no_choice / "keras.json").write_text(content)
    assert require_backend() == "jax"
    assert os.environ["KERAS_BACKEND"] == "jax"


def test_without_jax_it_is_tensorflow(no_choice, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jax" else find(name))
    assert require_backend() == "tensorflow"


def test_a_backend_that_is_not_installed_says_what_to_install(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(BackendError, match=r"'jax'.*not installed") as refused:
        require_backend()
    assert "pip install jax" in refused.value.hint
    assert "KERAS_BACKEND=tensorflow" in refused.value.hint


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit", "quickstart"),
        ("evaluate", "run"),
        ("predict", "run", "image.jpg", "--out", "out"),
        ("export", "run", "--format", "onnx"),
    ],
)
def test_every_verb_that_needs_a_backend_refuses_an_unknown_one(monkeypatch, arguments):
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == BackendError.exit_code
    assert "unknown Keras backend 'theano' (from KERAS_BACKEND)" in result.stderr
    assert "tensorflow, jax, torch" in result.stderr


@pytest.mark.parametrize(
    ("module", "named", "command"),
    [
        ("jax", "the Keras backend 'jax'", "pip install --force-reinstall jax jaxlib"),
        ("keras", "Keras on the backend 'jax'", "pip install --force-reinstall keras"),
    ],
)
def test_a_broken_installation_is_a_message_with_its_cause(tmp_path, module, named, command):
    (tmp_path / "jax.py").write_text("")
    (tmp_path / f"{module}.py").write_text("raise ImportError('libcudart.so.13: cannot open')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "KERAS_BACKEND": "jax"}
    usrn = [sys.executable, "-c", "from usrn_cli.main import main; main()"]
    done = subprocess.run([*usrn, "fit", "quickstart"], capture_output=True, text=True, env=environment)
    assert done.returncode == BackendError.exit_code
    first, hint = done.stderr.splitlines()
    cause = "ImportError: libcudart.so.13: cannot open"
    assert first == f"error: {named} is installed, but cannot be loaded: {cause}"
    assert command in hint and "KERAS_BACKEND=tensorflow" in hint and "usrn doctor" in hint
