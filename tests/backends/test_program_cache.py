"""Compiled programs that JAX stores in the cache folder, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.tools import ROOT

STORED = """
import sys
from pathlib import Path
from usrn_keras.backends import jax as backend
import jax

folder = Path(sys.argv[1])

def stored_by(factor):
    before = set(folder.rglob("*-cache"))
    jax.jit(lambda x: factor * x + 1)(1.0)
    return bool(set(folder.rglob("*-cache")) - before)

backend.prepare(folder)
print(stored_by(2.0))
with backend.without_program_cache():
    print(stored_by(3.0))
print(stored_by(4.0))
"""


def test_programs_are_not_stored_within_the_block_alone(tmp_path):
    pytest.importorskip("jax")
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", STORED, str(tmp_path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "False", "True"]
